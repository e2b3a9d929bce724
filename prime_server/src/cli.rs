//! A ready command line for a pipeline's own binary.

use std::ffi::OsString;
use std::io::{self, Write};

use lexopt::{Arg, Parser, ValueExt};

use crate::{Built, StartError};

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Serve(String),
    Describe,
    Dot,
    Help,
}

impl Built {
    /// The whole `main` of a server: serves at the endpoint that the command line names, or else there, until SIGTERM or Ctrl-C.
    /// Says on standard error where it listens. `--describe` prints the pipeline instead, `--dot` prints it for Graphviz, `--help`
    /// says all that.
    ///
    /// ```no_run
    /// use prime_server::prelude::*;
    ///
    /// #[stage]
    /// fn hello(_: Request) -> &'static str {
    ///     "hello\n"
    /// }
    ///
    /// fn main() -> Result<(), StartError> {
    ///     Pipeline::new("hello").stage::<hello>().build()?.main("tcp://127.0.0.1:8002")
    /// }
    /// ```
    ///
    /// # Errors
    /// [`StartError`]: the command line is not understood, the endpoint cannot be listened on, or a stage's constructor fails.
    pub fn main(&self, endpoint: &str) -> Result<(), StartError> {
        let text = match asked(std::env::args_os().skip(1), endpoint)? {
            Asked::Serve(endpoint) => {
                return self.serve_with(&endpoint, |running| {
                    // Whoever does not read this has no need of it.
                    let _ = writeln!(io::stderr(), "listening on {}", running.endpoint().unwrap_or(&endpoint));
                });
            }
            Asked::Describe => self.describe(),
            Asked::Dot => self.to_dot(),
            Asked::Help => help(self.name(), endpoint),
        };
        io::stdout()
            .write_all(text.as_bytes())
            .map_err(|source| StartError::System { doing: "write to standard output", source: source.into() })
    }
}

fn asked(arguments: impl Iterator<Item = OsString>, endpoint: &str) -> Result<Asked, StartError> {
    let refuse = |problem: String| StartError::Arguments { problem };
    let mut parser = Parser::from_args(arguments);
    let mut asked = None;
    while let Some(argument) = parser.next().map_err(|error| refuse(error.to_string()))? {
        let this = match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Asked::Help),
            Arg::Long("describe") => Asked::Describe,
            Arg::Long("dot") => Asked::Dot,
            Arg::Value(endpoint) => Asked::Serve(endpoint.string().map_err(|error| refuse(error.to_string()))?),
            other => return Err(refuse(other.unexpected().to_string())),
        };
        if asked.replace(this).is_some() {
            return Err(refuse("there is one endpoint, or one option".to_owned()));
        }
    }
    Ok(asked.unwrap_or_else(|| Asked::Serve(endpoint.to_owned())))
}

fn help(name: &str, endpoint: &str) -> String {
    format!(
        "Serves the pipeline `{name}` over HTTP until SIGTERM or Ctrl-C.\n\
         \n\
         Usage: {name} [ENDPOINT]\n\
         \n\
         Arguments:\n  \
           [ENDPOINT]  where to listen, such as tcp://*:8002; port 0 takes a free one [default: {endpoint}]\n\
         \n\
         Options:\n      \
           --describe  print the pipeline: routes, stages, limits\n      \
           --dot       print it for Graphviz\n  \
       -h, --help      print this\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Asked, String> {
        asked(arguments.iter().map(OsString::from), "tcp://*:1").map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_names_an_endpoint_or_what_to_print() {
        let serve = |endpoint: &str| Ok(Asked::Serve(endpoint.to_owned()));
        assert_eq!(parsed(&[]), serve("tcp://*:1"));
        assert_eq!(parsed(&["tcp://*:2"]), serve("tcp://*:2"));
        assert_eq!(parsed(&["--describe"]), Ok(Asked::Describe));
        assert_eq!(parsed(&["--dot"]), Ok(Asked::Dot));
        assert_eq!(parsed(&["x", "-h", "--what"]), Ok(Asked::Help));
    }

    #[test]
    fn what_is_not_understood_is_refused_with_a_pointer_to_the_help() {
        for (arguments, problem) in [(&["--what"][..], "--what"), (&["a", "b"], "one endpoint"), (&["--dot=x"], "dot")]
        {
            let error = parsed(arguments).unwrap_err();
            assert!(error.contains(problem) && error.contains("--help"), "{error}");
        }
    }

    #[test]
    fn the_help_names_the_default() {
        assert!(help("p", "tcp://*:1").contains("[default: tcp://*:1]"));
    }
}
