use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

mod stages {
    use super::*;

    #[derive(Message, Serialize, Deserialize)]
    struct Candidate(u64);

    #[stage]
    pub fn is_prime(Candidate(n): Candidate) -> Json<bool> {
        Json(n == 7)
    }
}

fn main() {}
