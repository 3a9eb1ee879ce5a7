//! The report names each site once, with the decision and its reason.

use super::support::{id, leaf, program, program_exporting, run, run_always, sites_of, through};
use cranelift_inliner::decide::{Always, CallSite, Decision};
use cranelift_inliner::graph::{CallKind, CallNode};
use cranelift_inliner::pass::{Inliner, Observer, Optimize, Reason};
use cranelift_inliner::program::FunctionId;
use std::collections::HashSet;
use std::sync::Mutex;

const MIXED: &str = "
function %main(i32) -> i32 tail {
    sig0 = (i32) -> i32 tail
    fn0 = %leaf sig0
    fn1 = %outside sig0
    fn2 = %wrong(i32) tail
    fn3 = colocated patchable %hook()
    fn4 = %frame() -> i64
    fn5 = %main sig0
    fn6 = %last sig0
block0(v0: i32):
@0001    v1 = call fn0(v0)
@0002    v2 = call fn1(v1)
@0003    call fn2(v2)
@0004    call fn3()
@0005    v3 = call fn4()
@0006    v4 = call fn5(v2)
@0007    try_call fn0(v4), sig0, block1(ret0), [ default: block2 ]
block1(v5: i32):
@0008    return_call fn6(v5)
block2:
    return v0
}
function %leaf(i32) -> i32 tail {
block0(v0: i32):
    return v0
}
function %last(i32) -> i32 tail {
    fn0 = %leaf(i32) -> i32 tail
block0(v0: i32):
    v1 = call fn0(v0)
    return v1
}
function %wrong(i64) tail {
block0(v0: i64):
    return
}
function %hook() {
block0:
    return
}
function %frame() -> i64 {
block0:
    v0 = get_frame_pointer.i64
    return v0
}";

#[test]
fn each_site_of_the_input_is_there_once() {
    let program = program(MIXED);
    let inlined = run_always(&program);
    let own: Vec<_> = inlined
        .sites()
        .filter(|site| site.via().is_empty())
        .collect();
    let reported: HashSet<_> = own.iter().map(|site| (site.caller, site.inst)).collect();
    assert_eq!(reported.len(), own.len(), "one site twice");
    let expected: HashSet<_> = program
        .ids()
        .flat_map(|id| inlined.graph().callees(id))
        .filter(|site| !matches!(site.callee, CallNode::Runtime(_)))
        .map(|site| (site.caller, site.edge.inst))
        .collect();
    assert_eq!(reported, expected);
}

#[test]
fn each_site_has_its_callee_kind_decision_and_reason() {
    let program = program(MIXED);
    let inlined = run_always(&program);
    let mut sites = sites_of(&inlined, &program, "main");
    sites.sort_by_key(|site| site.srcloc.bits());
    let told: Vec<_> = sites
        .iter()
        .map(|site| {
            let slug = site.reason.slug();
            (
                site.srcloc.bits(),
                site.callee.to_string(),
                site.kind,
                site.inlined,
                slug,
            )
        })
        .collect();
    let line =
        |line, callee: &str, kind, inlined, slug| (line, callee.to_owned(), kind, inlined, slug);
    use CallKind::{Call, ReturnCall, TryCall};
    assert_eq!(
        told,
        [
            line(1, "%leaf", Call, true, "policy"),
            line(2, "%outside", Call, false, "external"),
            line(3, "%wrong", Call, false, "signature-mismatch"),
            line(4, "%hook", Call, false, "patchable"),
            line(5, "%frame", Call, false, "frame-introspection"),
            line(6, "%main", Call, false, "recursion"),
            line(7, "%leaf", TryCall, true, "policy"),
            line(8, "%last", ReturnCall, true, "policy"),
        ]
    );
    assert_eq!(sites[1].callee_id, None);
    assert_eq!(sites[0].callee_insts(), 1);
    assert!(sites.iter().all(|site| site.caller_insts() >= 9));
}

#[test]
fn calls_that_came_in_with_bodies_are_decided_in_their_caller() {
    // %middle keeps its call of %leaf; where %middle went into %main, that call goes.
    let text = leaf("leaf", 2) + &through("middle", &["leaf"]) + &through("main", &["middle"]);
    let program = program_exporting(&text, &["main"]);
    let depths = Mutex::new(Vec::new());
    let only_into_main = |site: &CallSite<'_>| {
        let caller = site.caller_name().to_string();
        depths
            .lock()
            .unwrap()
            .push((caller.clone(), site.callee_name().to_string(), site.depth()));
        if caller == "%main" {
            Decision::inline("into %main")
        } else {
            Decision::keep("elsewhere")
        }
    };
    let inlined = run(Inliner::new(only_into_main), &program);
    assert_eq!(
        depths.into_inner().unwrap(),
        [
            ("%middle".to_owned(), "%leaf".to_owned(), 0),
            ("%main".to_owned(), "%middle".to_owned(), 0),
            ("%main".to_owned(), "%leaf".to_owned(), 1),
        ]
    );
    let main = sites_of(&inlined, &program, "main");
    assert_eq!(main.len(), 2);
    assert!(main[0].via().is_empty());
    assert_eq!(main[1].via(), [id(&program, "middle")]);
    assert!(main.iter().all(|site| site.inlined));
    assert_eq!(inlined.program().len(), 1);
    assert_eq!(inlined.stats(id(&program, "main")).depth, 2);
}

