//! Bodies that come one by one.

use super::support::{POLICIES, declared_keeping, isa, name, policy, program_exporting};
use cranelift_codegen::ir::{AbiParam, Signature, types};
use cranelift_codegen::isa::CallConv;
use cranelift_inliner::decide::{Always, CostModel};
use cranelift_inliner::graph::CallGraph;
use cranelift_inliner::pass::{
    DeclaredProgram, Inexact, Inliner, PassError, Stream, StreamError, Streamed,
};
use cranelift_inliner::program::{Declaration, FunctionId, Linkage, Program};
use std::sync::Mutex;

const TEXT: &str = "
    function %leaf(i32) -> i32 fast {
    block0(v0: i32):
        v1 = iadd v0, v0
        return v1
    }
    function %middle(i32) -> i32 fast {
        fn0 = %leaf(i32) -> i32 fast
        fn1 = %elsewhere(i32) fast
    block0(v0: i32):
        v1 = call fn0(v0)
        call fn1(v1)
        v2 = call fn0(v1)
        return v2
    }
    function %even(i32) -> i32 fast {
        fn0 = %odd(i32) -> i32 fast
    block0(v0: i32):
        v1 = call fn0(v0)
        return v1
    }
    function %odd(i32) -> i32 fast {
        fn0 = %even(i32) -> i32 fast
        fn1 = %middle(i32) -> i32 fast
    block0(v0: i32):
        brif v0, block1, block2
    block1:
        v1 = call fn0(v0)
        return v1
    block2:
        v2 = call fn1(v0)
        return v2
    }
    function %main(i32) -> i32 fast {
        fn0 = %even(i32) -> i32 fast
        fn1 = %leaf(i32) -> i32 fast
        sig9 = (i32) -> i32 fast
    block0(v0: i32):
        v1 = call fn0(v0)
        v2 = func_addr.i64 fn1
        v3 = call_indirect sig9, v2(v1)
        return v3
    }";

fn program() -> Program {
    program_exporting(TEXT, &["main", "middle"])
}

fn define_all(stream: &Stream<'_, '_>, program: &Program, order: &[usize]) {
    let ids: Vec<FunctionId> = program.ids().collect();
    for &index in order {
        stream.define(program[ids[index]].body().clone()).unwrap();
    }
}

fn run<T>(
    inliner: &Inliner<'_>,
    declared: &DeclaredProgram,
    front_end: impl FnOnce(&Stream<'_, '_>) -> T,
) -> Result<Streamed<T>, StreamError> {
    inliner.stream(declared, &*isa("x86_64"), &|_, _| {}, front_end)
}

#[test]
fn a_stream_gives_the_result_of_the_whole_program() {
    let program = program();
    let declared = declared_keeping(&program);
    let isa = isa("x86_64");
    for policy_name in POLICIES {
        let inliner = Inliner::new(policy(policy_name))
            .check(true)
            .verify_with(&*isa);
        let (inlined, compiled) = inliner.run_and_compile(&program, &*isa).unwrap();
        let records = |inlined: &cranelift_inliner::pass::Inlined| -> Vec<String> {
            let record = |site: &_| format!("{:?} {:?}", inlined.path(site), site);
            inlined.sites().map(record).collect()
        };
        for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 0, 3, 1]] {
            let streamed = run(&inliner, &declared, |stream| {
                define_all(stream, &program, &order);
            });
            let streamed = streamed.unwrap();
            assert!(streamed.errors.is_empty());
            assert_eq!(records(&streamed.inlined), records(&inlined));
            assert_eq!(
                streamed.inlined.program().to_clif().unwrap(),
                inlined.program().to_clif().unwrap(),
            );
            assert!(streamed.compiled.iter().eq(compiled.iter()));
            assert_eq!(
                streamed.inlined.input().to_clif().unwrap(),
                program.to_clif().unwrap(),
            );
            let sites = |graph: &CallGraph| format!("{:?}", graph.sites().collect::<Vec<_>>());
            let callers = |graph: &CallGraph| {
                let callers = |id| graph.callers(id).map(|site| site.id).collect::<Vec<_>>();
                program.ids().map(callers).collect::<Vec<_>>()
            };
            assert_eq!(sites(streamed.inlined.graph()), sites(inlined.graph()));
            assert_eq!(callers(streamed.inlined.graph()), callers(inlined.graph()));
        }
    }
}

