//! Figures as tables, in Markdown.

use std::fmt::Write;

use crate::summary::Summary;

/// The quantiles that are shown.
const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];

/// A table of all jobs by policy, and where there are several classes, one of each.
#[must_use]
pub fn tables(summaries: &[Summary], classes: &[String]) -> String {
    let mut text = String::new();
    let rows = summaries.iter().map(|summary| {
        let slowdowns = QUANTILES.map(|part| number(summary.all.quantile(part)));
        let mut row = vec![summary.policy.to_owned(), number(summary.all.mean())];
        row.extend(slowdowns);
        row.extend([time(summary.mean_sojourn), time(summary.mean_wait), summary.refused.to_string()]);
        row
    });
    let head = ["policy", "mean slowdown", "p50", "p99", "p99.9", "mean sojourn", "mean wait", "refused"];
    write_table(&mut text, &head.map(str::to_owned), rows);
    if classes.len() > 1 {
        for part in [0.5, 0.99] {
            let head: Vec<String> = std::iter::once(format!("p{} slowdown by class", part * 100.0))
                .chain(classes.iter().cloned())
                .collect();
            let rows = summaries.iter().map(|summary| {
                let of_class = summary.classes.iter().map(|class| number(class.quantile(part)));
                std::iter::once(summary.policy.to_owned()).chain(of_class).collect()
            });
            text.push('\n');
            write_table(&mut text, &head, rows);
        }
    }
    text
}

fn write_table(text: &mut String, head: &[String], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> = rows.collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).chain([head[at].chars().count()]).max();
    let widths: Vec<usize> = (0..head.len()).filter_map(width).collect();
    let mut line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).enumerate();
        let cells = cells
            .map(|(at, (cell, width))| if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        let cells: Vec<String> = cells.collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    line(head);
    let rule = |(at, width): (usize, &usize)| if at == 0 { "-".repeat(*width) } else { "-".repeat(width - 1) + ":" };
    line(&widths.iter().enumerate().map(rule).collect::<Vec<_>>());
    rows.iter().for_each(|row| line(row));
}

/// Three digits.
#[must_use]
pub fn number(value: f64) -> String {
    match value {
        ..9.995 => format!("{value:.2}"),
        ..99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A time in seconds, in the unit that suits it.
#[must_use]
pub fn time(seconds: f64) -> String {
    match seconds {
        ..1e-3 => format!("{} µs", number(seconds * 1e6)),
        ..1.0 => format!("{} ms", number(seconds * 1e3)),
        _ => format!("{} s", number(seconds)),
    }
}
