//! Statistics as tables of text.

use crate::statistics::{Phases, Statistics};
use std::fmt::Write as _;
use tabled::builder::Builder;
use tabled::settings::object::{Columns, Object, Rows};
use tabled::settings::{Alignment, Style};

/// Returns the totals only.
pub(crate) fn short(statistics: &Statistics) -> String {
    totals(statistics)
}

/// Returns totals, reasons, the greatest changes and times.
pub(crate) fn full(statistics: &Statistics) -> String {
    let mut text = totals(statistics);
    let tables = [
        reasons(statistics),
        changes(statistics),
        transforms(statistics),
        times(&statistics.microseconds),
    ];
    for table in tables.into_iter().flatten() {
        // Writing to a string does not fail.
        let _ = write!(text, "\n\n{table}");
    }
    text
}

fn totals(statistics: &Statistics) -> String {
    let Statistics {
        functions,
        functions_dropped,
        call_sites_before,
        call_sites_after,
        instructions_before,
        instructions_after,
        stack_bytes_before,
        stack_bytes_after,
        flags_dropped,
        regions_dropped,
        ..
    } = statistics;
    let mut rows = vec![
        ["", "before", "after", "change"].map(str::to_owned),
        change_row("functions", *functions, functions - functions_dropped),
        change_row("call sites", *call_sites_before, *call_sites_after),
        change_row("instructions", *instructions_before, *instructions_after),
        change_row("stack slot bytes", *stack_bytes_before, *stack_bytes_after),
    ];
    if flags_dropped + regions_dropped > 0 {
        rows.push(only_after("memory flags dropped", *flags_dropped));
        rows.push(only_after("alias regions dropped", *regions_dropped));
    }
    match (statistics.code_bytes_before, statistics.code_bytes) {
        (Some(before), Some(after)) => rows.push(change_row("code bytes", before, after)),
        (None, Some(after)) => rows.push(only_after("code bytes", after)),
        (_, None) => {}
    }
    let mut single = |label: &str, value: usize| rows.push(only_after(label, value));
    if statistics.fallbacks > 0 {
        single("compiled as they were", statistics.fallbacks);
    }
    if let Some(directives) = statistics.directives {
        single("directives passed", directives.passed);
        single("directives failed", directives.failed);
        single("directives skipped", directives.passed_over);
    }
    table(rows, 1)
}

/// Returns a number without a value before.
fn only_after(label: &str, value: usize) -> [String; 4] {
    let label = label.to_owned();
    [label, String::new(), value.to_string(), String::new()]
}

fn change_row<N: Copy + ToString + TryInto<i64>>(label: &str, before: N, after: N) -> [String; 4] {
    let number = |n: N| n.try_into().unwrap_or(i64::MAX);
    let difference = number(after).saturating_sub(number(before));
    let change = match (difference, number(before)) {
        (0, _) => "0".to_owned(),
        (_, 0) => format!("{difference:+}"),
        (_, whole) => {
            let percent = 100.0 * difference as f64 / whole as f64;
            format!("{difference:+} ({percent:+.1} %)")
        }
    };
    [
        label.to_owned(),
        before.to_string(),
        after.to_string(),
        change,
    ]
}

fn reasons(statistics: &Statistics) -> Option<String> {
    let mut rows = vec![["decision", "reason", "call sites"].map(str::to_owned)];
    for ((verdict, reason), count) in &statistics.sites {
        rows.push([verdict.to_string(), (*reason).to_owned(), count.to_string()]);
    }
    (rows.len() > 1).then(|| table(rows, 2))
}

fn changes(statistics: &Statistics) -> Option<String> {
    let mut rows = vec![
        [
            "biggest changes",
            "before",
            "after",
            "change",
            "calls inlined",
        ]
        .map(str::to_owned),
    ];
    for change in &statistics.changes {
        let [name, before, after, difference] =
            change_row(&change.name, change.before, change.after);
        let after = if change.dropped {
            "dropped".to_owned()
        } else {
            after
        };
        rows.push([name, before, after, difference, change.inlined.to_string()]);
    }
    (rows.len() > 1).then(|| table(rows, 1))
}

fn transforms(statistics: &Statistics) -> Option<String> {
    let mut rows = vec![["after inlining", "number"].map(str::to_owned)];
    for (label, count) in statistics.transforms.rows() {
        if count > 0 {
            rows.push([label.to_owned(), count.to_string()]);
        }
    }
    (rows.len() > 1).then(|| table(rows, 1))
}

fn times(phases: &Phases) -> Option<String> {
    let rows = [
        ("read", phases.read),
        ("verify input", phases.verify_input),
        ("graph", phases.graph),
        ("inline", phases.inline),
        ("clean up", phases.cleanup),
        ("verify results", phases.verify),
        ("compile", phases.compile),
        ("compile the input as it is", phases.compile_before),
        ("execute", phases.execute),
        ("write", phases.write),
        ("total", phases.total),
    ];
    let mut table_rows = vec![["time", "milliseconds"].map(str::to_owned)];
    for (label, time) in rows {
        if !time.is_zero() {
            let milliseconds = format!("{:.1}", time.as_secs_f64() * 1000.0);
            table_rows.push([label.to_owned(), milliseconds]);
        }
    }
    Some(table(table_rows, 1))
}

/// Returns a table. The first row is a head; columns from `numbers` on are aligned to the right.
fn table<const N: usize>(rows: Vec<[String; N]>, numbers: usize) -> String {
    let mut table = Builder::from_iter(rows).build();
    table
        .with(Style::sharp())
        .modify(Columns::new(numbers..), Alignment::right())
        .modify(
            Rows::first().intersect(Columns::new(..numbers)),
            Alignment::left(),
        );
    table.to_string()
}
