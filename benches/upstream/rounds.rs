//! Timing of two sides in one run.

use crate::table::Ratios;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The times of both sides over some rounds, in seconds.
pub(crate) struct Rounds {
    ours: Vec<f64>,
    peer: Vec<f64>,
}

impl Rounds {
    /// Runs both sides `rounds` times, one after the other, each first in every other round. Each
    /// side returns its time, so that its preparation does not count.
    pub(crate) fn run(
        rounds: usize,
        mut ours: impl FnMut() -> Duration,
        mut peer: impl FnMut() -> Duration,
    ) -> Self {
        let mut times = Rounds {
            ours: Vec::new(),
            peer: Vec::new(),
        };
        for round in 0..rounds {
            if round % 2 == 0 {
                times.ours.push(ours().as_secs_f64());
                times.peer.push(peer().as_secs_f64());
            } else {
                times.peer.push(peer().as_secs_f64());
                times.ours.push(ours().as_secs_f64());
            }
        }
        times
    }

    /// Returns medians in milliseconds.
    pub(crate) fn medians(&self) -> (f64, f64) {
        (median(&self.ours) * 1e3, median(&self.peer) * 1e3)
    }

    /// Returns the ratios of single rounds.
    pub(crate) fn ratios(&self) -> Ratios {
        let ratios = self.ours.iter().zip(&self.peer).map(|(a, b)| a / b);
        let ratios: Vec<f64> = ratios.collect();
        Ratios {
            least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            median: median(&ratios),
            greatest: ratios.iter().copied().fold(0.0, f64::max),
        }
    }
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns the time of `f`, without dropping its result.
pub(crate) fn time<T>(f: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    let result = black_box(f());
    let elapsed = start.elapsed();
    drop(result);
    elapsed
}
