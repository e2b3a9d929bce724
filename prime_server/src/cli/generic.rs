//! Front ends and proxies that need no code of a pipeline: `prime_httpd` and `prime_proxyd`.

use std::ffi::OsString;
use std::time::Duration;

use http::{HeaderName, Method};
use lexopt::{Arg, Parser, ValueExt};

use super::arguments::{Given, front_end, proxy, refuse, take, time, value};
use super::{help, log, print, say_where};
use crate::StartError;
use crate::frontend::Settings;
use crate::pipeline::{MAX_HOPS, Own, Parts, run_process, start_front_end, start_proxy};

/// What is set for a front end without a pipeline.
#[derive(Debug, Default)]
struct Front {
    entry: Option<String>,
    routes: Vec<(Method, String, String)>,
    health: Option<String>,
    metrics: Option<String>,
    deadline: Option<Duration>,
    deadline_header: Option<HeaderName>,
    max_in_flight: Option<usize>,
    max_hops: Option<u32>,
}

/// The whole `main` of `prime_httpd`.
///
/// # Errors
/// As [`Built::run`](crate::Built::run), and where the command line is not understood.
pub fn httpd() -> Result<(), StartError> {
    let Some((front, given)) = parse_front(std::env::args_os().skip(1))? else { return print(&help::of_httpd()) };
    let mut settings = Settings::default();
    settings.deadline = front.deadline.unwrap_or(settings.deadline);
    settings.deadline_header = front.deadline_header;
    settings.max_in_flight = front.max_in_flight.unwrap_or(settings.max_in_flight);
    let name = given.pipeline.clone();
    let name = name.as_deref().unwrap_or("prime_httpd");
    let own = Own { name, health: front.health.as_deref(), metrics: front.metrics.as_deref() };
    let max_hops = front.max_hops.unwrap_or(MAX_HOPS);
    let parts = Parts::of_routes(settings, &front.routes, front.entry.as_deref(), own, max_hops)?;
    let role = front_end(given, help::HTTPD_ENDPOINT)?;
    let _log = log::to_standard_error();
    run_process(|| start_front_end(&parts, &role), say_where)
}

/// The whole `main` of `prime_proxyd`.
///
/// # Errors
/// As [`Built::run`](crate::Built::run), and where the command line is not understood.
pub fn proxyd() -> Result<(), StartError> {
    let Some(given) = parse_proxy(std::env::args_os().skip(1))? else { return print(&help::of_proxyd()) };
    let pipeline = given.pipeline.clone();
    let role = proxy(given)?;
    let _log = log::to_standard_error();
    run_process(|| start_proxy(&role, pipeline.as_deref().unwrap_or("prime_proxyd"), None), say_where)
}

/// Nothing where help is asked for.
fn parse_front(arguments: impl Iterator<Item = OsString>) -> Result<Option<(Front, Given)>, StartError> {
    let mut parser = Parser::from_args(arguments);
    let (mut front, mut given) = (Front::default(), Given::default());
    while let Some(argument) = parser.next().map_err(|error| refuse(error.to_string()))? {
        let Arg::Long(name) = argument else {
            match argument {
                Arg::Short('h') => return Ok(None),
                other => return Err(refuse(other.unexpected().to_string())),
            }
        };
        let name = name.to_owned();
        match name.as_str() {
            "help" => return Ok(None),
            "listen" | "discover" | "name" | "pipeline" | "liveness" | "wait" | "drain-limit" | "curve-server-key"
            | "curve-client-key" | "insecure" => take(&name, &mut parser, &mut given)?,
            _ => {
                given.once(&name)?;
                front_option(&name, &mut parser, &mut front)?;
            }
        }
    }
    Ok(Some((front, given)))
}