/// A function's code is there before the front end is done, once all that it calls is.
#[test]
fn functions_are_compiled_while_others_are_missing() {
    let program = program();
    let declared = declared_keeping(&program);
    let (sender, receiver) = std::sync::mpsc::channel();
    let sender = Mutex::new(sender);
    let streamed = Inliner::new(CostModel::default())
        .stream(
            &declared,
            &*isa("x86_64"),
            &|id, code| {
                let bytes = code.map(|code| code.code().len()).unwrap();
                sender.lock().unwrap().send((id, bytes)).unwrap();
            },
            |stream| {
                define_all(stream, &program, &[0, 1]);
                let first = receiver.recv().unwrap();
                define_all(stream, &program, &[2, 3, 4]);
                first
            },
        )
        .unwrap();
    let (id, bytes) = streamed.front_end;
    assert_eq!(Some(id), program.id(&name("middle")));
    assert_eq!(
        streamed.compiled.get(id).map(|code| code.code().len()),
        Some(bytes)
    );
    let rest: Vec<FunctionId> = receiver.try_iter().map(|(id, _)| id).collect();
    assert_eq!(rest.len() + 1, streamed.compiled.iter().len());
}

#[test]
fn a_small_queue_changes_nothing() {
    let program = program();
    let mut declared = declared_keeping(&program);
    declared.queue_capacity = Some(0);
    let inliner = Inliner::new(Always);
    let streamed = run(&inliner, &declared, |stream| {
        define_all(stream, &program, &[3, 0, 4, 1, 2]);
    });
    assert_eq!(
        streamed.unwrap().inlined.program().to_clif().unwrap(),
        inliner.run(&program).unwrap().program().to_clif().unwrap(),
    );
}

/// Returns the first difference between the declarations and the bodies.
fn inexact(program: &Program, declared: &DeclaredProgram) -> Option<Inexact> {
    let streamed = run(&Inliner::new(CostModel::default()), declared, |stream| {
        define_all(stream, program, &[4, 3, 2, 1, 0]);
    });
    streamed.unwrap().inexact
}

/// The size that was declared decides a function's share of growth, whatever its body is.
#[test]
fn a_declared_size_is_an_estimate() {
    let program = program();
    let mut declared = DeclaredProgram::new();
    for (id, _) in program.iter() {
        let graph = CallGraph::new(&program);
        let mut declaration = graph.declaration(id).unwrap();
        declaration.insts += 100;
        declared.declare(declaration);
    }
    let streamed = run(&Inliner::new(CostModel::default()), &declared, |stream| {
        define_all(stream, &program, &[0, 1, 2, 3, 4]);
    });
    let streamed = streamed.unwrap();
    assert!(!streamed.is_exact);
    let first = || program.iter().next().unwrap().1.name().clone();
    assert_eq!(streamed.inexact, Some(Inexact::NoHandlers));
    declared.has_handlers = false;
    assert_eq!(inexact(&program, &declared), Some(Inexact::NoAliasRegions));
    declared.has_alias_regions = false;
    assert_eq!(
        inexact(&program, &declared),
        Some(Inexact::Function(first()))
    );
    let mut declared = DeclaredProgram::of(&program).unwrap();
    assert_eq!(inexact(&program, &declared), None);
    declared.has_demands = true;
    assert_eq!(inexact(&program, &declared), Some(Inexact::NoDemands));
    let inlined = streamed.inlined;
    let id = program.id(&name("leaf")).unwrap();
    assert_eq!(inlined.stats(id).insts_before, 2);
}

