//! The stages as a front end knows them, and which of their proxies it sends to.

use std::collections::{HashMap, VecDeque};
use std::ops::{Index, IndexMut};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::remote::{Gauge, Gauges};
use crate::transport::zmq::links::LinkId;
use crate::transport::zmq::wire::Status;

#[derive(Debug)]
pub(super) struct Stages {
    stages: Vec<Stage>,
    by_name: HashMap<String, usize>,
    links: HashMap<LinkId, Link>,
    gauges: Gauges,
    /// How many of those that are known beforehand have had no proxy yet.
    awaited: usize,
}

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) name: String,
    /// Of the message that it takes; 0 where that is not known.
    pub(super) schema: u64,
    links: Vec<LinkId>,
    /// Jobs that wait for a proxy, and since when: key and generation.
    pub(super) waiting: VecDeque<(usize, u32, Instant)>,
    gauge: Arc<Gauge>,
}

/// A link to a proxy.
#[derive(Debug)]
struct Link {
    stage: usize,
    status: Status,
    /// It has said BYE.
    leaves: bool,
    /// How many of our jobs it has.
    jobs: u64,
}

/// The most stages that are known of. A pipeline has 64 at most; what more is named is a worker's mistake, and is kept for ever.
const MOST: usize = 1024;

impl Index<usize> for Stages {
    type Output = Stage;

    fn index(&self, stage: usize) -> &Stage {
        &self.stages[stage]
    }
}

impl IndexMut<usize> for Stages {
    fn index_mut(&mut self, stage: usize) -> &mut Stage {
        &mut self.stages[stage]
    }
}

impl Stages {
    /// Those that are known beforehand, each with the schema of what it takes.
    pub(super) fn new(known: &[(String, u64)]) -> Self {
        let mut stages = Self {
            stages: Vec::new(),
            by_name: HashMap::new(),
            links: HashMap::new(),
            gauges: Gauges::default(),
            awaited: known.len(),
        };
        for (name, schema) in known {
            let stage = stages.named(name);
            stages[stage].schema = *schema;
            stages[stage].gauge.awaited.store(true, Ordering::Relaxed);
        }
        stages
    }

    pub(super) fn gauges(&self) -> Gauges {
        Arc::clone(&self.gauges)
    }

    pub(super) fn len(&self) -> usize {
        self.stages.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stage> {
        self.stages.iter()
    }

    /// The stage of that name, to which a job goes on. `None` where it is one more than any pipeline has.
    pub(super) fn next(&mut self, name: &str) -> Option<usize> {
        (self.by_name.contains_key(name) || self.stages.len() < MOST).then(|| self.named(name))
    }

    /// The stage of that name, which may not have been heard of before.
    pub(super) fn named(&mut self, name: &str) -> usize {
        if let Some(stage) = self.by_name.get(name) {
            return *stage;
        }
        let stage = self.stages.len();
        let gauge = Gauge::new(name);
        self.gauges.write().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&gauge));
        let name = name.to_owned();
        self.by_name.insert(name.clone(), stage);
        self.stages.push(Stage { name, schema: 0, links: Vec::new(), waiting: VecDeque::new(), gauge });
        stage
    }

    /// A proxy of that stage is there. Returns the stage, and whether by this each that was known has had one.
    pub(super) fn linked(&mut self, link: LinkId, stage: &str) -> (usize, bool) {
        let stage = self.named(stage);
        self.links.insert(link, Link { stage, status: Status::default(), leaves: false, jobs: 0 });
        self.stages[stage].links.push(link);
        let first = self.stages[stage].gauge.awaited.swap(false, Ordering::Relaxed);
        self.awaited -= usize::from(first);
        (stage, first && self.awaited == 0)
    }

    /// What was known of a link that is lost.
    pub(super) fn lost(&mut self, link: LinkId) -> Option<Status> {
        let lost = self.links.remove(&link)?;
        self.stages[lost.stage].links.retain(|there| *there != link);
        Some(lost.status)
    }

    pub(super) fn status(&mut self, link: LinkId, status: Status) {
        if let Some(link) = self.links.get_mut(&link) {
            link.status = status;
        }
    }

    /// No more jobs are to be sent on a link.
    pub(super) fn leaves(&mut self, link: LinkId) {
        if let Some(link) = self.links.get_mut(&link) {
            link.leaves = true;
        }
    }

    pub(super) fn has_left(&self, link: LinkId) -> bool {
        self.links.get(&link).is_none_or(|link| link.leaves)
    }

    pub(super) fn sent(&mut self, link: LinkId) {
        if let Some(link) = self.links.get_mut(&link) {
            link.jobs += 1;
        }
    }

    pub(super) fn ended(&mut self, link: LinkId) {
        if let Some(link) = self.links.get_mut(&link) {
            link.jobs = link.jobs.saturating_sub(1);
        }
    }

    /// How many threads a stage has, as far as it is known.
    pub(super) fn slots(&self, stage: usize) -> u64 {
        // Workers are linked to all proxies of their stage.
        self.stages[stage].links.iter().map(|link| self.links[link].status.slots).max().unwrap_or(0)
    }

    /// The proxy with the fewest of our jobs to a thread; one without workers only where the others have none either.
    pub(super) fn choose(&self, stage: usize) -> Option<LinkId> {
        let open = self.stages[stage].links.iter().filter(|link| !self.links[link].leaves);
        open.copied().min_by(|a, b| {
            let (a, b) = (&self.links[a], &self.links[b]);
            let idle = |link: &Link| link.status.slots == 0;
            let scaled = |a: &Link, b: &Link| u128::from(a.jobs) * u128::from(b.status.slots);
            let loads = || scaled(a, b).cmp(&scaled(b, a)).then(a.jobs.cmp(&b.jobs));
            idle(a).cmp(&idle(b)).then_with(loads)
        })
    }

    /// Lets whoever looks at the gauges see the present state.
    pub(super) fn show(&self) {
        for stage in &self.stages {
            let away = stage.links.iter().map(|link| self.links[link].jobs).sum::<u64>();
            stage.gauge.waiting.store(stage.waiting.len(), Ordering::Relaxed);
            stage.gauge.away.store(away as usize, Ordering::Relaxed);
        }
    }
}
