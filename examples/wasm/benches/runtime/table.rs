//! The measurements, as a table for readers and as JSON for scripts.

use crate::counts::Counts;
use crate::plot::Point;
use crate::variants::Variant;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The measurements of one program, compiled in one way.
pub(crate) struct Cell {
    pub(crate) run: Duration,
    pub(crate) run_median: Duration,
    pub(crate) compile: Duration,
    pub(crate) code: usize,
    pub(crate) counts: Option<Counts>,
}

/// A program.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) cells: Vec<Cell>,
}

type Figure = fn(&Cell) -> f64;

fn run(cell: &Cell) -> f64 {
    cell.run.as_secs_f64()
}

fn code(cell: &Cell) -> f64 {
    cell.code as f64
}

/// Returns a count, or NaN if nothing was counted.
fn counted(cell: &Cell, of: fn(Counts) -> u64) -> f64 {
    cell.counts.map_or(f64::NAN, |counts| of(counts) as f64)
}

const FIGURES: [(&str, &str, Figure); 6] = [
    ("run", "run time, least", run),
    ("run_median", "run time, median", |cell| {
        cell.run_median.as_secs_f64()
    }),
    ("code", "code", code),
    ("compile", "time to compile", |cell| {
        cell.compile.as_secs_f64()
    }),
    ("run_insts", "executed instructions", |cell| {
        counted(cell, |counts| counts.run)
    }),
    (
        "compile_insts",
        "instructions executed to compile",
        |cell| counted(cell, |counts| counts.compile),
    ),
];

fn ratio(row: &Row, variant: usize, figure: Figure) -> f64 {
    figure(&row.cells[variant]) / figure(&row.cells[0])
}

/// Returns the geometric mean of a variant's ratios.
fn mean(rows: &[Row], variant: usize, figure: Figure) -> f64 {
    let logs = rows.iter().map(|row| ratio(row, variant, figure).ln());
    (logs.sum::<f64>() / rows.len() as f64).exp()
}

/// Prints a table for each figure: the first way in absolute numbers, the others by comparison.
pub(crate) fn print(variants: &[Variant], rows: &[Row]) {
    for (name, title, figure) in FIGURES {
        if rows.iter().any(|row| figure(&row.cells[0]).is_nan()) {
            continue;
        }
        let (unit, factor) = match name {
            "code" => ("bytes", 1.0),
            "run_insts" | "compile_insts" => ("millions", 1e-6),
            _ => ("ms", 1e3),
        };
        println!(
            "\n{title}: {} in {unit}, and the others against it\n",
            variants[0].name
        );
        print!("| program |");
        for variant in variants {
            print!(" {} |", variant.name);
        }
        println!("\n|---|{}", "---:|".repeat(variants.len()));
        for row in rows {
            print!("| {} |", row.name);
            let first = figure(&row.cells[0]);
            match name {
                "code" => print!(" {first} |"),
                _ => print!(" {:.1} |", first * factor),
            }
            for variant in 1..variants.len() {
                print!(" {:.3} |", ratio(row, variant, figure));
            }
            println!();
        }
        print!("| geometric mean | |");
        for variant in 1..variants.len() {
            print!(" **{:.3}** |", mean(rows, variant, figure));
        }
        println!();
    }
}

/// Returns the means of run time and code, for the picture.
pub(crate) fn points(variants: &[Variant], rows: &[Row]) -> Vec<Point> {
    let variants = variants.iter().enumerate();
    let points = variants.map(|(index, variant)| Point {
        name: variant.name.clone(),
        code: mean(rows, index, code),
        run: mean(rows, index, run),
    });
    points.collect()
}

/// Returns the points in the output of [`json`].
pub(crate) fn points_from(text: &str) -> Vec<Point> {
    let all: Value = serde_json::from_str(text).expect("the file is JSON");
    let means = all["means"].as_object().expect("the file has means");
    let points = means.iter().map(|(name, figures)| Point {
        name: name.clone(),
        code: figures["code"].as_f64().expect("a number"),
        run: figures["run"].as_f64().expect("a number"),
    });
    points.collect()
}

/// Returns all figures, and the means; missing counts are null.
pub(crate) fn json(variants: &[Variant], rows: &[Row]) -> String {
    let programs = rows.iter().map(|row| {
        let cells = variants.iter().zip(&row.cells).map(|(variant, cell)| {
            let figures = FIGURES.map(|(name, _, figure)| (name.to_owned(), json!(figure(cell))));
            (
                variant.name.clone(),
                Value::Object(figures.into_iter().collect()),
            )
        });
        (row.name.clone(), Value::Object(cells.collect()))
    });
    let means = variants.iter().enumerate().map(|(index, variant)| {
        let figures =
            FIGURES.map(|(name, _, figure)| (name.to_owned(), json!(mean(rows, index, figure))));
        (
            variant.name.clone(),
            Value::Object(figures.into_iter().collect()),
        )
    });
    let all = json!({
        "programs": Value::Object(programs.collect()),
        "means": Value::Object(means.collect::<Map<_, _>>()),
    });
    format!("{all:#}\n")
}
