//! (c) The peak memory of the pass, beyond the program itself.

use crate::stage::Stage;
use crate::table::{Measured, Results, Row};
use cranelift_inliner::pass::RecordLevel;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

pub(crate) fn measure(
    module: &str,
    policy: &'static str,
    stage: &Stage<'_>,
    results: &mut Results,
) {
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let one_thread = one_thread.unwrap_or_else(|error| panic!("{error}"));
    // One-time allocations of threads and hooks do not belong to the pass.
    one_thread.install(|| drop(stage.ours(RecordLevel::All)));
    let peer = one_thread.install(|| peak(|| stage.upstream()));
    // The peer's order of functions is not included.
    let ordered = one_thread.install(|| peak(|| (stage.graph(), stage.upstream())));
    let kinds = [
        ("peak memory of the pass", RecordLevel::Changes, peer),
        (
            "peak memory, a call graph for both",
            RecordLevel::Changes,
            ordered,
        ),
        (
            "peak memory, a record of every call",
            RecordLevel::All,
            peer,
        ),
    ];
    for (what, records, peer) in kinds {
        let ours = one_thread.install(|| peak(|| stage.ours(records)));
        results.push(Row {
            module: module.to_owned(),
            policy,
            what: what.into(),
            ours: ours as f64 / 1024.0,
            peer: peer as f64 / 1024.0,
            unit: "KiB",
            measured: Measured::Exactly,
        });
    }
}

/// Returns the peak memory of `f`, including its result.
fn peak<T>(f: impl FnOnce() -> T) -> usize {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let result = f();
    let peak = ALLOCATOR.peak_usage();
    drop(result);
    peak.saturating_sub(before)
}
