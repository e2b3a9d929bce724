//! What discovery finds.

/// Where a proxy is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The stage that it is the proxy of; `None` where only the proxy itself can say it.
    pub(crate) stage: Option<String>,
    /// A ZeroMQ endpoint to connect to. One of IPv6 needs the socket option `ZMQ_IPV6`.
    pub(crate) endpoint: String,
}
