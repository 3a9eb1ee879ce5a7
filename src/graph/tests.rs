//! Call graphs of small programs of each shape.

use super::*;
use cranelift_codegen::ir::Function;

fn parse(text: &str) -> Program {
    Program::from_clif(text, "t.clif").unwrap_or_else(|error| panic!("{error}"))
}

/// Returns a function that calls `callees` in this order and returns.
fn function(name: &str, callees: &[&str]) -> String {
    let mut text = format!("function {name}() {{\n");
    for (index, callee) in callees.iter().enumerate() {
        text += &format!("    fn{index} = {callee}()\n");
    }
    text += "block0:\n";
    for index in 0..callees.len() {
        text += &format!("    call fn{index}()\n");
    }
    text + "    return\n}\n"
}

fn program(functions: &[(&str, &[&str])]) -> Program {
    let text: String = functions
        .iter()
        .map(|(name, callees)| function(name, callees))
        .collect();
    parse(&text)
}

fn id(program: &Program, name: &str) -> FunctionId {
    name.parse()
        .ok()
        .and_then(|name| program.id(&name))
        .unwrap_or_else(|| panic!("no {name}"))
}

fn bottom_up(program: &Program, graph: &CallGraph) -> Vec<Vec<String>> {
    graph
        .bottom_up()
        .map(|component| {
            component
                .iter()
                .map(|&id| program[id].name().to_string())
                .collect()
        })
        .collect()
}

#[test]
fn a_chain_is_visited_from_its_end() {
    let program = program(&[("%a", &["%b"]), ("%b", &["%c"]), ("%c", &[])]);
    let graph = CallGraph::new(&program);
    assert_eq!(bottom_up(&program, &graph), [["%c"], ["%b"], ["%a"]]);
    let a = id(&program, "a");
    assert_eq!(graph.component(a), Some(ComponentId::from_u32(2)));
    assert_eq!(graph.members(ComponentId::from_u32(2)), [a]);
    assert_eq!(graph.recursion(a), Recursion::None);
    assert!(graph.members(ComponentId::from_u32(3)).is_empty());
}

#[test]
fn a_diamond_is_visited_once_a_function() {
    let program = program(&[
        ("%top", &["%right", "%left", "%right"]),
        ("%left", &["%bottom"]),
        ("%right", &["%bottom"]),
        ("%bottom", &[]),
    ]);
    let graph = CallGraph::new(&program);
    assert_eq!(
        bottom_up(&program, &graph),
        [["%bottom"], ["%left"], ["%right"], ["%top"]]
    );
    assert_eq!(graph.call_count(id(&program, "right")), 2);
    assert_eq!(graph.call_count(id(&program, "bottom")), 2);
    assert_eq!(graph.call_count(id(&program, "top")), 0);
    assert_eq!(graph.site_count(), 5);
    let callers: Vec<FunctionId> = graph
        .callers(id(&program, "bottom"))
        .map(|site| site.caller)
        .collect();
    assert_eq!(callers, [id(&program, "left"), id(&program, "right")]);
}

