//! Functions of shards as bytes.

use super::support::{isa, name, program};
use cranelift_codegen::ir::{ExternalName, UserExternalName};
use cranelift_inliner::decide::CostModel;
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::program::Program;
use cranelift_inliner::shard::{
    BodiesError, MissingReason, ShardBodies, ShardFunctions, ShardPlan, ShardSummary,
    SummarizeOptions, thin,
};
use std::fs;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

const SHARD: &str = "
    function %first(i64) -> i64 fast {
        ss0 = explicit_slot 16
        fn0 = u3:7(i64) -> i64 fast
        fn1 = %third(i64) -> i64 fast
    block0(v0: i64):
        v1 = stack_addr.i64 ss0
        @10 store notrap aligned v0, v1+8
        @12 v2 = call fn0(v1)
        v3 -> v2
        brif v3, block1, block2(v3)
    block1:
        v4 = call fn1(v0)
        jump block2(v4)
    block2(v5: i64):
        return v5
    }
    function %second(i32) -> i32 fast {
    block0(v0: i32):
        v1 = iconst.i32 3
        br_table v0, block1, [block2, block1]
    block1:
        return v1
    block2 cold:
        trap user5
    }
    function %third(i64) -> i64 fast {
    block0(v0: i64):
        v1 = imul v0, v0
        return v1
    }";

fn bodies(program: &Program) -> ShardBodies {
    let options = SummarizeOptions::default();
    ShardSummary::summarize_with_bodies(program, "s", &options).1
}

fn read(bytes: &[u8]) -> Result<ShardFunctions, BodiesError> {
    ShardFunctions::read(&mut Cursor::new(bytes))
}

/// Returns the text of each function with its place, and of the tables.
fn texts(program: &Program) -> Vec<String> {
    let functions = program.iter().map(|(_, function)| {
        let origin = function.origin().map(ToString::to_string);
        format!(
            "{}{}",
            function.body().display(),
            origin.unwrap_or_default()
        )
    });
    let tables = program.tables().map(|table| {
        let entries: Vec<_> = program.table(table).collect();
        format!("{table} {entries:?}")
    });
    functions.chain(tables).collect()
}

#[test]
fn functions_read_back_as_they_were() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = ["examples", "tests"].map(|name| root.join(name)).into();
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|ending| ending != "clif") {
                continue;
            }
            // Other tests show texts that are not CLIF.
            let Ok(program) = Program::read(&[&path]) else {
                continue;
            };
            count += program.len();
            let functions = read(&bodies(&program).to_bytes());
            let functions = match functions {
                Ok(functions) => functions,
                // A text need not be a valid function, and is refused before it is compiled.
                Err(BodiesError::Function { .. }) if program.verify(&*isa("x86_64")).is_err() => {
                    continue;
                }
                Err(error) => panic!("{}: {error}", path.display()),
            };
            assert_eq!(
                texts(functions.program()),
                texts(&program),
                "{}",
                path.display()
            );
            for ((_, read), (_, original)) in functions.program().iter().zip(program.iter()) {
                assert!(
                    read.body().stencil == original.body().stencil,
                    "{}",
                    path.display()
                );
            }
            assert_eq!(bodies(functions.program()), bodies(&program));
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn changed_bytes_are_an_error() {
    let bytes = bodies(&program(SHARD)).to_bytes();
    assert!(ShardBodies::has_magic(&bytes));
    assert_eq!(read(&bytes).unwrap().program().len(), 3);
    for end in 0..bytes.len() {
        assert!(read(&bytes[..end]).is_err(), "{end} bytes");
    }
    for place in 0..bytes.len() {
        for change in [1, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[place] ^= change;
            assert!(read(&changed).is_err(), "at {place}");
        }
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(matches!(read(&longer), Err(BodiesError::Index(_))));
    assert!(matches!(read(b"\x7fELF"), Err(BodiesError::NoBodies)));
    assert!(matches!(read(b""), Err(BodiesError::NoBodies)));
    let mut newer = bytes.clone();
    newer[8] = 77;
    assert!(matches!(read(&newer), Err(BodiesError::Version(77))));
    let mut changed = bytes;
    *changed.last_mut().unwrap() ^= 4;
    let Err(BodiesError::Function { function, .. }) = read(&changed) else {
        panic!("the last function was changed");
    };
    assert_eq!(function, name("third"));
}

/// Counts the bytes that are read.
struct Counted<'b> {
    bytes: Cursor<&'b [u8]>,
    read: usize,
}

