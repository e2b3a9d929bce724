use prime_server::prelude::*;

#[stage]
mod stages {}

fn main() {}