#[test]
fn call_sites_are_in_layout_order_with_their_place() {
    // The entry block is laid out first though it has the higher number.
    let program = parse(
        "function %f() {
             sig0 = ()
             fn0 = %a()
             fn1 = %b()
             fn2 = %c()
         block7:
             call fn2()
             try_call fn0(), sig0, block1, [ default: block1 ]
         block1:
             call fn2()
             return_call fn1()
         }
         function %b() {
         block0:
             return
         }",
    );
    let graph = CallGraph::new(&program);
    let f = id(&program, "f");
    let seen: Vec<(String, u32, CallKind)> = graph
        .callees(f)
        .map(|site| {
            let callee = match site.callee {
                CallNode::Function(id) => program[*id].name().to_string(),
                CallNode::External(name) => format!("external {name}"),
                CallNode::Runtime(name) => format!("runtime {name:?}"),
            };
            (callee, site.edge.block.as_u32(), site.edge.kind)
        })
        .collect();
    let external = |name: &str| format!("external %{name}");
    assert_eq!(
        seen,
        [
            (external("c"), 7, CallKind::Call),
            (external("a"), 7, CallKind::TryCall),
            (external("c"), 1, CallKind::Call),
            ("%b".to_string(), 1, CallKind::ReturnCall),
        ]
    );
    let body = program[f].body();
    for site in graph.callees(f) {
        assert_eq!(site.caller, f);
        assert_eq!(graph.site(site.id), Some(site));
        assert_eq!(
            body.layout.inst_block(site.edge.inst),
            Some(site.edge.block)
        );
        assert!(body.dfg.insts[site.edge.inst].opcode().is_call());
    }
    let externals: Vec<String> = graph
        .externals()
        .map(|(_, node)| format!("{node:?}"))
        .collect();
    assert_eq!(
        externals,
        ["External(FunctionName(%c))", "External(FunctionName(%a))"]
    );
    assert_eq!(graph.node_count(), 4);
}

#[test]
fn recursion_is_direct_or_mutual_or_both() {
    let program = program(&[
        ("%self", &["%self"]),
        ("%even", &["%odd"]),
        ("%odd", &["%even", "%odd", "%leaf"]),
        ("%leaf", &[]),
        ("%user", &["%even", "%self"]),
    ]);
    let graph = CallGraph::new(&program);
    let recursion = |name| graph.recursion(id(&program, name));
    assert_eq!(recursion("self"), Recursion::Direct);
    assert_eq!(recursion("even"), Recursion::Mutual { size: 2 });
    assert_eq!(recursion("odd"), Recursion::DirectAndMutual { size: 2 });
    assert_eq!(recursion("leaf"), Recursion::None);
    assert_eq!(recursion("user"), Recursion::None);
    assert_eq!(
        graph.component(id(&program, "even")),
        graph.component(id(&program, "odd"))
    );
    let expected: [&[&str]; 4] = [&["%leaf"], &["%self"], &["%even", "%odd"], &["%user"]];
    assert_eq!(bottom_up(&program, &graph), expected);
}

#[test]
fn the_order_does_not_depend_on_the_order_of_the_input() {
    let mut functions: Vec<(&str, &[&str])> = vec![
        ("u0:10", &["u0:9", "%z"]),
        ("u0:9", &["u0:10"]),
        ("%z", &["%y"]),
        ("%y", &["%x", "%z", "%external"]),
        ("%x", &["%y"]),
        ("%main", &["u0:9", "%lone"]),
        ("%lone", &[]),
        ("%alone", &[]),
    ];
    let expected: [&[&str]; 5] = [
        &["%alone"],
        &["%lone"],
        &["%x", "%y", "%z"],
        &["u0:9", "u0:10"],
        &["%main"],
    ];
    for _ in 0..functions.len() {
        functions.rotate_left(1);
        for _ in 0..2 {
            functions.reverse();
            let program = program(&functions);
            let graph = CallGraph::new(&program);
            assert_eq!(bottom_up(&program, &graph), expected, "{functions:?}");
        }
    }
}

