//! The output of the bench.

use std::time::Duration;

pub(crate) struct Times {
    least: f64,
    median: f64,
}

impl Times {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort();
        let seconds = |index: usize| times.get(index).map_or(f64::NAN, Duration::as_secs_f64);
        Times {
            least: seconds(0),
            median: seconds(times.len() / 2),
        }
    }
}

/// The times and code sizes of one program: plain, inlined, optimized, by hand.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) times: [Times; 4],
    pub(crate) bytes: [u64; 4],
}

impl Row {
    fn ratio(&self, variant: usize, to: usize) -> f64 {
        self.times[variant].least / self.times[to].least
    }
}

fn geometric_mean(ratios: impl Iterator<Item = f64>) -> f64 {
    let logs: Vec<f64> = ratios.map(f64::ln).collect();
    let count = f64::from(u32::try_from(logs.len()).unwrap_or(u32::MAX));
    (logs.iter().sum::<f64>() / count).exp()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "code is smaller than 2^52 bytes"
)]
fn bytes_ratio(row: &Row) -> f64 {
    row.bytes[2] as f64 / row.bytes[0] as f64
}

pub(crate) fn print(rows: &[Row]) {
    println!(
        "{:12} {:>10} {:>8} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "program", "by hand", "plain", "inlined", "optimized", "(median)", "to inl.", "code"
    );
    println!(
        "{:12} {:>10} {:>8} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "", "ms", "to hand", "to hand", "to hand", "to hand", "", "to plain"
    );
    for row in rows {
        println!(
            "{:12} {:10.2} {:8.2} {:9.2} {:9.2} {:9.2} {:9.2} {:7.2}",
            row.name,
            row.times[3].least * 1e3,
            row.ratio(0, 3),
            row.ratio(1, 3),
            row.ratio(2, 3),
            row.times[2].median / row.times[3].median,
            row.ratio(2, 1),
            bytes_ratio(row),
        );
    }
    let mean = |variant, to| geometric_mean(rows.iter().map(|row| row.ratio(variant, to)));
    println!(
        "{:12} {:>10} {:8.2} {:9.2} {:9.2} {:>9} {:9.2} {:7.2}",
        "mean",
        "",
        mean(0, 3),
        mean(1, 3),
        mean(2, 3),
        "",
        mean(2, 1),
        geometric_mean(rows.iter().map(bytes_ratio)),
    );
    let worst = rows.iter().map(|row| row.ratio(2, 3)).fold(0.0, f64::max);
    println!("the worst program takes {worst:.2} of the time by hand");
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of counts below 2^52")]
pub(crate) fn print_counts(counts: [u64; 4]) {
    let ratio = |variant: usize| counts[variant] as f64 / counts[0] as f64;
    println!(
        "instructions executed to compile all programs, against those without inlining: \
         inlined {:.3}, optimized {:.3}",
        ratio(1),
        ratio(2)
    );
}