fn front_option(name: &str, parser: &mut Parser, front: &mut Front) -> Result<(), StartError> {
    let known = ["entry", "route", "health", "metrics", "deadline", "deadline-header", "max-in-flight", "max-hops"]
        .contains(&name);
    if !known {
        return Err(refuse(format!("there is no option `--{name}`")));
    }
    let value = value(name, parser)?;
    let wrong = |what: &str| refuse(format!("`--{name} {value}`: {what}"));
    match name {
        "entry" => front.entry = Some(value),
        "health" => front.health = Some(value),
        "metrics" => front.metrics = Some(value),
        "route" => front.routes.push(
            route(&value).ok_or_else(|| wrong("a method, a path and a stage are expected: `GET /tile/{z}=tile`"))?,
        ),
        "deadline" => {
            front.deadline = Some(time(&value).ok_or_else(|| wrong("a time is expected, such as 1s or 250ms"))?);
        }
        "deadline-header" => {
            front.deadline_header = Some(value.parse().map_err(|_| wrong("the name of a header is expected"))?);
        }
        "max-in-flight" => front.max_in_flight = Some(value.parse().map_err(|_| wrong("a number is expected"))?),
        _ => front.max_hops = Some(value.parse().map_err(|_| wrong("a number is expected"))?),
    }
    Ok(())
}

/// `GET /tile/{z}=tile`.
fn route(text: &str) -> Option<(Method, String, String)> {
    let (method, rest) = text.split_once(' ')?;
    let (path, stage) = rest.rsplit_once('=')?;
    let whole = !path.is_empty() && !stage.is_empty();
    whole.then_some((method.parse().ok()?, path.trim().to_owned(), stage.to_owned()))
}

fn parse_proxy(arguments: impl Iterator<Item = OsString>) -> Result<Option<Given>, StartError> {
    let mut parser = Parser::from_args(arguments);
    let mut given = Given::default();
    while let Some(argument) = parser.next().map_err(|error| refuse(error.to_string()))? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Long(name) => {
                let name = name.to_owned();
                if ![
                    "bind",
                    "name",
                    "pipeline",
                    "liveness",
                    "wait",
                    "queue",
                    "timeout",
                    "idempotent",
                    "drain-limit",
                    "announce",
                    "http",
                    "curve-server-key",
                    "curve-allow",
                    "insecure",
                ]
                .contains(&name.as_str())
                {
                    return Err(refuse(format!("there is no option `--{name}`")));
                }
                take(&name, &mut parser, &mut given)?;
            }
            Arg::Value(stage) => {
                given.once("stage")?;
                given.stage = Some(stage.string().map_err(|error| refuse(error.to_string()))?);
            }
            other => return Err(refuse(other.unexpected().to_string())),
        }
    }
    Ok(Some(given))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> impl Iterator<Item = OsString> {
        line.split('|').filter(|word| !word.is_empty()).map(OsString::from)
    }

    #[test]
    fn a_front_end_without_a_pipeline_is_told_where_requests_enter() {
        let line = "--listen|tcp://*:2|--discover|beacon:|--route|GET /a={x}=b|--entry|c|--max-hops|3|--deadline|2s|--deadline-header|X-A";
        let (front, given) = parse_front(words(line)).unwrap().unwrap();
        assert_eq!(front.routes, [(Method::GET, "/a={x}".to_owned(), "b".to_owned())]);
        assert_eq!((front.entry.as_deref(), front.max_hops), (Some("c"), Some(3)));
        assert_eq!(front.deadline_header, Some(HeaderName::from_static("x-a")));
        assert_eq!((given.listen.as_deref(), given.discover.len()), (Some("tcp://*:2"), 1));
        assert!(parse_front(words("--help")).unwrap().is_none());
        for (line, problem) in [
            ("--bind|x", "no option `--bind`"),
            ("--route|/a=b", "a method, a path"),
            ("--entry|a|--entry|b", "`--entry` is given twice"),
            ("x", "x"),
        ] {
            let error = parse_front(words(line)).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn a_proxy_is_told_its_stage() {
        let given = parse_proxy(words("a|--bind|ipc:///x|--queue|3|--pipeline|p")).unwrap().unwrap();
        assert_eq!((given.stage.as_deref(), given.queue, given.pipeline.as_deref()), (Some("a"), Some(3), Some("p")));
        assert!(parse_proxy(words("-h")).unwrap().is_none());
        for (line, problem) in [("a|b", "there is one stage"), ("a|--listen|x", "no option `--listen`")] {
            let error = parse_proxy(words(line)).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