#[test]
fn address_taken_and_indirect_calls_are_counted() {
    let program = parse(
        "function %f(i64) {
             gv0 = symbol colocated %table
             gv1 = symbol %h
             gv2 = symbol %h
             sig0 = ()
             fn0 = %g()
             fn1 = %other()
         block0(v0: i64):
             v1 = func_addr.i64 fn0
             v2 = func_addr.i64 fn0
             v3 = func_addr.i64 fn1
             v4 = symbol_value.i64 gv1
             call_indirect sig0, v1()
             call_indirect sig0, v2()
             try_call_indirect v3(), sig0, block1, [ default: block1 ]
         block1:
             return_call_indirect sig0, v4()
         }
         function %g() {
         block0:
             return
         }
         function %h() {
         block0:
             return
         }",
    );
    let graph = CallGraph::new(&program);
    assert_eq!(graph.address_taken(id(&program, "g")), 2);
    assert_eq!(graph.address_taken(id(&program, "h")), 2);
    assert!(!graph.is_address_taken(id(&program, "f")));
    assert_eq!(graph.indirect_calls(id(&program, "f")), 4);
    assert_eq!(graph.indirect_calls(id(&program, "g")), 0);
    assert_eq!(graph.call_count(id(&program, "g")), 0);
    let externals: Vec<(&CallNode, usize)> = graph
        .externals()
        .map(|(node, name)| (name, graph.node_address_taken(node)))
        .collect();
    assert_eq!(
        externals,
        [
            (&CallNode::External(FunctionName::testcase("other")), 1),
            (&CallNode::External(FunctionName::testcase("table")), 1),
        ]
    );
}

#[test]
fn library_calls_are_nodes_of_their_own() {
    let program = program(&[("%f", &["%FloorF32"]), ("%FloorF32", &[])]);
    let graph = CallGraph::new(&program);
    assert_eq!(graph.call_count(id(&program, "FloorF32")), 0);
    let runtime = CallNode::Runtime(ExternalName::LibCall(ir::LibCall::FloorF32));
    assert_eq!(
        graph.externals().map(|(_, node)| node).collect::<Vec<_>>(),
        [&runtime]
    );
}

#[test]
fn calls_of_undeclared_functions_have_no_edge() {
    let mut body = Function::new();
    let block = body.dfg.make_block();
    body.layout.append_block(block);
    let call = ir::InstructionData::Call {
        opcode: ir::Opcode::Call,
        args: ir::ValueList::new(),
        func_ref: ir::FuncRef::from_u32(5),
    };
    let inst = body.dfg.make_inst(call);
    body.layout.append_inst(inst, block);
    body.layout.append_inst(ir::Inst::from_u32(99), block);
    let mut program = Program::new();
    let id = program.add(body).unwrap_or_else(|error| panic!("{error}"));
    let graph = CallGraph::new(&program);
    assert_eq!(graph.site_count(), 0);
    assert_eq!(graph.callees(id).count(), 0);
}

#[test]
fn functions_of_another_program_are_answered_for() {
    let small = program(&[("%a", &["%a"])]);
    let graph = CallGraph::new(&small);
    let foreign = FunctionId::from_u32(7);
    assert_eq!(graph.node(foreign), None);
    assert_eq!(graph.component(foreign), None);
    assert_eq!(graph.callees(foreign).count(), 0);
    assert_eq!(graph.callers(foreign).count(), 0);
    assert_eq!(graph.recursion(foreign), Recursion::None);
    assert_eq!(graph.address_taken(foreign), 0);
    let empty = CallGraph::new(&Program::new());
    assert_eq!(empty.bottom_up().len(), 0);
    assert_eq!(empty.to_dot(), "digraph {\n}\n");
}

#[test]
fn a_chain_of_a_hundred_thousand_functions_does_not_overflow_the_stack() {
    const LENGTH: u32 = 100_000;
    let mut program = Program::new();
    for index in 0..LENGTH {
        let mut body = Function::new();
        body.name = ir::UserFuncName::user(0, index);
        let signature = body.import_signature(ir::Signature::new(
            cranelift_codegen::isa::CallConv::SystemV,
        ));
        // The last one calls the middle: half of the chain becomes one component.
        let next = if index + 1 == LENGTH {
            LENGTH / 2
        } else {
            index + 1
        };
        let name = body.declare_imported_user_function(ir::UserExternalName::new(0, next));
        let func_ref = body.import_function(ir::ExtFuncData {
            name: ExternalName::user(name),
            signature,
            colocated: false,
            patchable: false,
        });
        let block = body.dfg.make_block();
        body.layout.append_block(block);
        let inst = body.dfg.make_inst(ir::InstructionData::Call {
            opcode: ir::Opcode::Call,
            args: ir::ValueList::new(),
            func_ref,
        });
        body.layout.append_inst(inst, block);
        program.add(body).unwrap_or_else(|error| panic!("{error}"));
    }
    let graph = CallGraph::new(&program);
    let half = LENGTH as usize / 2;
    assert_eq!(graph.component_count(), half + 1);
    let sizes: Vec<usize> = graph.bottom_up().map(<[_]>::len).collect();
    assert_eq!(sizes.first(), Some(&half));
    assert!(sizes.iter().skip(1).all(|&size| size == 1));
    let last = graph.bottom_up().next_back().and_then(<[_]>::first);
    assert_eq!(last, program.ids().next().as_ref());
}

