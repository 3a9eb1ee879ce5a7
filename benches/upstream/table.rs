//! The results, as a table and as JSON.

use serde_json::{Value, json};

/// A row: one measure of both sides.
pub(crate) struct Row {
    pub(crate) module: String,
    pub(crate) policy: &'static str,
    pub(crate) what: String,
    pub(crate) ours: f64,
    pub(crate) peer: f64,
    pub(crate) unit: &'static str,
    pub(crate) measured: Measured,
}

/// The source of the two figures of a row.
#[derive(Clone, Copy)]
pub(crate) enum Measured {
    /// Counted, or the same in each run.
    Exactly,
    /// The least of a few times of either side.
    Least,
    /// The medians of some rounds, which had these ratios.
    InRounds(Ratios),
}

/// The ratios of ours to the peer's in single rounds.
#[derive(Clone, Copy)]
pub(crate) struct Ratios {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) greatest: f64,
}

impl Row {
    /// Both sides of a round run one after the other, so the current speed of the machine is the
    /// same for both. The ratio of several rounds is the median of their ratios.
    pub(crate) fn ratio(&self) -> f64 {
        match self.measured {
            Measured::InRounds(ratios) => ratios.median,
            Measured::Exactly | Measured::Least => self.ours / self.peer,
        }
    }
}

/// All rows of a run, and the notes beside them.
#[derive(Default)]
pub(crate) struct Results {
    pub(crate) rows: Vec<Row>,
    pub(crate) notes: Vec<String>,
}

impl Results {
    /// Adds a row and prints it at once.
    pub(crate) fn push(&mut self, row: Row) {
        if self.rows.is_empty() {
            println!("| module | policy | measure | ours | peer | ratio | spread |");
            println!("|---|---|---|---|---|---|---|");
        }
        println!("{}", line(&row));
        self.rows.push(row);
    }

    pub(crate) fn note(&mut self, note: String) {
        eprintln!("note: {note}");
        self.notes.push(note);
    }

    /// Prints the geometric mean of each measure over several modules.
    pub(crate) fn print_means(&self) {
        println!("\n| policy | measure | ratio, geometric mean | worst |\n|---|---|---|---|");
        for (policy, what, mean, worst) in self.means() {
            println!("| {policy} | {what} | {mean:.3} | {worst:.3} |");
        }
    }

    fn means(&self) -> Vec<(&'static str, String, f64, f64)> {
        let mut kinds: Vec<(&'static str, &str)> = Vec::new();
        for row in &self.rows {
            if !kinds.contains(&(row.policy, &row.what)) {
                kinds.push((row.policy, &row.what));
            }
        }
        let mean = |(policy, what): (&'static str, &str)| {
            let rows = self.rows.iter();
            let rows = rows.filter(|row| row.policy == policy && row.what == what);
            let ratios: Vec<f64> = rows.map(Row::ratio).filter(|r| r.is_finite()).collect();
            let logarithms: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
            let mean = (logarithms / ratios.len() as f64).exp();
            let worst = ratios.into_iter().fold(0.0, f64::max);
            (policy, what.to_owned(), mean, worst)
        };
        kinds.into_iter().map(mean).collect()
    }

    pub(crate) fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "module": row.module,
                "policy": row.policy,
                "what": row.what,
                "unit": row.unit,
                "ours": row.ours,
                "peer": row.peer,
                "ratio": row.ratio(),
                "spread": match row.measured {
                    Measured::InRounds(ratios) => json!([ratios.least, ratios.greatest]),
                    Measured::Exactly | Measured::Least => Value::Null,
                },
            })
        });
        let means = self.means().into_iter().map(|(policy, what, mean, worst)| {
            json!({ "policy": policy, "what": what, "ratio": mean, "worst": worst })
        });
        json!({
            "rows": rows.collect::<Vec<_>>(),
            "means": means.collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }
}

fn line(row: &Row) -> String {
    let spread = match row.measured {
        Measured::InRounds(Ratios {
            least, greatest, ..
        }) => format!("{least:.3} to {greatest:.3}"),
        Measured::Exactly => "exact".to_owned(),
        Measured::Least => "least of a few".to_owned(),
    };
    format!(
        "| {} | {} | {} | {} | {} | {:.3} | {spread} |",
        row.module,
        row.policy,
        row.what,
        amount(row.ours, row.unit),
        amount(row.peer, row.unit),
        row.ratio(),
    )
}

fn amount(value: f64, unit: &str) -> String {
    if value >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.3} {unit}")
    }
}
