//! CURVE on sockets, and the ZAP handler (ZeroMQ RFC 27) by which a proxy lets in whom it knows.

use std::path::Path;
use std::thread::{self, JoinHandle};

use crate::panics::log;
use crate::security::{Allowed, Secured};

impl Secured {
    /// Before a socket is connected.
    pub(super) fn connect(&self, socket: &zmq::Socket) -> zmq::Result<()> {
        if let Secured::Connects { server, own } = self {
            socket.set_curve_serverkey(server.bytes())?;
            socket.set_curve_publickey(own.public.bytes())?;
            socket.set_curve_secretkey(own.secret.bytes())?;
        }
        Ok(())
    }

    /// Before a socket is bound. What it returns has to stay for as long as the socket.
    pub(super) fn bind(&self, context: &zmq::Context, socket: &zmq::Socket) -> zmq::Result<Option<Doorkeeper>> {
        let Secured::Binds { own, allowed } = self else { return Ok(None) };
        let doorkeeper = Doorkeeper::start(context, allowed)?;
        socket.set_zap_domain("prime_server")?;
        socket.set_curve_server(true)?;
        socket.set_curve_publickey(own.public.bytes())?;
        socket.set_curve_secretkey(own.secret.bytes())?;
        Ok(Some(doorkeeper))
    }
}

/// The thread that answers libzmq's question about each client that connects. It ends with its context.
#[derive(Debug)]
pub(super) struct Doorkeeper {
    _thread: JoinHandle<()>,
}

const ENDPOINT: &str = "inproc://zeromq.zap.01";

impl Doorkeeper {
    fn start(context: &zmq::Context, file: &Path) -> zmq::Result<Self> {
        let socket = context.socket(zmq::REP)?;
        socket.set_linger(0)?;
        socket.bind(ENDPOINT)?;
        let mut allowed = Allowed::read(file).map_err(|_| zmq::Error::EACCES)?;
        let run = move || {
            while let Ok(request) = socket.recv_multipart(0) {
                if socket.send_multipart(answer(&request, &mut allowed), 0).is_err() {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("doorkeeper".to_owned()).spawn(run).map_err(|_| zmq::Error::EAGAIN)?;
        Ok(Self { _thread: thread })
    }
}

/// A request is version, number, domain, address, identity, mechanism and credentials; an answer version, number, status, text, user
/// and metadata.
fn answer(request: &[Vec<u8>], allowed: &mut Allowed) -> Vec<Vec<u8>> {
    let number = request.get(1).cloned().unwrap_or_default();
    let status = match request {
        [version, _, _, address, _, mechanism, key] if version == b"1.0" && mechanism == b"CURVE" => {
            if allowed.contains(key) {
                "200"
            } else {
                let (address, key) = (String::from_utf8_lossy(address), zmq::z85_encode(key).unwrap_or_default());
                log(
                    || tracing::warn!(%address, key, "a client is not let in: its public key is not in the file of those that may connect"),
                );
                "400"
            }
        }
        _ => "500",
    };
    [b"1.0".to_vec(), number, status.into(), Vec::new(), Vec::new(), Vec::new()].into()
}