#[test]
fn a_body_against_its_declaration_is_refused() {
    let program = program();
    let body = |text: &str| Program::from_clif(text, "other").unwrap();
    let cases = [
        (
            "function %leaf(i64) -> i32 fast {\nblock0(v0: i64):\n trap user1\n}",
            "%leaf is not as declared: its signature is another one",
        ),
        (
            "function %leaf(i32) -> i32 fast {
                fn0 = %main(i32) -> i32 fast
             block0(v0: i32):
                v1 = call fn0(v0)
                return v1
             }",
            "%leaf is not as declared: it has 1 call of %main, and 0 were declared",
        ),
        (
            "function %leaf(i32) -> i32 fast {
                fn0 = %stranger(i32) -> i32 fast
             block0(v0: i32):
                v1 = call fn0(v0)
                v2 = call fn0(v1)
                return v2
             }",
            "%leaf is not as declared: it has 2 calls of %stranger, and 0 were declared",
        ),
        (
            "function %even(i32) -> i32 fast {\nblock0(v0: i32):\n return v0\n}",
            "%even is not as declared: it has 0 calls of %odd, and 1 were declared",
        ),
        (
            "function %leaf(i32) -> i32 fast {
                sig0 = (i32) -> i32 fast
             block0(v0: i32):
                v1 = iconst.i64 0
                v2 = call_indirect sig0, v1(v0)
                return v2
             }",
            "%leaf is not as declared: it has 1 indirect call, and 0 were declared",
        ),
        (
            "function %leaf(i32) -> i32 fast {
                fn0 = %main(i32) -> i32 fast
             block0(v0: i32):
                v1 = func_addr.i64 fn0
                return v0
             }",
            "%leaf is not as declared: it takes the addresses of other functions than declared",
        ),
        (
            "function %leaf(i32) -> i32 fast {
                sig0 = (i32) -> i32 tail
                fn0 = %main sig0
             block0(v0: i32):
                v1 = iconst.i32 1
                return v1
             }
             function %unknown() {\nblock0:\n return\n}",
            "",
        ),
    ];
    let declared = declared_keeping(&program);
    let streamed = run(&Inliner::new(Always), &declared, |stream| {
        for (text, expected) in cases {
            let bodies = body(text);
            let error = |(_, function): (_, &cranelift_inliner::program::ProgramFunction)| {
                stream.define(function.body().clone()).err()
            };
            let errors: Vec<_> = bodies.iter().filter_map(error).collect();
            let [error] = &errors[..] else {
                panic!("{errors:?}")
            };
            match expected {
                // The first body is good; the second one was never declared.
                "" => assert!(
                    matches!(error, StreamError::Undeclared { function } if *function == name("unknown"))
                ),
                expected => assert_eq!(error.to_string(), expected),
            }
        }
        let leaf = program[program.id(&name("leaf")).unwrap()].body();
        let twice = stream.define(leaf.clone()).unwrap_err();
        assert_eq!(twice.to_string(), "%leaf has a body already");
        define_all(stream, &program, &[1, 2, 3, 4]);
    });
    let inlined = streamed.unwrap().inlined;
    let leaf = inlined.body(program.id(&name("leaf")).unwrap()).unwrap();
    assert!(leaf.to_string().contains("iconst.i32 1"), "{leaf}");
}

#[test]
fn promises_about_all_bodies_are_held_to() {
    let signature = Signature::new(CallConv::Tail);
    let mut declared = DeclaredProgram::new();
    let declaration = Declaration::new(name("f"), signature, 3);
    declared.declare(declaration.with_calls(vec![(name("g"), 1)]));
    declared.has_handlers = false;
    let body = Program::from_clif(
        "function %f() tail {
             sig0 = () tail
             fn0 = %g sig0
         block0:
             try_call fn0(), sig0, block1, [ default: block1 ]
         block1:
             return
         }",
        "f.clif",
    )
    .unwrap();
    let (_, function) = body.iter().next().unwrap();
    let result = run(&Inliner::new(Always), &declared, |stream| {
        let error = stream.define(function.body().clone()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "%f is not as declared: it has calls with handlers, which no function was to have",
        );
    });
    let error = result.err().unwrap();
    assert_eq!(error.to_string(), "no body came for %f");
}

