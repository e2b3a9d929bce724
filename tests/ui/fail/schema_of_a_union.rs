use prime_server::prelude::*;

#[derive(Schema)]
union Bits {
    float: f32,
    int: u32,
}

fn main() {}
