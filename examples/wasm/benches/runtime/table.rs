//! The measurements, as a table for readers and as JSON for scripts.

use crate::variants::Variant;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The measurements of one program, compiled in one way.
pub(crate) struct Cell {
    pub(crate) run: Duration,
    pub(crate) run_median: Duration,
    pub(crate) compile: Duration,
    pub(crate) code: usize,
}

/// A program.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) cells: Vec<Cell>,
}

type Figure = fn(&Cell) -> f64;

const FIGURES: [(&str, &str, Figure); 4] = [
    ("run", "run time, least", |cell| cell.run.as_secs_f64()),
    ("run_median", "run time, median", |cell| {
        cell.run_median.as_secs_f64()
    }),
    ("code", "code", |cell| cell.code as f64),
    ("compile", "time to compile", |cell| {
        cell.compile.as_secs_f64()
    }),
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
        let unit = if name == "code" { "bytes" } else { "ms" };
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
                _ => print!(" {:.1} |", first * 1e3),
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

/// Returns all figures, and the means.
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
