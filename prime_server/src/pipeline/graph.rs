//! Who leads where: routes are resolved, and what cannot work is refused with its place named.

use std::collections::BTreeSet;

use http::Method;

use super::built::Definition;
use crate::ids::StageId;
use crate::route::Manner;
use crate::{RouteTo, StartError};

/// Where requests go where no route says otherwise.
pub(super) const FIRST: StageId = StageId(0);

/// A route by method and path, to that stage or the first.
pub(super) struct Entry {
    pub(super) method: Method,
    pub(super) pattern: String,
    pub(super) to: Option<RouteTo>,
}

/// Where a stage's outcome leads.
pub(super) enum Leads {
    /// To the stage after it.
    Next(Manner),
    /// Where its type says.
    ByName(&'static [RouteTo]),
}

/// A route of an outcome, resolved.
#[derive(Clone, Copy)]
pub(super) struct Edge {
    pub(super) to: StageId,
    pub(super) manner: Manner,
}

/// Resolves all routes, and gives the stages that the entries lead to.
pub(super) fn connect(
    pipeline: &str,
    stages: &mut [Definition],
    entries: &[Entry],
) -> Result<Vec<StageId>, StartError> {
    let place = |stage: &Definition| format!("stage `{}` of pipeline `{pipeline}`", stage.name);
    let edges = (0..stages.len())
        .map(|at| edges(stages, at).map_err(|error| error.at(place(&stages[at]))))
        .collect::<Result<Vec<_>, _>>()?;
    let entry = |entry: &Entry| {
        let place = || format!("route `{} {}` of pipeline `{pipeline}`", entry.method, entry.pattern);
        entry.to.map_or(Ok(FIRST), |to| find(stages, to).map_err(|error| error.at(place())))
    };
    let targets = entries.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let begin = if targets.is_empty() { vec![FIRST] } else { targets.clone() };

    let depths = depths(&edges, &begin).map_err(|(at, problem)| StartError::Parts {
        place: place(&stages[at.index()]),
        problem: problem.to_owned(),
    })?;
    if let Some(at) = depths.iter().position(Option::is_none) {
        return Err(StartError::Unreached { pipeline: pipeline.to_owned(), stage: stages[at].name });
    }
    for (at, stage) in stages.iter().enumerate() {
        for edge in edges[at].iter().filter(|edge| edge.manner == Manner::Split) {
            let joins: Vec<&str> = joins(&edges, *edge).into_iter().map(|stage| stages[stage.index()].name).collect();
            let problem = match joins[..] {
                [_] => continue,
                [] => "the parts that it splits requests into are never joined: let them come to a stage that takes \
                       `Join<R>`, by `.join::<S>()` or `#[to(...)]`"
                    .to_owned(),
                [first, second, ..] => format!(
                    "the parts that it splits a request into are joined by both `{first}` and `{second}`: let all of them \
                     come to one"
                ),
            };
            return Err(StartError::Parts { place: place(stage), problem });
        }
    }
    for (stage, edges) in std::iter::zip(stages, edges) {
        stage.routes = edges.iter().map(|edge| edge.to).collect();
    }
    Ok(targets)
}

/// What is wrong with a route, wherever it is.
enum Wrong {
    Unknown(&'static str),
    Message { stage: &'static str, sends: &'static str, takes: &'static str },
}

impl Wrong {
    fn at(self, place: String) -> StartError {
        match self {
            Self::Unknown(stage) => StartError::UnknownStage { place, stage },
            Self::Message { stage, sends, takes } => StartError::WrongMessage { place, stage, sends, takes },
        }
    }
}

fn find(stages: &[Definition], route: RouteTo) -> Result<StageId, Wrong> {
    let at = stages.iter().position(|stage| stage.name == route.stage).ok_or(Wrong::Unknown(route.stage))?;
    let takes = stages[at].takes;
    if takes == route.takes {
        return Ok(StageId(at as u16));
    }
    Err(Wrong::Message { stage: route.stage, sends: route.takes.name(), takes: takes.name() })
}

fn edges(stages: &[Definition], at: usize) -> Result<Vec<Edge>, Wrong> {
    match stages[at].leads {
        Leads::Next(manner) => Ok(vec![Edge { to: StageId(at as u16 + 1), manner }]),
        Leads::ByName(routes) => {
            routes.iter().map(|route| Ok(Edge { to: find(stages, *route)?, manner: route.manner })).collect()
        }
    }
}

/// How often a request has been split when it comes to each stage; nothing for those that it never comes to.
fn depths(edges: &[Vec<Edge>], begin: &[StageId]) -> Result<Vec<Option<u32>>, (StageId, &'static str)> {
    let mut depths = vec![None; edges.len()];
    let mut no_part = None;
    let mut open: Vec<(StageId, u32)> = begin.iter().map(|stage| (*stage, 0)).collect();
    while let Some((stage, depth)) = open.pop() {
        match depths[stage.index()].replace(depth) {
            Some(known) if known == depth => continue,
            Some(_) => return Err((stage, MIXED)),
            None => {}
        }
        for edge in &edges[stage.index()] {
            match (edge.manner, depth) {
                (Manner::Whole, _) => open.push((edge.to, depth)),
                (Manner::Split, _) => open.push((edge.to, depth + 1)),
                (Manner::Join, 0) => no_part = Some(stage),
                (Manner::Join, _) => open.push((edge.to, depth - 1)),
            }
        }
    }
    no_part.map_or(Ok(depths), |stage| Err((stage, NO_PART)))
}

const MIXED: &str = "it is reached by whole requests and by parts, or by parts of parts: make two stages of it";
const NO_PART: &str =
    "it leads to a stage that joins parts, and what comes to it is no part: a `Split` must come before";

/// The stages where the parts of a split are joined.
fn joins(edges: &[Vec<Edge>], split: Edge) -> BTreeSet<StageId> {
    let mut joins = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![(split.to, 0_u32)];
    while let Some((stage, depth)) = open.pop() {
        if !seen.insert(stage) {
            continue;
        }
        for edge in &edges[stage.index()] {
            match (edge.manner, depth) {
                (Manner::Join, 0) => _ = joins.insert(edge.to),
                (Manner::Join, _) => open.push((edge.to, depth - 1)),
                (Manner::Split, _) => open.push((edge.to, depth + 1)),
                (Manner::Whole, _) => open.push((edge.to, depth)),
            }
        }
    }
    joins
}
