//! This crate beside Cranelift's own inliner, `Context::inline`, on the same decisions.
//!
//! ```text
//! cargo bench --bench upstream
//! cargo bench --bench upstream -- --part a --module richards --policy small
//! ```
//!
//! It measures the corpus if present, and otherwise the repository's own modules. Each line of the
//! table has this crate's figure, the peer's, the ratio, and the least and the greatest ratio of a
//! round. Times are only useful as ratios: both sides run in turn in one process.

mod counts;
mod decisions;
mod job;
mod memory;
mod modules;
mod options;
mod output;
mod pipeline;
mod plot;
mod rounds;
mod scaling;
mod splice;
mod stage;
mod table;

use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::backend::{TargetSettings, target};
use decisions::{Decisions, Policy};
use options::Options;
use stage::Stage;
use std::path::Path;
use table::Results;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, side, folder] = arguments.as_slice()
        && flag == counts::CHILD
    {
        counts::run_child(side, Path::new(folder));
        return;
    }
    let settings = TargetSettings::new().opt_level(OptLevel::Speed);
    let target = |name| target(name, &settings).unwrap_or_else(|error| panic!("{error}"));
    let (x64, aarch64) = (target("x86_64"), target("aarch64"));
    if let [flag, side, folder] = arguments.as_slice()
        && flag == counts::COMPILING_CHILD
    {
        counts::run_compiling_child(side, Path::new(folder), &*x64);
        return;
    }
    let options = Options::from_arguments();
    let mut results = Results::default();
    let targets = [("x64", &*x64), ("aarch64", &*aarch64)];
    for module in modules::modules() {
        if !options.wants_module(&module.name) || !"abcd".contains(|part| options.wants_part(part))
        {
            continue;
        }
        let Some(program) = module.program() else {
            continue;
        };
        for (index, policy) in Policy::ALL.into_iter().enumerate() {
            if !options.wants_policy(policy) {
                continue;
            }
            let decisions = Decisions::record(&program, policy, &*x64);
            let work = decisions.work(&program);
            results.note(format!(
                "{}, {}: {} calls in {} callers; {} more only we inline",
                module.name,
                policy.name(),
                work.site_count(),
                work.jobs.len(),
                decisions.dropped,
            ));
            if options.wants_part('a') {
                splice::measure(&module.name, policy.name(), &work, &options, &mut results);
            }
            let (name, policy) = (&*module.name, policy.name());
            let stage = Stage::new(&program, &decisions);
            if options.wants_part('b') {
                output::measure(name, policy, &stage, &targets, &options, &mut results);
            }
            if options.wants_part('c') {
                memory::measure(name, policy, &stage, &mut results);
            }
            if options.wants_part('d') {
                pipeline::measure(name, policy, &stage, &*x64, &options, &mut results);
                if index == 0 {
                    pipeline::measure_default(
                        name,
                        &program,
                        &stage,
                        &*x64,
                        &options,
                        &mut results,
                    );
                }
            }
        }
    }
    if options.wants_part('e') {
        scaling::measure(&options, &mut results);
    }
    results.print_means();
    let json = format!("{:#}\n", results.to_json());
    std::fs::write(&options.json, json).unwrap_or_else(|error| panic!("{error}"));
    eprintln!("wrote {}", options.json);
}
