use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Message, Serialize, Deserialize)]
struct Candidate(u64);

#[derive(Message, Serialize, Deserialize)]
struct Prime(u64);

#[stage(batch = 32)]
fn parse(jobs: Batch<Request, Candidate>) {
    jobs.into_iter().for_each(|job| job.reply.send(Candidate(7)));
}

#[stage(batch = 32)]
fn print(jobs: Batch<Prime, String>) {
    jobs.into_iter().for_each(|job| job.reply.send(String::new()));
}

fn main() {
    _ = Pipeline::new("ui").stage::<parse>().stage::<print>().build();
}
