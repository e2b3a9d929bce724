//! What is set for a pipeline as a whole, and the checks that the compiler cannot make.

use std::sync::Arc;
use std::time::Duration;

use super::built::{Built, Definition, Hops};
use super::graph::{self, Entry};
use crate::context::FOREVER;
use crate::frontend::{Cors, Door, Route, Settings};
use crate::{StartError, Workers};

pub(super) struct PipelineOptions {
    pub(super) name: String,
    pub(super) routes: Vec<Entry>,
    pub(super) health: Option<String>,
    pub(super) metrics: Option<String>,
    pub(super) cors: Option<Cors>,
    pub(super) deadline_header: Option<String>,
    pub(super) max_hops: u32,
    pub(super) max_parts: usize,
    pub(super) core_budget: Option<usize>,
    pub(super) settings: Settings,
}

/// The defaults of what holds for a request's way.
pub(crate) const MAX_HOPS: u32 = 64;
pub(super) const MAX_PARTS: usize = 4096;

/// The most workers of all stages together. Somewhat above, the threads' stacks use up what a process may map.
pub(super) const MAX_WORKERS: usize = 8192;

/// The most jobs that a worker takes at a time, and the longest that it waits for them.
const MAX_BATCH: usize = 1024;
const MAX_BATCH_WAIT: Duration = Duration::from_secs(10);

/// The most stages: a job keeps track of those that it has passed in the bits of a word.
const MAX_STAGES: usize = 64;

impl PipelineOptions {
    pub(super) fn build(mut self, mut stages: Vec<Definition>) -> Result<Built, StartError> {
        let pipeline = self.name.clone();
        if stages.len() > MAX_STAGES {
            return Err(StartError::TooManyStages { pipeline, stages: stages.len() });
        }
        for stage in &mut stages {
            self.check_stage(stage)?;
            stage.options.timeout = stage.options.timeout.map(|limit| limit.min(FOREVER));
        }
        let workers = stages
            .iter()
            .map(|stage| stage.options.workers.map_or(1, |workers| workers.most))
            .fold(0, usize::saturating_add);
        require(workers <= MAX_WORKERS, || format!("pipeline `{pipeline}`"), "it has more than 8192 workers")?;
        for (at, stage) in stages.iter().enumerate() {
            if stages[..at].iter().any(|before| before.name == stage.name) {
                return Err(StartError::TwoStages { pipeline, stage: stage.name });
            }
        }
        let place = || format!("pipeline `{pipeline}`");
        check(&mut self.settings, &place)?;
        let settings = &mut self.settings;
        settings.cors = self
            .cors
            .as_ref()
            .map(Cors::build)
            .transpose()
            .or_else(|problem| require(false, place, &format!("`cors`: {problem}")).map(|()| None))?;
        settings.deadline_header = self.deadline_header.as_deref().map(str::parse).transpose().or_else(|_| {
            let name = self.deadline_header.as_deref().unwrap_or_default();
            require(false, place, &format!("`deadline_header` is `{name}`, and no header has such a name"))
                .map(|()| None)
        })?;
        require(
            self.core_budget != Some(0),
            place,
            "`core_budget` is 0, so that no stage could have more workers than its least",
        )?;
        require(self.max_parts > 0, place, "`max_parts` is 0, so that no request could be split")?;
        let entries = graph::connect(&pipeline, &mut stages, &self.routes)?;
        let routes: Vec<Route> = std::iter::zip(self.routes, &entries)
            .map(|(Entry { method, pattern, .. }, to)| Route { method, pattern, to: *to })
            .collect();
        let door = Door::new(&routes, self.health.as_deref(), self.metrics.as_deref(), graph::FIRST)?;
        let limits = Hops { max_hops: self.max_hops, max_parts: self.max_parts };
        Ok(Built {
            name: self.name,
            stages,
            door: Arc::new(door),
            entries: routes,
            hops: limits,
            core_budget: self.core_budget,
            settings: self.settings,
        })
    }

    fn check_stage(&self, stage: &Definition) -> Result<(), StartError> {
        let place = || format!("stage `{}` of pipeline `{}`", stage.name, self.name);
        check_batch(stage).or_else(|problem| require(false, place, problem))?;
        let workers = stage.options.workers.unwrap_or(Workers { least: 1, most: 1 });
        require(workers.least > 0, place, "`workers` is 0, so that no job would ever run")?;
        require(workers.least <= workers.most, place, "`workers` is a range from more to less, which is empty")?;
        let legal = !stage.name.is_empty() && !stage.name.contains(|c: char| c.is_control());
        require(legal, place, "the name is empty or has a control character, which no thread or metric may bear")?;
        let too_few =
            std::iter::zip(stage.options.max_instances, stage.options.workers).any(|(most, few)| most < few.most);
        let problem = "`max_instances` is less than `workers`, each of which has an instance";
        require(!too_few && stage.options.max_instances != Some(0), place, problem)?;
        let timeout = stage.options.timeout;
        require(
            timeout.is_none_or(|limit| !limit.is_zero()),
            place,
            "the timeout is 0, so that every job would be answered 504",
        )?;
        require(
            stage.options.max_delay.is_none_or(|delay| !delay.is_zero()),
            place,
            "`max_delay` is 0, so that whatever waits at all would be answered 503: leave it out, or give a time",
        )
    }
}

fn check_batch(stage: &Definition) -> Result<(), &'static str> {
    let Definition { takes_batches, options, choose, .. } = stage;
    match (takes_batches, options.batch, options.batch_wait) {
        (false, None, None) => Ok(()),
        (false, ..) => {
            Err("`batch` and `batch_wait` are for stages that take several jobs at a time: have its `run` take a \
             `Batch<In, Out>`, or leave them out")
        }
        (true, ..) if choose.is_some() => {
            Err("`choose` is for stages that take one job at a time: a batch gathers what comes next")
        }
        (true, None, _) => Err("it takes batches, and nothing says of how many jobs: add `.batch(32)`"),
        (true, Some(0), _) => Err("`batch` is 0, so that no job would ever run"),
        (true, Some(most), _) if most > MAX_BATCH => Err("`batch` is more than 1024"),
        (true, _, Some(wait)) if wait > MAX_BATCH_WAIT => Err("`batch_wait` is more than 10 s"),
        (true, ..) => Ok(()),
    }
}

/// Refuses settings of a front end that cannot work.
pub(super) fn check(settings: &mut Settings, place: &impl Fn() -> String) -> Result<(), StartError> {
    require(settings.max_in_flight > 0, place, "`max_in_flight` is 0, so that no request could be accepted")?;
    require(
        u32::try_from(settings.max_in_flight).is_ok(),
        place,
        "`max_in_flight` is more than 4294967295, the most that can be told apart",
    )?;
    require(!settings.deadline.is_zero(), place, "`deadline` is 0, so that no request could be answered in time")?;
    settings.limits.check().or_else(|problem| require(false, place, problem))?;
    settings.limits.stream_time = settings.limits.stream_time.min(FOREVER);
    settings.deadline = settings.deadline.min(FOREVER);
    settings.drain_limit = settings.drain_limit.min(FOREVER);
    Ok(())
}

fn require(holds: bool, place: impl Fn() -> String, problem: &str) -> Result<(), StartError> {
    if holds { Ok(()) } else { Err(StartError::Option { place: place(), problem: problem.to_owned() }) }
}
