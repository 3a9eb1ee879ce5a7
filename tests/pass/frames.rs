//! Stack slots that come in with bodies.

use super::support::{self, POLICIES, id, name, policy, program, sites_of};
use cranelift_inliner::decide::{Always, CostModel, Limits};
use cranelift_inliner::pass::{Inlined, Inliner, Optimize};
use cranelift_inliner::program::{Attributes, InlineAttribute, Program};

/// Runs the pass on `program`, with slots left as they come in.
fn run(inliner: Inliner<'_>, program: &Program) -> Inlined {
    support::run(inliner.optimize(Optimize::None), program)
}

/// Returns a function with a buffer of `bytes`.
fn buffered(name: &str, bytes: u32) -> String {
    format!(
        "function %{name}(i64) -> i64 fast {{
             ss0 = explicit_slot {bytes}, align = 8
         block0(v0: i64):
             v1 = stack_addr.i64 ss0
             store notrap aligned v0, v1
             v2 = load.i64 notrap aligned v1
             return v2
         }}\n"
    )
}

/// Returns a function that calls `callees` in a row.
fn calling(name: &str, callees: &[&str]) -> String {
    let mut text = format!("function %{name}(i64) -> i64 fast {{\n");
    for (index, callee) in callees.iter().enumerate() {
        text += &format!("    fn{index} = %{callee}(i64) -> i64 fast\n");
    }
    text += "block0(v0: i64):\n";
    for index in 0..callees.len() {
        text += &format!("    v{} = call fn{index}(v{index})\n", index + 1);
    }
    text + &format!("    return v{}\n}}\n", callees.len())
}

/// Returns a function that calls `next` while its argument is not zero, and `callee` at the end.
fn countdown(name: &str, next: &str, callee: &str) -> String {
    format!(
        "function %{name}(i64) -> i64 fast {{
             fn0 = %{next}(i64) -> i64 fast
             fn1 = %{callee}(i64) -> i64 fast
         block0(v0: i64):
             brif v0, block1, block2
         block1:
             v1 = iconst.i64 -1
             v2 = iadd v0, v1
             v3 = call fn0(v2)
             return v3
         block2 cold:
             v4 = call fn1(v0)
             return v4
         }}\n"
    )
}

fn slots(inlined: &Inlined, program: &Program, function: &str) -> u64 {
    inlined.stats(id(program, function)).slot_bytes_after
}

fn reason_for(inlined: &Inlined, program: &Program, caller: &str, callee: &str) -> &'static str {
    let sites = sites_of(inlined, program, caller);
    let site = sites.iter().find(|site| site.callee == name(callee));
    site.unwrap().reason.slug()
}

#[test]
fn a_large_buffer_stays_out_of_a_recursive_function() {
    let direct = buffered("buffer", 8 << 10) + &countdown("down", "down", "buffer");
    let mutual = buffered("buffer", 8 << 10)
        + &calling("between", &["buffer"])
        + &countdown("down", "up", "between")
        + &countdown("up", "down", "between");
    // Other code may call it again, by its address.
    let by_address = buffered("buffer", 8 << 10)
        + &countdown("down", "outside", "buffer")
        + "function %main() -> i64 fast {
               fn0 = %down(i64) -> i64 fast
           block0:
               v0 = func_addr.i64 fn0
               return v0
           }";
    for text in [&direct, &mutual, &by_address] {
        let program = program(text);
        for policy_name in POLICIES {
            let inlined = run(Inliner::new(policy(policy_name)), &program);
            assert_eq!(slots(&inlined, &program, "down"), 0, "{policy_name}");
        }
        let mut limits = Limits::default();
        limits.recursive_frame_bytes = 8 << 10;
        let inlined = run(Inliner::new(Always).limits(limits), &program);
        assert_eq!(slots(&inlined, &program, "down"), 8 << 10);
    }
    let inlined = run(Inliner::new(Always), &program(&direct));
    assert_eq!(
        reason_for(&inlined, &program(&direct), "down", "buffer"),
        "frame-size"
    );
}

#[test]
fn a_demand_does_not_lift_the_limit() {
    let mut program =
        program(&(buffered("buffer", 8 << 10) + &countdown("down", "down", "buffer")));
    let always = Attributes::default().with_inline(InlineAttribute::Always);
    program.set_attributes(&name("buffer"), always).unwrap();
    let inlined = run(Inliner::new(CostModel::default()), &program);
    assert_eq!(
        reason_for(&inlined, &program, "down", "buffer"),
        "frame-size"
    );
    assert_eq!(inlined.unmet().count(), 1);
}

