//! The door: which stage a request goes to, or what it is answered without waking a worker.

use std::str::Utf8Error;

use http::{HeaderValue, Method, StatusCode, header};
use matchit::{InsertError, MatchError, Router};

use crate::head::Head;
use crate::http1::is_known;
use crate::ids::StageId;
use crate::{IntoResponse, Response, StartError};

/// Where a request goes.
#[derive(Debug)]
pub(crate) enum Way {
    /// To a stage, by the route of that number, with the path's parameters, percent-decoded.
    Stage(StageId, usize, Vec<(String, String)>),
    /// To the front end's health check.
    Health,
    /// To the front end's metrics.
    Metrics,
    /// Nowhere: the front end says what is allowed there.
    Options(HeaderValue),
    /// Nowhere.
    Refused(Response),
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Stage(StageId, usize),
    Health,
    Metrics,
}

/// What one path pattern takes.
#[derive(Debug)]
struct Methods {
    targets: Vec<(Method, Target)>,
    allow: HeaderValue,
}

/// The routes of a pipeline.
#[derive(Debug)]
pub(crate) struct Door {
    router: Router<Methods>,
    /// Where requests go that no route takes, if the pipeline has no routes.
    otherwise: Option<StageId>,
    /// What is allowed on one path or another.
    allow: HeaderValue,
}

/// A route as the builder was given it.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) pattern: String,
    pub(crate) to: StageId,
}

impl Door {
    pub(crate) fn new(
        routes: &[Route],
        health: Option<&str>,
        metrics: Option<&str>,
        entry: StageId,
    ) -> Result<Self, StartError> {
        let own = [(health, Target::Health), (metrics, Target::Metrics)];
        let own = own.into_iter().filter_map(|(path, target)| Some((Method::GET, path?.to_owned(), target)));
        let stages = routes
            .iter()
            .enumerate()
            .map(|(number, route)| (route.method.clone(), route.pattern.clone(), Target::Stage(route.to, number)));
        let mut patterns: Vec<(String, Vec<(Method, Target)>)> = Vec::new();
        for (method, pattern, target) in own.chain(stages) {
            let known = patterns.iter().position(|(known, _)| *known == pattern);
            let at = known.unwrap_or_else(|| {
                patterns.push((pattern.clone(), Vec::new()));
                patterns.len() - 1
            });
            let targets = &mut patterns[at].1;
            let twice = targets
                .iter()
                .any(|(taken, _)| *taken == method)
                .then_some("something else is there already: a route, the health check or the metrics");
            let unknown = (!is_known(&method)).then_some(
                "a request of this method is answered 501; GET, HEAD, POST, PUT, DELETE, OPTIONS and PATCH can have routes",
            );
            if let Some(problem) = twice.or(unknown) {
                return Err(StartError::Route { method, pattern, problem: problem.to_owned() });
            }
            targets.push((method, target));
        }
        let all = patterns.iter().flat_map(|(_, targets)| targets);
        let everywhere = allow(all);
        let mut router = Router::new();
        for (pattern, targets) in patterns {
            let method = targets[0].0.clone();
            let allow = allow(targets.iter());
            let inserted = check_pattern(&pattern)
                .map_err(str::to_owned)
                .and_then(|()| router.insert(pattern.clone(), Methods { targets, allow }).map_err(problem));
            inserted.map_err(|problem| StartError::Route { method, pattern, problem })?;
        }
        Ok(Self { router, otherwise: routes.is_empty().then_some(entry), allow: everywhere })
    }

    /// Of a process that has no stages.
    pub(crate) fn without_stages(health: &str, metrics: &str) -> Result<Self, StartError> {
        Ok(Self { otherwise: None, ..Self::new(&[], Some(health), Some(metrics), StageId(0))? })
    }

    /// The methods that are allowed on a path, if it has routes.
    pub(crate) fn allowed(&self, path: &str) -> Option<&HeaderValue> {
        self.router.at(path).ok().map(|found| &found.value.allow)
    }

    pub(crate) fn way(&self, head: &Head) -> Way {
        if head.path() == "*" && self.otherwise.is_none() {
            return Way::Options(self.allow.clone());
        }
        let found = match self.router.at(head.path()) {
            Ok(found) => found,
            Err(MatchError::NotFound) => {
                return match self.otherwise {
                    Some(stage) => Way::Stage(stage, 0, Vec::new()),
                    None => Way::Refused((StatusCode::NOT_FOUND, "nothing is at this path\n").into_response()),
                };
            }
        };
        // RFC 9110, 9.3.2: HEAD is GET without the body, so who can answer the one can answer the other.
        let methods = &found.value.targets;
        let target = |method: &Method| methods.iter().find(|(taken, _)| taken == method).map(|(_, target)| *target);
        let target =
            target(head.method()).or_else(|| (*head.method() == Method::HEAD).then(|| target(&Method::GET))?);
        match target {
            Some(Target::Stage(stage, number)) => {
                let decoded = found.params.iter().map(|(name, value)| {
                    let value = percent_encoding::percent_decode_str(value).decode_utf8()?;
                    Ok((name.to_owned(), value.into_owned()))
                });
                match decoded.collect::<Result<_, Utf8Error>>() {
                    Ok(params) => Way::Stage(stage, number, params),
                    Err(_) => Way::Refused((StatusCode::BAD_REQUEST, "the path is not UTF-8\n").into_response()),
                }
            }
            Some(Target::Health) => Way::Health,
            Some(Target::Metrics) => Way::Metrics,
            None if *head.method() == Method::OPTIONS => Way::Options(found.value.allow.clone()),
            None => {
                let mut response = (StatusCode::METHOD_NOT_ALLOWED, "the method is not allowed here\n").into_response();
                response.headers_mut().insert(header::ALLOW, found.value.allow.clone());
                Way::Refused(response)
            }
        }
    }
}

/// Refuses what the path of no request can be, and what was written for another router.
fn check_pattern(pattern: &str) -> Result<(), &'static str> {
    if !pattern.starts_with('/') {
        return Err("a path pattern starts with `/`");
    }
    if !pattern.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte)) {
        return Err("a path has no `?`, `#` or blank, and what is not ASCII in it comes percent-encoded");
    }
    if pattern.split('/').any(|segment| segment.starts_with(':')) {
        return Err("a parameter is written `{name}`, not `:name`");
    }
    let mut names: Vec<&str> = pattern.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("two of its parameters have one name");
    }
    Ok(())
}

/// The value of `Allow` (RFC 9110, 10.2.1).
fn allow<'a>(targets: impl Iterator<Item = &'a (Method, Target)>) -> HeaderValue {
    let mut names: Vec<&str> = targets.map(|(method, _)| method.as_str()).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.push("OPTIONS");
    names.sort_unstable();
    names.dedup();
    HeaderValue::try_from(names.join(", ")).expect("methods are tokens")
}

fn problem(error: InsertError) -> String {
    match error {
        InsertError::Conflict { with } => format!("it overlaps `{with}`"),
        InsertError::InvalidParam => "a parameter is written `{name}`, with a name and both braces".to_owned(),
        error => error.to_string(),
    }
}
