//! Real modules go into a `Program` and a `CallGraph` and come out unchanged.
//!
//! The modules are no part of the repository. They are looked for as `*.clif` in the folder that
//! the environment variable `CLIF_CORPUS` names, else as `../shared/corpus/*.clif.xz` beside the
//! repository, which `xz` unpacks. Where there are none the test says so and passes. The two
//! smallest are read, or all if `CLIF_CORPUS_ALL` is set.

use cranelift_codegen::settings::{self, Configurable};
use cranelift_inliner::graph::{CallGraph, CallNode};
use cranelift_inliner::program::Program;
use std::collections::HashSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The modules to read, smallest first, with their text.
fn corpus() -> Vec<(PathBuf, String)> {
    let folder = match env::var_os("CLIF_CORPUS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"),
    };
    let mut files: Vec<(u64, PathBuf)> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let path = entry.path();
            let name = path.file_name()?.to_str()?;
            let wanted = name.ends_with(".clif") || name.ends_with(".clif.xz");
            wanted.then_some((entry.metadata().ok()?.len(), path))
        })
        .collect();
    files.sort();
    if env::var_os("CLIF_CORPUS_ALL").is_none() {
        files.truncate(2);
    }
    files
        .into_iter()
        .filter_map(|(_, path)| Some((path.clone(), text(&path)?)))
        .collect()
}

/// The text of a module; `None` if it is packed and there is no `xz`.
fn text(path: &Path) -> Option<String> {
    if path.extension()? == "clif" {
        return Some(fs::read_to_string(path).unwrap());
    }
    let unpacked = Command::new("xz").arg("-dc").arg(path).output().ok()?;
    assert!(unpacked.status.success(), "xz cannot unpack {path:?}");
    Some(String::from_utf8(unpacked.stdout).unwrap())
}

#[test]
fn real_modules_are_read_verified_ordered_and_printed() {
    let modules = corpus();
    if modules.is_empty() {
        eprintln!("passed over: no corpus, or no xz to unpack it");
    }
    let mut flags = settings::builder();
    flags.enable("preserve_frame_pointers").unwrap();
    let isa = cranelift_native::builder()
        .unwrap()
        .finish(settings::Flags::new(flags))
        .unwrap();
    for (path, text) in modules {
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
            let graph = graph.as_petgraph();
            graph
                .edges_directed(node, petgraph::Direction::Incoming)
                .count()
        })
        .sum::<usize>();
    assert_eq!(called + external, graph.site_count());
}
