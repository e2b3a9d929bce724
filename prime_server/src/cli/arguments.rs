//! What the words of a command line ask for.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

use crate::{Discover, FrontEndRole, Links, ProxyRole, Role, Security, StartError, WorkerRole};

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Asked {
    Run(Box<Role>),
    Describe,
    Dot,
    Help,
}

/// What a process is asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    All,
    Httpd,
    Proxyd,
    Workerd,
}

impl Kind {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "all" => Kind::All,
            "httpd" => Kind::Httpd,
            "proxyd" => Kind::Proxyd,
            "workerd" => Kind::Workerd,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Kind::All => "all",
            Kind::Httpd => "httpd",
            Kind::Proxyd => "proxyd",
            Kind::Workerd => "workerd",
        }
    }

    fn takes_a_stage(self) -> bool {
        matches!(self, Kind::Proxyd | Kind::Workerd)
    }
}

/// The options as they were given.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) listen: Option<String>,
    pub(super) bind: Option<String>,
    pub(super) stage: Option<String>,
    pub(super) discover: Vec<Discover>,
    pub(super) name: Option<String>,
    /// Of programs without a pipeline.
    pub(super) pipeline: Option<String>,
    pub(super) liveness: Option<Duration>,
    pub(super) wait: Option<Duration>,
    pub(super) ahead: Option<Duration>,
    pub(super) threads: Option<usize>,
    pub(super) queue: Option<usize>,
    pub(super) timeout: Option<Duration>,
    pub(super) idempotent: Option<bool>,
    pub(super) drain_limit: Option<Duration>,
    pub(super) http: Option<String>,
    pub(super) server_key: Option<String>,
    pub(super) client_key: Option<String>,
    pub(super) allow: Option<String>,
    pub(super) insecure: bool,
    /// By which interface, if not by all.
    pub(super) announce: Option<Option<String>>,
    /// The names of all that was given.
    names: BTreeSet<String>,
}

impl Given {
    /// Notes that this is given, which may be so once; but ways and routes are given as many as there are.
    pub(super) fn once(&mut self, name: &str) -> Result<(), StartError> {
        if ["discover", "route"].contains(&name) || self.names.insert(name.to_owned()) {
            return Ok(());
        }
        Err(refuse(match name {
            "listen" => "the endpoint for clients is given twice".to_owned(),
            "stage" => "there is one stage".to_owned(),
            _ => format!("`--{name}` is given twice"),
        }))
    }

    fn security(&self) -> Security {
        let mut security = Security::new();
        if let Some(file) = &self.server_key {
            security = security.server_key(file);
        }
        if let Some(file) = &self.client_key {
            security = security.client_key(file);
        }
        if let Some(file) = &self.allow {
            security = security.allow(file);
        }
        if self.insecure { security.insecure() } else { security }
    }
}

/// Which options each kind of process takes, by the options' names.
const OPTIONS: [(&str, &[Kind]); 18] = [
    ("http", &[Kind::Proxyd, Kind::Workerd]),
    ("listen", &[Kind::All, Kind::Httpd]),
    ("bind", &[Kind::Proxyd]),
    ("discover", &[Kind::Httpd, Kind::Workerd]),
    ("name", &[Kind::Httpd, Kind::Proxyd, Kind::Workerd]),
    ("liveness", &[Kind::Httpd, Kind::Proxyd, Kind::Workerd]),
    ("wait", &[Kind::Httpd, Kind::Proxyd]),
    ("ahead", &[Kind::Workerd]),
    ("jobs", &[Kind::Workerd]),
    ("queue", &[Kind::Proxyd]),
    ("timeout", &[Kind::Proxyd]),
    ("idempotent", &[Kind::Proxyd]),
    ("drain-limit", &[Kind::Httpd, Kind::Proxyd, Kind::Workerd]),
    ("announce", &[Kind::Proxyd]),
    ("curve-server-key", &[Kind::Httpd, Kind::Proxyd, Kind::Workerd]),
    ("curve-client-key", &[Kind::Httpd, Kind::Workerd]),
    ("curve-allow", &[Kind::Proxyd]),
    ("insecure", &[Kind::Httpd, Kind::Proxyd, Kind::Workerd]),
];

pub(super) fn refuse(problem: impl Into<String>) -> StartError {
    StartError::Arguments { problem: problem.into() }
}

