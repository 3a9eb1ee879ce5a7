//! Counting calls in a module, and going by the counts.

use crate::support::{call, front_end, jit};
use cranelift_inliner::decide::{Always, CostModel, Inline, Never};
use cranelift_inliner::module::{InliningModule, ModuleReport};
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::profile::Profile;
use cranelift_jit::JITModule;

const TEXT: &str = "
    fn often(x) = x + 1;
    fn once(x) = often(x) * 2;
    export fn main(n) = (sum i from 0 to n of often(i)) + once(n);
    export fn other(n) = main(n);
";

/// Reads the table of a finished JIT.
fn read(jit: &JITModule, report: &ModuleReport) -> Profile {
    let (address, bytes) = jit.get_finalized_data(report.counters().unwrap());
    // SAFETY: the table is aligned and has so many bytes, and nothing runs that would write them.
    let counters = unsafe { std::slice::from_raw_parts(address.cast::<u64>(), bytes / 8) };
    report.profile(counters).unwrap()
}

fn counts(profile: &Profile) -> Vec<(String, u64)> {
    let sites = profile.iter();
    sites
        .map(|(name, site)| (name.to_string(), site.count))
        .collect()
}

fn count(policy: impl Inline, in_parallel: bool) -> Vec<(String, u64)> {
    let module = InliningModule::new(jit(), Inliner::new(policy).check(true));
    let mut module = module.count_calls(true).compile_in_parallel(in_parallel);
    let ids = front_end(TEXT, &mut module).unwrap();
    let (mut jit, report) = module.finish().unwrap();
    jit.finalize_definitions().unwrap();
    assert_eq!(call(jit.get_finalized_function(ids["main"]), &[10]), 77);
    assert_eq!(call(jit.get_finalized_function(ids["main"]), &[5]), 27);
    counts(&read(&jit, &report))
}

#[test]
fn counts_are_the_same_under_any_decisions() {
    let expected = [
        ("%main -> %often #0".to_owned(), 15),
        ("%main -> %once #0".to_owned(), 2),
        ("%once -> %often #0".to_owned(), 2),
        ("%other -> %main #0".to_owned(), 0),
    ];
    for in_parallel in [false, true] {
        assert_eq!(count(Never, in_parallel), expected);
        assert_eq!(count(Always, in_parallel), expected);
    }
}

#[test]
fn each_flush_has_a_table_and_its_functions_count_there() {
    let inliner = Inliner::new(Always);
    let mut module = InliningModule::new(jit(), inliner).count_calls(true);
    let first = "export fn leaf(x) = x; export fn middle(x) = leaf(x) + leaf(x);";
    front_end(first, &mut module).unwrap();
    let early = module.flush().unwrap();
    let second = "export fn middle(x); export fn top(x) = middle(x) + middle(x);";
    let ids = front_end(second, &mut module).unwrap();
    let (mut jit, late) = module.finish().unwrap();
    jit.finalize_definitions().unwrap();
    assert_eq!(call(jit.get_finalized_function(ids["top"]), &[3]), 12);
    let mut profile = read(&jit, &early);
    assert_eq!(counts(&profile)[0], ("%middle -> %leaf #0".to_owned(), 2));
    profile.add(&read(&jit, &late));
    let all: Vec<_> = counts(&profile)
        .into_iter()
        .map(|(_, count)| count)
        .collect();
    assert_eq!(all, [2, 2, 1, 1]);
}

#[test]
fn symbols_name_the_sites_of_a_profile() {
    let mut profile = Profile::new();
    let module = InliningModule::new(jit(), Inliner::new(Never)).count_calls(true);
    let mut module = module;
    front_end(TEXT, &mut module).unwrap();
    let (_, report) = module.finish().unwrap();
    let names: Vec<_> = report
        .profile(&[0; 4])
        .unwrap()
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    for (name, count) in names.into_iter().zip([0, 1, 1, 1]) {
        profile.insert(name, Default::default(), count);
    }
    let inliner: Inliner<'static> = Inliner::new(CostModel::default()).profile(profile);
    let mut module = InliningModule::new(jit(), inliner);
    front_end(TEXT, &mut module).unwrap();
    let (_, report) = module.finish().unwrap();
    let sites = report.inlined().sites();
    let seen: Vec<_> = sites
        .map(|site| (site.callee.to_string(), site.count()))
        .collect();
    let expected = [("%often", 1), ("%often", 0), ("%once", 1), ("%main", 1)];
    assert_eq!(
        seen,
        expected.map(|(name, count)| (name.to_owned(), Some(count)))
    );
}

#[test]
fn without_counting_there_is_no_table() {
    let mut module = InliningModule::new(jit(), Inliner::new(Never));
    front_end(TEXT, &mut module).unwrap();
    let (_, report) = module.finish().unwrap();
    assert_eq!(report.counters(), None);
    assert!(report.profile(&[]).unwrap().is_empty());
    assert!(report.profile(&[1]).is_err());
}
