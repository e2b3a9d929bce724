use prime_server::prelude::*;

#[stage]
fn hello(jobs: Batch<Request, &'static str>) {
    jobs.into_iter().for_each(|job| job.reply.send("hello"));
}

#[stage(batch = 0)]
fn none(jobs: Batch<Request, &'static str>) {
    jobs.into_iter().for_each(|job| job.reply.send("hello"));
}

fn main() {
    _ = Pipeline::new("ui").stage::<hello>().build();
    _ = Pipeline::new("ui").stage::<none>().build();
}