/// Reads the command line of a server, which serves at `endpoint` where it says nothing else.
pub(super) fn parse(arguments: impl Iterator<Item = OsString>, endpoint: &str) -> Result<Asked, StartError> {
    let arguments: Vec<OsString> = arguments.collect();
    let word = arguments.first().and_then(|first| first.to_str()).unwrap_or_default();
    let kind = Kind::of(word);
    let mut parser = Parser::from_args(arguments.into_iter().skip(usize::from(kind.is_some())));
    let mut given = Given::default();
    let mut prints = None;
    while let Some(argument) = parser.next().map_err(|error| refuse(error.to_string()))? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Asked::Help),
            Arg::Long("describe") => prints = Some(Asked::Describe),
            Arg::Long("dot") => prints = Some(Asked::Dot),
            Arg::Value(value) => {
                let value = value.string().map_err(|error| refuse(error.to_string()))?;
                match kind {
                    None if value.contains("://") => {
                        given.once("listen")?;
                        given.listen = Some(value);
                    }
                    None => {
                        return Err(refuse(format!(
                            "`{value}` is neither what a process can be (`all`, `httpd`, `proxyd`, `workerd`) nor an endpoint, such as \
                             `tcp://*:8002`"
                        )));
                    }
                    Some(kind) if kind.takes_a_stage() => {
                        given.once("stage")?;
                        given.stage = Some(value);
                    }
                    Some(_) => return Err(refuse(format!("`{value}` is not expected here"))),
                }
            }
            argument => {
                let name = option(argument, kind.unwrap_or(Kind::All))?;
                take(name, &mut parser, &mut given)?;
            }
        }
    }
    if let Some(prints) = prints {
        return Ok(prints);
    }
    let role = match kind.unwrap_or(Kind::All) {
        Kind::All => Role::All(given.listen.unwrap_or_else(|| endpoint.to_owned())),
        Kind::Httpd => Role::FrontEnd(front_end(given, endpoint)?),
        Kind::Proxyd => Role::Proxy(proxy(given)?),
        Kind::Workerd => Role::Worker(worker(given)?),
    };
    Ok(Asked::Run(Box::new(role)))
}

