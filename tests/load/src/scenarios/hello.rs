//! The first scenario as a user meets it: the smallest example, built outside the project.

use anyhow::Result;

use super::{OURS, Settings, fixed};
use crate::contest::{Contest, Contestant};
use crate::copied;
use crate::server::{Absent, Server};

pub(crate) fn contest(settings: &Settings) -> Result<Contest> {
    let server = match copied::build(&settings.root.join("examples/hello")) {
        Ok(program) => Server::Program(program),
        Err(error) => Server::Absent(error.downcast::<Absent>()?.0),
    };
    let hello = Contestant { label: OURS, server, drive: Box::new(fixed::load(settings)) };
    let mut contest = fixed::against_peers(hello, settings);
    contest.notes.push("ours is examples/hello with its own number of workers and its own allocator".to_owned());
    Ok(contest)
}
