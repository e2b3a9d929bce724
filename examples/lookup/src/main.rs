//! Lookups that are made together: `cargo run --release -- tcp://127.0.0.1:8006`, then `curl http://127.0.0.1:8006/number/gold`.
//!
//! The table has no index, so a query reads all of it, whether it asks for one name or for thirty. A database or a model is much the
//! same: a call costs a round trip or a pass over its weights, and what it is asked besides costs little.

use std::collections::HashMap;

use prime_server::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Message, Serialize, Deserialize)]
struct Name(String);

#[derive(Deserialize)]
struct Path {
    name: String,
}

#[stage(workers = 1)]
fn parse(request: Request) -> Result<Name, ErrorResponse> {
    let Path { name } = request.path()?;
    Ok(Name(name))
}

/// What stands here for a database: one connection for each worker.
struct Table(&'static str);

#[stage(workers = 2, batch = 32, batch_wait_us = 200)]
impl Table {
    fn new() -> Self {
        Self(include_str!("elements.txt"))
    }

    /// One query for all jobs that there are.
    fn run(&mut self, jobs: Batch<Name, Result<Json<u32>, StatusCode>>) {
        let numbers = self.query(jobs.iter().map(|job| job.input.0.as_str()));
        for (job, number) in jobs.into_iter().zip(numbers) {
            job.reply.send(number.map(Json).ok_or(StatusCode::NOT_FOUND));
        }
    }
}

impl Table {
    /// The number of each name, in one pass.
    fn query<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Option<u32>> {
        let mut numbers = Vec::new();
        let mut wanted: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, name) in names.enumerate() {
            wanted.entry(name).or_default().push(at);
            numbers.push(None);
        }
        for (name, number) in self.0.lines().filter_map(|line| line.split_once(' ')) {
            for at in wanted.get(name).into_iter().flatten() {
                numbers[*at] = number.parse().ok();
            }
        }
        numbers
    }
}

fn pipeline() -> Result<prime_server::Built, StartError> {
    Pipeline::new("lookup").route(Method::GET, "/number/{name}").stage::<parse>().stage::<Table>().build()
}

fn main() -> Result<(), StartError> {
    pipeline()?.main("tcp://127.0.0.1:8006")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_job_of_a_batch_has_its_own_answer() {
        let (jobs, replies) = Batch::test(["gold", "cheese", "tin", "gold"].map(|name| Name(name.to_owned())));
        Table::new().run(jobs);
        let numbers =
            replies.into_vec().into_iter().map(|reply| reply.expect("each has one").map(|Json(number)| number));
        assert_eq!(numbers.collect::<Vec<_>>(), [Ok(79), Err(StatusCode::NOT_FOUND), Ok(50), Ok(79)]);
    }

    #[test]
    fn requests_are_answered_however_they_come_together() -> Result<(), Box<dyn std::error::Error>> {
        let running = pipeline()?.start_in_process()?;
        let ask = |name| running.client().send(Request::get(&format!("/number/{name}")));
        let pending =
            ["iron", "zinc", "cheese", "lead"].repeat(50).into_iter().map(ask).collect::<Result<Vec<_>, _>>()?;
        for (at, answer) in pending.into_iter().enumerate() {
            let answer = answer.wait()?;
            let number = answer.status().is_success().then(|| String::from_utf8_lossy(answer.body().as_bytes()));
            assert_eq!(number.as_deref(), [Some("26"), Some("30"), None, Some("82")][at % 4]);
        }
        Ok(())
    }
}
