//! Why a peer is not linked.

use super::{Desk, NAME};
use crate::transport::zmq::wire::{Command, Hello, MAGIC, Role, VERSION};

impl Desk {
    /// A HELLO of another version, whatever follows in that.
    pub(super) fn other_version(&self, hello: &[u8]) -> Option<String> {
        let (name, stage) = (&self.name, &self.stage);
        match hello.get(..7)? {
            [Command::HELLO, magic @ .., version] if *magic == MAGIC && *version != VERSION => Some(format!(
                "it speaks version {version} of the protocol, and proxy `{name}` of stage `{stage}` version {VERSION}"
            )),
            _ => None,
        }
    }

    /// Whether what a peer means to find here is here.
    pub(super) fn check(&self, hello: &Hello<'_>) -> Result<(), String> {
        let (name, stage) = (&self.name, &self.stage);
        let theirs: String = hello.name.chars().take(NAME).collect();
        if hello.role == Role::Inquirer {
            return Ok(());
        }
        if hello.stage != stage {
            let other = hello.stage;
            return Err(format!(
                "`{theirs}` looks for stage `{other}`, and proxy `{name}` is there for stage `{stage}`: correct one of the addresses"
            ));
        }
        match (hello.role, hello.worker.is_some()) {
            (Role::Worker, false) => {
                return Err(format!(
                    "the HELLO of worker `{theirs}` does not say what a worker has to say of its stage"
                ));
            }
            (Role::FrontEnd, true) => {
                return Err(format!("the HELLO of front end `{theirs}` says of a stage what only a worker can"));
            }
            _ => {}
        }
        // 0 is a schema that is not known.
        let known = |ours: u64, theirs: u64| ours != 0 && theirs != 0;
        match (&self.message, hello.message) {
            (Some((message, schema)), Some((other, other_schema)))
                if *schema != other_schema && known(*schema, other_schema) =>
            {
                Err(format!(
                    "`{theirs}` takes message `{other}` (schema {other_schema:#x}) at stage `{stage}`, and the others that proxy `{name}` \
                 knows take `{message}` (schema {schema:#x}): run the same build on both sides"
                ))
            }
            _ => Ok(()),
        }
    }
}
