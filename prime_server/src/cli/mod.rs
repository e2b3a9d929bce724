//! Ready command lines: for a server's own `main`, and for the front ends and proxies that need no code of a pipeline.

mod arguments;
mod generic;
mod help;
mod keygen;
mod log;

use std::io::{self, Write};
use std::path::PathBuf;

use self::arguments::{Asked, parse};
use crate::{Built, Process, StartError};

pub use self::generic::{httpd, proxyd};
pub use self::keygen::keygen;

impl Built {
    /// The whole `main` of a server. Its command line says what the process is:
    ///
    /// ```text
    /// server                                                      all of it, at the endpoint given here
    /// server tcp://*:8002                                         all of it, there; or: server all --listen tcp://*:8002
    /// server httpd --listen tcp://*:8002 --discover WAY           the front end
    /// server proxyd STAGE --bind tcp://*:7001                     a stage's load balancer
    /// server workerd STAGE -j 2 --discover WAY                    a stage's worker, of two threads
    /// ```
    ///
    /// It runs until SIGTERM or Ctrl-C, and says on standard error where it listens. The log goes there too, from `info` up or as
    /// `RUST_LOG` says (`warn`, or `info,prime_server=debug`), unless the program has set a `tracing` subscriber before. [`Discover`](crate::Discover) has the ways. `--help`
    /// has the rest; `--describe` prints the pipeline, `--dot` prints it for Graphviz.
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
        let text = match parse(std::env::args_os().skip(1), endpoint)? {
            Asked::Run(role) => {
                let _log = log::to_standard_error();
                return self.run_with(*role, say_where);
            }
            Asked::Describe => self.describe(),
            Asked::Dot => self.to_dot(),
            Asked::Help => help::of(self.name(), &program(self.name()), endpoint),
        };
        print(&text)
    }
}

/// What this program is called, if it is.
fn program(otherwise: &str) -> String {
    let path = std::env::args_os().next().map(PathBuf::from);
    let name = path.as_deref().and_then(|path| path.file_name()?.to_str());
    name.unwrap_or(otherwise).to_owned()
}

/// Says where a process listens. Whoever does not read this has no need of it.
fn say_where(process: &Process) {
    let _ = match process.endpoint() {
        Some(endpoint) => writeln!(io::stderr(), "listening on {endpoint}"),
        None => writeln!(io::stderr(), "ready"),
    };
    if let Some(page) = process.page() {
        let _ = writeln!(io::stderr(), "health and metrics on {page}");
    }
}

fn print(text: &str) -> Result<(), StartError> {
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|source| StartError::System { doing: "write to standard output", source: source.into() })
}
