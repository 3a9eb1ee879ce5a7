//! Modules go into a `Program` and a `CallGraph` and come out unchanged.

use super::files::corpus;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_inliner::graph::{CallGraph, CallNode};
use cranelift_inliner::program::Program;
use std::collections::HashSet;

#[test]
fn real_modules_are_read_verified_ordered_and_printed() {
    let mut flags = settings::builder();
    flags.enable("preserve_frame_pointers").unwrap();
    let isa = cranelift_native::builder()
        .unwrap()
        .finish(settings::Flags::new(flags))
        .unwrap();
    for (path, text) in corpus() {
        let program = Program::from_clif(&text, &path.to_string_lossy()).unwrap();
        let heads: Vec<(usize, &str)> = text
            .lines()
            .enumerate()
            .filter(|(_, line)| line.starts_with("function "))
            .collect();
        assert_eq!(program.len(), heads.len(), "{path:?}");
        for ((_, function), (index, line)) in program.iter().zip(heads) {
            assert_eq!(function.origin().unwrap().line as usize, index + 1);
            assert!(line.starts_with(&format!("function {}(", function.name())));
        }
        program.verify(isa.as_ref()).unwrap();

        check_graph(&program, &text);

        let printed = program.to_clif().unwrap();
        let again = Program::from_clif(&printed, "printed").unwrap();
        assert!(again.to_clif().unwrap() == printed, "{path:?} changes");
    }
}

fn check_graph(program: &Program, text: &str) {
    let graph = CallGraph::new(program);
    let is_call = |line: &&str| {
        let instruction = line.split(';').next().unwrap_or_default();
        instruction
            .split_whitespace()
            .any(|word| ["call", "try_call", "return_call"].contains(&word))
    };
    assert_eq!(graph.site_count(), text.lines().filter(is_call).count());

    let mut done = HashSet::new();
    for component in graph.bottom_up() {
        done.extend(component.iter().copied());
        for &member in component {
            assert_eq!(
                graph.component(member).map(|own| graph.members(own)),
                Some(component)
            );
            for site in graph.callees(member) {
                match site.callee {
                    CallNode::Function(callee) => assert!(done.contains(callee)),
                    CallNode::External(name) => assert!(program.id(name).is_none()),
                    CallNode::Runtime(_) => {}
                }
            }
        }
    }
    assert_eq!(done.len(), program.len());
    let called: usize = program.ids().map(|id| graph.call_count(id)).sum();
    let external = graph
        .externals()
        .map(|(node, _)| {
            graph
                .sites()
                .filter(|site| site.callee_node == node)
                .count()
        })
        .sum::<usize>();
    assert_eq!(called + external, graph.site_count());
}