#[test]
fn dot_shows_linkage_kinds_and_the_additions_of_the_callback() {
    let mut program = parse(
        "function %f() {
             gv0 = symbol %g
             fn0 = %g()
             fn1 = u1:2()
         block0:
             call fn0()
             return_call fn1()
         }
         function %g() {
         block0:
             return
         }",
    );
    let f = FunctionName::testcase("f");
    program
        .export_only(std::slice::from_ref(&f))
        .unwrap_or_else(|error| panic!("{error}"));
    let graph = CallGraph::new(&program);
    assert_eq!(
        graph.to_dot(),
        "digraph {\n    \
             0 [ label=\"%f\" shape=box style=bold]\n    \
             1 [ label=\"%g\" shape=box style=solid peripheries=2]\n    \
             2 [ label=\"u1:2\" style=dotted]\n    \
             0 -> 1 [ ]\n    \
             0 -> 2 [ label=\"return_call\"]\n\
         }\n"
    );
    let coloured = graph.to_dot_with(|site| match site.callee_function() {
        Some(_) => "color=green".to_string(),
        None => "color=grey".to_string(),
    });
    assert!(coloured.contains("0 -> 1 [ color=green]"), "{coloured}");
    assert!(
        coloured.contains("0 -> 2 [ label=\"return_call\" color=grey]"),
        "{coloured}"
    );
}

#[test]
fn dot_quotes_names_that_would_end_the_label() {
    let mut body = Function::new();
    body.name = ir::UserFuncName::testcase("a\"\\&\n");
    let mut program = Program::new();
    program.add(body).unwrap_or_else(|error| panic!("{error}"));
    let dot = CallGraph::new(&program).to_dot();
    assert!(dot.contains(r#"label="%a\"\\&amp;\n" shape"#), "{dot}");
}

/// An address that is taken elsewhere does not change the order of the others.
#[test]
fn the_order_of_calls_is_the_same_with_and_without_addresses() {
    let calls: &[(&str, &[&str])] = &[
        ("%main", &["%even", "%twice", "%print"]),
        ("%twice", &["%once", "%once", "%leaf"]),
        ("%odd", &["%even", "%odd"]),
        ("%even", &["%odd", "%leaf"]),
        ("%alone", &[]),
        ("%once", &["%leaf"]),
        ("%leaf", &[]),
        ("%again", &["%again", "%main"]),
    ];
    let plain = program(calls);
    let functions = calls.iter().map(|(name, callees)| function(name, callees));
    let with_address = parse(&format!(
        "{}function %zz() {{\n    fn0 = %zz()\nblock0:\n    v0 = func_addr.i64 fn0\n    return\n}}\n",
        functions.collect::<String>()
    ));
    let expected = bottom_up(&plain, &CallGraph::new(&plain));
    assert_eq!(
        expected,
        [
            &["%alone"][..],
            &["%leaf"],
            &["%even", "%odd"],
            &["%once"],
            &["%twice"],
            &["%main"],
            &["%again"],
        ]
    );
    let mut found = bottom_up(&with_address, &CallGraph::new(&with_address));
    found.retain(|component| component != &["%zz"]);
    assert_eq!(found, expected);
}