/// The name of an option that such a process takes.
fn option(argument: Arg<'_>, kind: Kind) -> Result<&'static str, StartError> {
    let name = match argument {
        Arg::Short('j') => "jobs",
        Arg::Long(name) => name,
        other => return Err(refuse(other.unexpected().to_string())),
    };
    let Some((name, kinds)) = OPTIONS.into_iter().find(|(known, _)| *known == name) else {
        return Err(refuse(format!("there is no option `--{name}`")));
    };
    if !kinds.contains(&kind) {
        let kinds: Vec<_> = kinds.iter().map(|kind| format!("`{}`", kind.name())).collect();
        return Err(refuse(format!("`--{name}` is for {}", kinds.join(" and "))));
    }
    Ok(name)
}

/// Takes the value of an option of that name.
pub(super) fn take(name: &str, parser: &mut Parser, given: &mut Given) -> Result<(), StartError> {
    let words = |error: lexopt::Error| refuse(error.to_string());
    given.once(name)?;
    match name {
        "insecure" => {
            given.insecure = true;
            return Ok(());
        }
        "announce" => {
            given.announce = Some(parser.optional_value().map(ValueExt::string).transpose().map_err(words)?);
            return Ok(());
        }
        _ => {}
    }
    let value = value(name, parser)?;
    let wrong = |what: &str| refuse(format!("`--{name} {value}`: {what}"));
    let time = || time(&value).ok_or_else(|| wrong("a time is expected, such as 1s or 250ms"));
    let count = || value.parse().map_err(|_| wrong("a number is expected"));
    match name {
        "listen" => given.listen = Some(value),
        "bind" => given.bind = Some(value),
        "http" => given.http = Some(value),
        "curve-server-key" => given.server_key = Some(value),
        "curve-client-key" => given.client_key = Some(value),
        "curve-allow" => given.allow = Some(value),
        "name" => given.name = Some(value),
        "pipeline" => given.pipeline = Some(value),
        "discover" => given.discover.push(value.parse().map_err(|error| refuse(format!("`--discover`: {error}")))?),
        "liveness" => given.liveness = Some(time()?),
        "wait" => given.wait = Some(time()?),
        "ahead" => given.ahead = Some(time()?),
        "timeout" => given.timeout = Some(time()?),
        "drain-limit" => given.drain_limit = Some(time()?),
        "jobs" => given.threads = Some(count()?),
        "queue" => given.queue = Some(count()?),
        "idempotent" => {
            given.idempotent = Some(value.parse().map_err(|_| wrong("`true` or `false` is expected"))?);
        }
        _ => return Err(refuse(format!("there is no option `--{name}`"))),
    }
    Ok(())
}

/// The value of an option of that name.
pub(super) fn value(name: &str, parser: &mut Parser) -> Result<String, StartError> {
    let value = parser.value().and_then(ValueExt::string).map_err(|error| refuse(error.to_string()))?;
    if value.is_empty() { Err(refuse(format!("`--{name}` is empty"))) } else { Ok(value) }
}

/// A time with its unit: `s`, `ms`, `us` or `m`.
pub(super) fn time(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(at);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

/// The links that are asked for.
fn links(given: &Given, kind: &str) -> Result<Links, StartError> {
    let (first, others) = given.discover.split_first().ok_or_else(|| {
        refuse(format!(
            "`{kind}` needs `--discover`, which says where the proxies are: `--discover fixed:STAGE=tcp://HOST:PORT`"
        ))
    })?;
    let mut links = others.iter().cloned().fold(Links::new(first.clone()), Links::and).security(given.security());
    if let Some(name) = &given.name {
        links = links.name(name);
    }
    let set = |links: Links, to: Option<Duration>, set: fn(Links, Duration) -> Links| match to {
        Some(time) => set(links, time),
        None => links,
    };
    links = set(links, given.liveness, Links::liveness);
    links = set(links, given.wait, Links::wait);
    links = set(links, given.drain_limit, Links::drain_limit);
    Ok(set(links, given.ahead, Links::ahead))
}

pub(super) fn front_end(given: Given, endpoint: &str) -> Result<FrontEndRole, StartError> {
    let links = links(&given, "httpd")?;
    Ok(FrontEndRole::new(given.listen.unwrap_or_else(|| endpoint.to_owned()), links))
}

fn worker(given: Given) -> Result<WorkerRole, StartError> {
    let links = links(&given, "workerd")?;
    let stage = given.stage.ok_or_else(|| refuse("`workerd` needs the name of the stage that it runs"))?;
    let mut role = WorkerRole::new(stage, links);
    if let Some(endpoint) = given.http {
        role = role.http(endpoint);
    }
    Ok(match given.threads {
        Some(threads) => role.threads(threads),
        None => role,
    })
}

pub(super) fn proxy(given: Given) -> Result<ProxyRole, StartError> {
    let security = given.security();
    let stage = given.stage.ok_or_else(|| refuse("`proxyd` needs the name of the stage that it balances"))?;
    let bind = given.bind.ok_or_else(|| {
        refuse("`proxyd` needs `--bind`, where front ends and workers connect to: `--bind tcp://127.0.0.1:7001`")
    })?;
    let mut role = ProxyRole::new(stage, bind).security(security);
    if let Some(interface) = given.announce {
        role = role.announce(interface);
    }
    if let Some(name) = given.name {
        role = role.name(name);
    }
    if let Some(endpoint) = given.http {
        role = role.http(endpoint);
    }
    if let Some(limit) = given.liveness {
        role = role.liveness(limit);
    }
    if let Some(limit) = given.wait {
        role = role.wait(limit);
    }
    if let Some(jobs) = given.queue {
        role = role.queue(jobs);
    }
    if let Some(limit) = given.timeout {
        role = role.timeout(limit);
    }
    if let Some(idempotent) = given.idempotent {
        role = role.idempotent(idempotent);
    }
    if let Some(limit) = given.drain_limit {
        role = role.drain_limit(limit);
    }
    Ok(role)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<String, String> {
        let arguments = line.split_whitespace().map(OsString::from);
        parse(arguments, "tcp://*:1").map(|asked| format!("{asked:?}")).map_err(|error| error.to_string())
    }

    fn says(line: &str, words: &[&str]) {
        let asked = parsed(line).unwrap_or_else(|error| panic!("`{line}`: {error}"));
        assert!(words.iter().all(|word| asked.contains(word)), "`{line}`: {asked}");
    }

    #[test]
    fn an_endpoint_or_nothing_serves_all() {
        says("", &["All(\"tcp://*:1\")"]);
        says("tcp://*:2", &["All(\"tcp://*:2\")"]);
        says("all --listen tcp://*:2", &["All(\"tcp://*:2\")"]);
        says("all", &["All(\"tcp://*:1\")"]);
    }

    #[test]
    fn what_is_to_be_printed_is_printed_whatever_else_is_said() {
        says("--describe", &["Describe"]);
        says("--dot", &["Dot"]);
        says("tcp://*:2 -h --what", &["Help"]);
        says("workerd --help", &["Help"]);
    }

    #[test]
    fn each_process_of_a_pipeline_has_its_options() {
        says(
            "httpd --listen tcp://*:2 --discover fixed:a=tcp://h:1 --discover file:/x --liveness 250ms --wait 2s --name me",
            &["FrontEnd(", "tcp://*:2", "tcp://h", "/x", "liveness: 250ms", "wait: 2s", "Some(\"me\")"],
        );
        says("httpd --discover beacon:", &["FrontEnd(", "tcp://*:1"]);
        says(
            "proxyd a --bind tcp://*:3 --queue 7 --timeout 1.5s --idempotent true --drain-limit 1m",
            &["Proxy(", "\"a\"", "tcp://*:3", "Some(7)", "Some(1.5s)", "Some(true)", "drain_limit: Some(60s)"],
        );
        says(
            "proxyd a --bind tcp://*:3 --announce=eth0 --curve-server-key k --curve-allow l --insecure",
            &["eth0", "server_key: Some(\"k\")", "allow: Some(\"l\")", "insecure: true"],
        );
        says("workerd a --discover beacon: --http tcp://*:9", &["http: Some(\"tcp://*:9\")"]);
        says("workerd a --discover beacon: --drain-limit 2s", &["drain_limit: Some(2s)"]);
        says("httpd --discover beacon: --drain-limit 2s", &["drain_limit: Some(2s)"]);
        says("proxyd a --bind tcp://*:3 --http tcp://*:9", &["http: Some(\"tcp://*:9\")"]);
        says("proxyd a --bind tcp://*:3 --announce", &["announce: Some(None)"]);
        says("httpd --discover beacon: --curve-client-key k", &["client_key: Some(\"k\")"]);
        says("workerd a -j 2 --discover beacon: --ahead 10us", &["Worker(", "\"a\"", "Some(2)", "ahead: 10µs"]);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_would_be_right() {
        for (line, problem) in [
            ("--what", "no option `--what`"),
            ("-x", "-x"),
            ("tcp://*:2 tcp://*:3", "the endpoint for clients is given twice"),
            ("tcp://*:2 --listen tcp://*:3", "the endpoint for clients is given twice"),
            ("httpd --discover beacon: --wait 1s --wait 2s", "`--wait` is given twice"),
            ("htpd --listen tcp://*:3", "`htpd` is neither what a process can be"),
            ("--dot=x", "dot"),
            ("all x", "`x` is not expected"),
            ("--bind x", "`--bind` is for `proxyd`"),
            ("all --discover beacon:", "is for `httpd` and `workerd`"),
            ("httpd", "needs `--discover`"),
            ("httpd --discover x", "does not say how to discover"),
            ("proxyd --bind x", "needs the name of the stage"),
            ("proxyd a", "needs `--bind`"),
            ("proxyd a b --bind x", "there is one stage"),
            ("workerd --discover beacon:", "needs the name of the stage"),
            ("workerd a -j x --discover beacon:", "`--jobs x`: a number is expected"),
            ("httpd --discover beacon: --wait 5", "a time is expected"),
            ("httpd --discover beacon: --wait -1s", "a time is expected"),
            ("httpd --discover beacon: --wait 1h", "a time is expected"),
            ("proxyd a --bind x --idempotent yes", "`true` or `false`"),
            ("httpd --wait", "wait"),
            ("httpd --discover beacon: --name=", "`--name` is empty"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(problem) && error.contains("--help"), "`{line}`: {error}");
        }
    }
}
