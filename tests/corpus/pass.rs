//! Modules go through the pass under each policy, every step verified, and compile for both
//! architectures.

use super::files::{corpus, module_name};
use cranelift_codegen::ir;
use cranelift_inliner::backend::{TargetSettings, target};
use cranelift_inliner::decide::{Always, CostModel, Inline, Small};
use cranelift_inliner::pass::{Inlined, Inliner};
use cranelift_inliner::program::Program;
use std::collections::{BTreeMap, HashSet};

fn policies() -> Vec<(&'static str, Box<dyn Inline>)> {
    vec![
        ("always", Box::new(Always)),
        ("small", Box::new(Small::default())),
        ("cost", Box::new(CostModel::default())),
    ]
}

#[test]
fn real_modules_are_inlined_verified_and_compiled() {
    for (path, text) in corpus() {
        let module = module_name(&path);
        let program = Program::from_clif(&text, module).unwrap();
        for (policy_name, policy) in policies() {
            for target_name in ["x86_64", "aarch64"] {
                let isa = target(target_name, &TargetSettings::new()).unwrap();
                let (inlined, compiled) = Inliner::new(&*policy)
                    .verify_with(&*isa)
                    .run_and_compile(&program, &*isa)
                    .unwrap_or_else(|error| panic!("{module}, {policy_name}: {error}"));
                inlined.program().verify(&*isa).unwrap();
                check_report(&program, &inlined);
                let fallbacks: Vec<_> = compiled
                    .fallbacks()
                    .map(|(id, fallback)| (program[id].name(), &fallback.reason))
                    .collect();
                assert!(
                    fallbacks.is_empty(),
                    "{module}, {policy_name}: {fallbacks:?}"
                );
                assert_eq!(compiled.iter().len(), inlined.program().len());
                println!(
                    "{module} {policy_name} {target_name}: {} bytes of code; {}",
                    compiled.code_bytes(),
                    line(&inlined),
                );
            }
        }
    }
}

/// Returns the counts of a report in one line.
fn line(inlined: &Inlined) -> String {
    let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
    let mut count = 0;
    for site in inlined.sites() {
        if site.inlined {
            count += 1;
        } else {
            *kept.entry(site.reason.slug()).or_default() += 1;
        }
    }
    let kept: Vec<String> = kept
        .iter()
        .map(|(slug, count)| format!("{slug} {count}"))
        .collect();
    format!(
        "{} sites, {count} inlined, kept: {}",
        inlined.sites().count(),
        kept.join(", ")
    )
}

/// Checks that each direct call of the input has one record, that inlined calls are gone, and that
/// kept ones are there.
fn check_report(program: &Program, inlined: &Inlined) {
    let mut own = HashSet::new();
    for site in inlined.sites().filter(|site| site.via().is_empty()) {
        assert!(
            own.insert((site.caller, site.inst)),
            "a site is reported twice"
        );
    }
    let mut sites = 0;
    for (id, function) in program.iter() {
        for site in inlined.graph().callees(id) {
            assert!(
                own.contains(&(id, site.edge.inst)),
                "a site of {} is missing",
                function.name()
            );
            sites += 1;
        }
    }
    assert_eq!(sites, own.len());
    for site in inlined.sites() {
        let body: &ir::Function = inlined.body(site.caller).unwrap();
        if site.inlined {
            assert_eq!(
                body.layout.inst_block(site.inst),
                None,
                "{} in {}",
                site.inst,
                body.name
            );
        }
    }
}
