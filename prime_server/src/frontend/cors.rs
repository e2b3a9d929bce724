//! Cross-origin requests: which pages of other origins may use the service (the Fetch standard, "CORS protocol").

use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};

use crate::head::Head;
use crate::{IntoResponse, Response};

/// Which pages of other origins may use a pipeline, for [`Pipeline::cors`](crate::Pipeline::cors).
///
/// ```
/// use prime_server::prelude::*;
/// use prime_server::Cors;
///
/// #[stage]
/// fn hello(_: Request) -> &'static str { "hello\n" }
///
/// let cors = Cors::origins(["https://maps.example"]).headers(["content-type"]);
/// let pipeline = Pipeline::new("hello").route(Method::GET, "/").cors(cors).stage::<hello>().build()?;
/// let request = http::Request::get("/").header("origin", "https://maps.example").body("").unwrap();
/// let answer = pipeline.test(request)?;
/// assert_eq!(answer.headers()["access-control-allow-origin"], "https://maps.example");
/// # Ok::<(), StartError>(())
/// ```
///
/// A preflight (an `OPTIONS` request with `Access-Control-Request-Method`) is answered at the door, with the methods that have
/// routes there. Every other answer to a request, refusals and errors included, says that the page may read it; not what is answered before
/// its headers are looked at (400, 408, 413, 414, 417, 431, 501, 505). A page of another origin gets
/// its answer without that, and its browser keeps it from the page: this is no access control.
#[derive(Clone, Debug)]
pub struct Cors {
    /// `None` for all.
    origins: Option<Vec<String>>,
    /// `None` for those that are asked for.
    headers: Option<Vec<String>>,
    exposed: Vec<String>,
    credentials: bool,
    max_age: Duration,
}

impl Cors {
    /// Pages of every origin may use the service.
    #[must_use]
    pub fn any() -> Self {
        Self {
            origins: None,
            headers: None,
            exposed: Vec::new(),
            credentials: false,
            max_age: Duration::from_secs(3600),
        }
    }

    /// Pages of these origins may, each as a browser writes it: `https://maps.example`, with the port where it is not the
    /// scheme's own.
    #[must_use]
    pub fn origins<S: Into<String>>(origins: impl IntoIterator<Item = S>) -> Self {
        Self { origins: Some(texts(origins)), ..Self::any() }
    }

    /// The request headers that a page may set. Default: those that it asks for.
    #[must_use]
    pub fn headers<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.headers = Some(texts(names));
        self
    }

    /// The answer's headers that a page may read, besides the few that it always may. Default: none.
    #[must_use]
    pub fn expose<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.exposed = texts(names);
        self
    }

    /// Requests may carry cookies and the like. Not together with [`any`](Self::any), which browsers refuse.
    #[must_use]
    pub fn credentials(mut self) -> Self {
        self.credentials = true;
        self
    }

    /// How long a browser may rely on the answer to a preflight, in whole seconds. Default: an hour.
    #[must_use]
    pub fn max_age(mut self, time: Duration) -> Self {
        self.max_age = time;
        self
    }

    /// As the front end uses it, or what cannot work.
    pub(crate) fn build(&self) -> Result<CrossOrigin, String> {
        if self.credentials && self.origins.is_none() {
            return Err("credentials with every origin are refused by browsers: name the origins".to_owned());
        }
        let origins = self.origins.as_ref().map(|origins| origins.iter().map(|it| origin(it)).collect()).transpose()?;
        Ok(CrossOrigin {
            origins,
            headers: self.headers.as_ref().map(|names| list(names)).transpose()?,
            exposed: if self.exposed.is_empty() { None } else { Some(list(&self.exposed)?) },
            credentials: self.credentials,
            max_age: HeaderValue::from(self.max_age.as_secs()),
        })
    }
}

fn texts<S: Into<String>>(texts: impl IntoIterator<Item = S>) -> Vec<String> {
    texts.into_iter().map(Into::into).collect()
}

fn origin(text: &str) -> Result<HeaderValue, String> {
    let host = text.split_once("://").filter(|(scheme, _)| !scheme.is_empty()).map(|(_, host)| host);
    let is_origin = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@']));
    HeaderValue::try_from(text)
        .ok()
        .filter(|_| is_origin)
        .ok_or_else(|| format!("`{text}` is no origin: one looks like https://maps.example, without a path"))
}

fn list(names: &[String]) -> Result<HeaderValue, String> {
    if let Some(wrong) = names.iter().find(|name| HeaderName::try_from(name.as_str()).is_err()) {
        return Err(format!("`{wrong}` is no name of a header"));
    }
    Ok(HeaderValue::try_from(names.join(", ")).expect("names of headers are visible ASCII"))
}

/// A [`Cors`] that has been checked.
#[derive(Clone, Debug)]
pub(crate) struct CrossOrigin {
    origins: Option<Vec<HeaderValue>>,
    headers: Option<HeaderValue>,
    exposed: Option<HeaderValue>,
    credentials: bool,
    max_age: HeaderValue,
}

impl CrossOrigin {
    /// The answer to a preflight, given the methods that are allowed there; `None` where the request is none.
    pub(crate) fn preflight(&self, head: &Head, allowed: Option<&HeaderValue>) -> Option<Response> {
        let asked = head.headers();
        let method = asked.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        if *head.method() != Method::OPTIONS || !asked.contains_key(header::ORIGIN) {
            return None;
        }
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allowed.unwrap_or(method).clone());
        // A list may come in several lines, and go in as many (RFC 9110, 5.3).
        let all = self.headers.is_none().then(|| asked.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS));
        for names in self.headers.iter().chain(all.iter().flatten()) {
            headers.append(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        headers.append(
            header::VARY,
            HeaderValue::from_static("access-control-request-method, access-control-request-headers"),
        );
        Some(response)
    }

    /// Says in an answer whether the page that asked may read it.
    pub(crate) fn mark(&self, head: &Head, answer: &mut HeaderMap) {
        let asks = head.headers().get(header::ORIGIN);
        let allowed = match &self.origins {
            None => asks.map(|_| HeaderValue::from_static("*")),
            Some(origins) => {
                answer.append(header::VARY, HeaderValue::from_static("origin"));
                asks.filter(|asks| origins.contains(asks)).cloned()
            }
        };
        let Some(allowed) = allowed else { return };
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(exposed) = &self.exposed {
            answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }
}