impl Read for Counted<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let count = self.bytes.read(to)?;
        self.read += count;
        Ok(count)
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.bytes.seek(to)
    }
}

#[test]
fn of_functions_that_are_not_wanted_nothing_is_read() {
    let mut text = SHARD.to_owned();
    let add = "v1 = iadd v0, v0\n".to_owned();
    let adds: String = (2..2000).map(|n| format!("v{n} = iadd v1, v1\n")).collect();
    text +=
        &format!("function %long(i32) -> i32 {{\nblock0(v0: i32):\n{add}{adds} return v1\n}}\n");
    text += "function %last() {\nblock0:\n return\n}\n";
    let bytes = bodies(&program(&text)).to_bytes();
    let read_only = |wanted: &str| {
        let mut source = Counted {
            bytes: Cursor::new(&bytes),
            read: 0,
        };
        let wanted = name(wanted);
        let some = ShardFunctions::read_some(&mut source, |name| *name == wanted).unwrap();
        assert_eq!(some.program().len(), 1);
        assert!(some.program().id(&wanted).is_some());
        source.read
    };
    let (long, last) = (read_only("long"), read_only("last"));
    assert!(last < 1000 && long > 10_000, "{last}, {long}");
    assert!(bytes.len() > long);
}

#[test]
fn imports_come_from_bytes_as_from_programs() {
    let main = program(
        "function %main(i64) -> i64 fast {
            fn0 = %third(i64) -> i64 fast
        block0(v0: i64):
            v1 = call fn0(v0)
            return v1
        }",
    );
    let other = program(SHARD);
    let options = SummarizeOptions::default();
    let (own, own_bodies) = ShardSummary::summarize_with_bodies(&main, "main", &options);
    let (summary, other_bodies) = ShardSummary::summarize_with_bodies(&other, "other", &options);
    assert_eq!(summary, ShardSummary::summarize(&other, "other", &options));
    let inliner = Inliner::new(CostModel::default());
    let plans = thin(&[own, summary], None, &inliner).unwrap().plans;
    let plan: &ShardPlan = &plans[0];
    assert_eq!(plan.imports().count(), 1, "{plan}");
    let bytes = other_bodies.to_bytes();
    let wanted = |bytes: &[u8]| {
        ShardFunctions::read_some(&mut Cursor::new(bytes), |name| *name == self::name("third"))
    };
    let own = read(&own_bodies.to_bytes()).unwrap();
    let linked = plan
        .link(own.program(), |_| Some(wanted(&bytes).unwrap()))
        .unwrap();
    assert_eq!(linked.missing(), []);
    let from_programs = plan.link(&main, |_| Some(other.clone())).unwrap();
    let isa = isa("x86_64");
    let object = |linked: &cranelift_inliner::shard::LinkedShard| {
        let (inlined, compiled) = linked.run_and_compile(&inliner, &*isa).unwrap();
        let code: Vec<u8> = compiled
            .iter()
            .flat_map(|(_, function)| function.code().to_vec())
            .collect();
        (inlined.program().to_clif().unwrap(), code)
    };
    assert_eq!(object(&linked), object(&from_programs));

    let edited = program(&SHARD.replace("imul v0, v0", "iadd v0, v0"));
    let edited = bodies(&edited).to_bytes();
    let linked = plan
        .link(&main, |_| Some(wanted(&edited).unwrap()))
        .unwrap();
    assert_eq!(linked.missing()[0].reason, MissingReason::Changed);
}

#[test]
fn names_keep_their_numbers_even_if_they_repeat() {
    let original = program(SHARD);
    let id = original.id(&name("first")).unwrap();
    let mut body = original[id].body().as_ref().clone();
    let second = body.declare_imported_user_function(UserExternalName::new(4, 4));
    let signature = body.dfg.signatures.keys().next().unwrap();
    let again = body.import_function(cranelift_codegen::ir::ExtFuncData {
        name: ExternalName::user(second),
        signature,
        colocated: false,
        patchable: false,
    });
    body.params
        .reset_user_func_name(second, UserExternalName::new(3, 7));
    let mut program = Program::new();
    let id = program.add(body).unwrap();
    let functions = read(&bodies(&program).to_bytes()).unwrap();
    let read = functions.program()[id].body();
    assert_eq!(
        read.params.user_named_funcs(),
        program[id].body().params.user_named_funcs()
    );
    assert!(read.stencil == program[id].body().stencil);
    assert_eq!(
        read.dfg.ext_funcs[again].name,
        program[id].body().dfg.ext_funcs[again].name
    );
}