#[test]
fn frames_grow_up_to_the_limit() {
    let text =
        buffered("buffer", 1000) + &buffered("other", 24) + &calling("main", &["buffer", "other"]);
    let program = program(&text);
    for (limit, expected) in [(1024, 1024), (1023, 1000), (999, 24), (23, 0)] {
        let mut limits = Limits::default();
        limits.frame_bytes = limit;
        let inlined = run(Inliner::new(Always).limits(limits), &program);
        assert_eq!(slots(&inlined, &program, "main"), expected, "{limit}");
    }
}

#[test]
fn a_caller_with_a_large_frame_gets_code_without_slots() {
    let text = buffered("buffer", 8)
        + "function %plain(i64) -> i64 fast { block0(v0: i64): v1 = iadd v0, v0 return v1 }
           function %main(i64) -> i64 fast {
               ss0 = explicit_slot 100000
               fn0 = %buffer(i64) -> i64 fast
               fn1 = %plain(i64) -> i64 fast
           block0(v0: i64):
               v1 = stack_addr.i64 ss0
               store v0, v1
               v2 = call fn0(v0)
               v3 = call fn1(v2)
               return v3
           }";
    let program = program(&text);
    let inlined = run(Inliner::new(Always), &program);
    assert_eq!(
        reason_for(&inlined, &program, "main", "buffer"),
        "frame-size"
    );
    assert_eq!(reason_for(&inlined, &program, "main", "plain"), "policy");
}

#[test]
fn copies_that_share_their_slots_count_once() {
    let text = buffered("buffer", 1000)
        + &calling("main", &["buffer"; 20])
        + &calling("deep", &["main", "buffer"]);
    let program = program(&text);
    let mut limits = Limits::default();
    limits.frame_bytes = 2000;
    let inlined = run(Inliner::new(Always).limits(limits), &program);
    assert_eq!(inlined.stats(id(&program, "main")).inlined, 20);
    assert_eq!(slots(&inlined, &program, "main"), 1000);
    assert_eq!(reason_for(&inlined, &program, "deep", "buffer"), "policy");

    let mut options = cranelift_inliner::splice::SpliceOptions::default();
    options.share_slots = false;
    let inliner = Inliner::new(Always).limits(limits).splice_options(options);
    let inlined = run(inliner, &program);
    assert_eq!(inlined.stats(id(&program, "main")).inlined, 2);
    assert_eq!(slots(&inlined, &program, "main"), 2000);
}

#[test]
fn structures_by_value_are_part_of_the_frame() {
    let text = "function %callee(i64 sarg(4096)) -> i64 system_v {
        block0(v0: i64):
            v1 = load.i64 v0
            return v1
        }
        function %main(i64) -> i64 system_v {
            fn0 = %callee(i64 sarg(4096)) -> i64 system_v
            fn1 = %main(i64) -> i64 system_v
        block0(v0: i64):
            v1 = call fn0(v0)
            v2 = call fn1(v1)
            return v2
        }";
    let program = program(text);
    let inlined = run(Inliner::new(Always), &program);
    assert_eq!(
        reason_for(&inlined, &program, "main", "callee"),
        "frame-size"
    );
}

#[test]
fn the_cost_model_weighs_the_frame() {
    let cost = |bytes| {
        let program = program(&(buffered("buffer", bytes) + &calling("main", &["buffer"])));
        let inlined = run(Inliner::new(CostModel::default()), &program);
        let site = sites_of(&inlined, &program, "main")[0];
        (site.inlined, site.reason.to_string())
    };
    assert_eq!(cost(256 + 31), (true, "cost 4, benefit 10".into()));
    assert_eq!(cost(256 + 32), (true, "cost 5, benefit 10".into()));
    let told = |cost: i64| format!("cost {cost}, benefit 10, threshold 30");
    assert_eq!(cost(256 + 32 * 36), (true, told(40)));
    assert_eq!(cost(256 + 32 * 37), (false, told(41)));

    let mut model = CostModel::default();
    model.frame_bytes_per_inst = 0;
    let program = program(&(buffered("buffer", 30_000) + &calling("main", &["buffer"])));
    let inlined = run(Inliner::new(model), &program);
    assert_eq!(inlined.stats(id(&program, "main")).inlined, 1);
}