#[test]
fn a_call_in_an_unreachable_block_is_reported_too() {
    let program = program(
        "function %main() fast {
             fn0 = %leaf() fast
         block0:
             return
         block1:
             call fn0()
             return
         }
         function %leaf() fast {
         block0:
             return
         }",
    );
    let inlined = run_always(&program);
    assert_eq!(sites_of(&inlined, &program, "main").len(), 1);
}

#[test]
fn the_observer_hears_of_each_function_once() {
    #[derive(Default)]
    struct Heard(Mutex<Vec<FunctionId>>);
    impl Observer for Heard {
        fn inlined(&self, function: FunctionId) {
            self.0.lock().unwrap().push(function);
        }
    }
    let program = program(MIXED);
    let heard = Heard::default();
    run(
        Inliner::new(cranelift_inliner::decide::Always).observe(&heard),
        &program,
    );
    let mut heard = heard.0.into_inner().unwrap();
    heard.sort();
    assert_eq!(heard, program.ids().collect::<Vec<_>>());
}

#[test]
fn statistics_agree_with_the_bodies() {
    let text = leaf("leaf", 5) + &through("main", &["leaf", "leaf"]);
    let program = program(&text);
    let inlined = run_always(&program);
    let main = id(&program, "main");
    let stats = inlined.stats(main);
    assert_eq!((stats.insts_before, stats.insts_after), (4, 1 + 2 * 4 + 1));
    assert_eq!(stats.inlined, 2);
    assert!(!stats.dropped);
    assert_eq!(
        sites_of(&inlined, &program, "main")[1].reason,
        Reason::Policy("policy always".into())
    );
}

#[test]
fn statistics_count_the_bytes_of_stack_slots() {
    let program = program(
        "function %leaf(i32) -> i32 fast {
             ss0 = explicit_slot 24
         block0(v0: i32):
             v1 = stack_addr.i64 ss0
             store v0, v1
             v2 = load.i32 v1
             return v2
         }
         function %main(i32) -> i32 fast {
             ss0 = explicit_slot 8
             ss1 = explicit_slot 4
             fn0 = colocated %leaf(i32) -> i32 fast
         block0(v0: i32):
             v1 = stack_addr.i64 ss0
             store v0, v1
             v2 = stack_addr.i64 ss1
             store v0, v2
             v3 = call fn0(v0)
             return v3
         }",
    );
    let bytes = |level: Optimize| {
        let inlined = run(Inliner::new(Always).optimize(level), &program);
        ["main", "leaf"].map(|name| {
            let stats = inlined.stats(id(&program, name));
            (stats.slot_bytes_before, stats.slot_bytes_after)
        })
    };
    assert_eq!(bytes(Optimize::None), [(12, 36), (24, 24)]);
    assert_eq!(bytes(Optimize::Inlined), [(12, 0), (24, 24)]);
    assert_eq!(bytes(Optimize::All), [(12, 0), (24, 0)]);
}

#[test]
fn a_call_that_came_in_with_a_body_is_of_the_kind_that_it_is_there() {
    let text = "
        function %leaf(i32) -> i32 tail {
        block0(v0: i32):
            v1 = iadd v0, v0
            return v1
        }
        function %tailing(i32) -> i32 tail {
            fn0 = colocated %leaf(i32) -> i32 tail
        block0(v0: i32):
            return_call fn0(v0)
        }
        function %trying(i32) -> i32 tail {
            sig0 = (i32) -> i32 tail
            fn0 = colocated %leaf sig0
        block0(v0: i32):
            try_call fn0(v0), sig0, block1(ret0), []
        block1(v1: i32):
            return v1
        }
        function %by_tail(i32) -> i32 tail {
            fn0 = colocated %tailing(i32) -> i32 tail
        block0(v0: i32):
            return_call fn0(v0)
        }
        function %by_call(i32) -> i32 tail {
            fn0 = colocated %trying(i32) -> i32 tail
        block0(v0: i32):
            v1 = call fn0(v0)
            return v1
        }";
    let program = program(text);
    // Otherwise nothing would come in with a call left.
    let from_outside = |site: &CallSite<'_>| {
        if site.caller_name().to_string().starts_with("%by_") {
            Decision::inline("from outside")
        } else {
            Decision::keep("not yet")
        }
    };
    // Nor would the call keep its handlers, since its callee never throws.
    let inliner = Inliner::new(from_outside).optimize(Optimize::None);
    let inlined = run(inliner, &program);
    let kinds = |caller| -> Vec<CallKind> {
        let sites = sites_of(&inlined, &program, caller);
        sites.iter().map(|site| site.kind).collect()
    };
    assert_eq!(kinds("by_tail"), [CallKind::ReturnCall; 2]);
    assert_eq!(kinds("by_call"), [CallKind::Call, CallKind::TryCall]);
}
