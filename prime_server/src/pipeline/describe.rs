//! A pipeline as a picture, for people and for Graphviz.

use std::fmt::Write;

use super::built::{Built, Definition};
use super::graph::{FIRST, Leads};
use super::workers;
use crate::route::Manner;

/// How the jobs of a stage go on, to the stage of that name.
struct Arrow {
    to: &'static str,
    manner: Manner,
}

impl Built {
    /// The pipeline as text: routes, stages, where each leads, and its limits.
    ///
    /// ```
    /// # use prime_server::prelude::*;
    /// #[stage(workers = 2)]
    /// fn hello(_: Request) -> &'static str {
    ///     "hello\n"
    /// }
    ///
    /// let pipeline = Pipeline::new("hello").route(Method::GET, "/").stage::<hello>().build()?;
    /// assert_eq!(pipeline.describe(), "\
    /// pipeline `hello`: up to 4096 requests in flight, each answered within 30s, at most 64 hops, at most 4096 parts
    /// route GET / -> hello
    /// stage `hello`: 2 workers, queue of 4096
    /// ");
    /// # Ok::<(), StartError>(())
    /// ```
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = format!(
            "pipeline `{}`: up to {} requests in flight, each answered within {:?}, at most {} hops, at most {} parts\n",
            self.name, self.settings.max_in_flight, self.settings.deadline, self.hops.max_hops, self.hops.max_parts,
        );
        for (route, to) in self.entries() {
            line(&mut text, format_args!("route {route} -> {to}"));
        }
        for stage in &self.stages {
            line(&mut text, format_args!("stage `{}`: {}", stage.name, self.limits(stage)));
            for Arrow { to, manner } in self.arrows(stage) {
                let how = match manner {
                    Manner::Whole => "",
                    Manner::Split => ", in parts",
                    Manner::Join => ", where parts are joined",
                };
                line(&mut text, format_args!("    -> {to}{how}"));
            }
        }
        text
    }

    /// The pipeline for Graphviz: `dot -Tsvg`.
    ///
    /// ```
    /// # use prime_server::prelude::*;
    /// # #[stage] fn hello(_: Request) -> &'static str { "hello\n" }
    /// let pipeline = Pipeline::new("hello").stage::<hello>().build()?;
    /// assert!(pipeline.to_dot().starts_with("digraph \"hello\" {\n"));
    /// # Ok::<(), StartError>(())
    /// ```
    #[must_use]
    pub fn to_dot(&self) -> String {
        let mut dot = format!("digraph {} {{\n", quoted(&self.name));
        line(&mut dot, format_args!("  rankdir=LR; node [shape=box, style=rounded];"));
        line(&mut dot, format_args!("  \"\" [shape=point];"));
        for stage in &self.stages {
            let label = format!("{}\n{}", stage.name, self.limits(stage).replace(", ", "\n"));
            line(&mut dot, format_args!("  {} [label={}];", quoted(stage.name), quoted(&label)));
        }
        for (route, to) in self.entries() {
            line(&mut dot, format_args!("  \"\" -> {} [label={}];", quoted(to), quoted(&route)));
        }
        for stage in &self.stages {
            for Arrow { to, manner } in self.arrows(stage) {
                let style = match manner {
                    Manner::Whole => "",
                    Manner::Split => " [label=\"split\", style=bold, arrowhead=crow]",
                    Manner::Join => " [label=\"join\", style=bold, arrowtail=crow, dir=both]",
                };
                line(&mut dot, format_args!("  {} -> {}{style};", quoted(stage.name), quoted(to)));
            }
        }
        dot + "}\n"
    }

    /// Method and path of each route, and the stage that it leads to.
    fn entries(&self) -> Vec<(String, &'static str)> {
        if self.entries.is_empty() {
            return vec![("any".to_owned(), self.stages[FIRST.index()].name)];
        }
        let entry = |entry: &crate::frontend::Route| {
            (format!("{} {}", entry.method, entry.pattern), self.stages[entry.to.index()].name)
        };
        self.entries.iter().map(entry).collect()
    }

    fn arrows(&self, stage: &Definition) -> Vec<Arrow> {
        let manner = |at: usize| match stage.leads {
            Leads::Next(manner) => manner,
            Leads::ByName(routes) => routes[at].manner,
        };
        let mut arrows: Vec<Arrow> = Vec::new();
        for (at, to) in stage.routes.iter().enumerate() {
            let arrow = Arrow { to: self.stages[to.index()].name, manner: manner(at) };
            if !arrows.iter().any(|known| known.to == arrow.to && known.manner == arrow.manner) {
                arrows.push(arrow);
            }
        }
        arrows
    }

    fn limits(&self, stage: &Definition) -> String {
        let workers = workers::of(stage);
        let queue = stage.options.queue.unwrap_or(self.settings.max_in_flight);
        let mut text = format!("{workers}, queue of {queue}");
        if let Some(timeout) = stage.options.timeout {
            text += &format!(", timeout {timeout:?}");
        }
        if let Some(most) = stage.options.batch {
            text += &format!(", batches of up to {most}");
        }
        if let Some(wait) = stage.options.batch_wait {
            text += &format!(" within {wait:?}");
        }
        if stage.options.idempotent {
            text += ", idempotent";
        }
        text
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string takes all");
}

/// A string of the DOT language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