/// Of two threads with a body for the same function, one is refused.
#[test]
fn one_of_two_bodies_is_taken() {
    let program = program();
    let declared = declared_keeping(&program);
    let inliner = Inliner::new(Always);
    let expected = inliner.run(&program).unwrap().program().to_clif().unwrap();
    for _ in 0..20 {
        let streamed = run(&inliner, &declared, |stream| {
            let define = || {
                let bodies = program.iter().map(|(_, function)| function.body().clone());
                bodies.filter_map(|body| stream.define(body).err()).count()
            };
            let refused = rayon::join(define, define);
            assert_eq!(refused.0 + refused.1, program.len());
        });
        let inlined = streamed.unwrap().inlined;
        assert_eq!(inlined.program().to_clif().unwrap(), expected);
    }
}

#[test]
fn bodies_that_did_not_come_are_named() {
    let program = program();
    let declared = declared_keeping(&program);
    let missing = |order: &[usize]| {
        let result = run(&Inliner::new(Always), &declared, |stream| {
            define_all(stream, &program, order);
        });
        result.err().unwrap().to_string()
    };
    assert_eq!(
        missing(&[0, 1, 2]),
        "no body came for %odd and one other function"
    );
    assert_eq!(missing(&[]), "no body came for %leaf and 4 other functions");
}

#[test]
fn a_stream_that_is_cancelled_ends() {
    let program = program();
    let declared = declared_keeping(&program);
    let result = run(&Inliner::new(Always), &declared, |stream| {
        define_all(stream, &program, &[0, 1]);
        stream.cancel();
        let body = program[program.id(&name("even")).unwrap()].body();
        let refused = stream.define(body.clone());
        assert!(matches!(refused, Err(StreamError::Cancelled)));
    });
    assert!(matches!(result, Err(StreamError::Cancelled)));
}

/// A function that does not compile does not stop the others.
#[test]
fn errors_of_one_function_leave_the_others() {
    let mut signature = Signature::new(CallConv::Fast);
    signature.params.push(AbiParam::new(types::I32));
    let mut declared = DeclaredProgram::new();
    declared.declare(Declaration::new(name("bad"), signature, 2));
    declared.declare(
        Declaration::new(name("good"), Signature::new(CallConv::Fast), 1)
            .with_linkage(Linkage::Exported),
    );
    // Cranelift's code generator panics about a value of no type that it knows.
    let bodies = Program::from_clif(
        "function %bad(i32) fast {
         block0(v0: i32):
             v1 = bitcast.i32x4 v0
             return
         }
         function %good() fast {\nblock0:\n return\n}",
        "bodies.clif",
    )
    .unwrap();
    let told = Mutex::new(Vec::new());
    let streamed = Inliner::new(Always)
        .stream(
            &declared,
            &*isa_that_verifies(),
            &|id, code| told.lock().unwrap().push((id, code.is_ok())),
            |stream| define_all(stream, &bodies, &[0, 1]),
        )
        .unwrap();
    let mut told = told.into_inner().unwrap();
    told.sort_unstable();
    let [bad, good] = [name("bad"), name("good")].map(|name| bodies.id(&name).unwrap());
    assert_eq!(told, [(bad, false), (good, true)]);
    let [(id, PassError::Compile(error))] = &streamed.errors[..] else {
        panic!("{:?}", streamed.errors)
    };
    assert_eq!((*id, error.function()), (bad, &name("bad")));
    assert!(streamed.compiled.get(good).is_some());
    assert!(streamed.compiled.get(bad).is_none());
}

fn isa_that_verifies() -> cranelift_codegen::isa::OwnedTargetIsa {
    let settings =
        cranelift_inliner::backend::TargetSettings::new().setting("enable_verifier=true");
    cranelift_inliner::backend::target("x86_64", &settings).unwrap()
}
