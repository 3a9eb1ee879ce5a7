//! Object files are read back with another library, and linked with C where there is a compiler.

use cranelift_codegen::ir::UserFuncName;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_inliner::backend::{
    CompileScratch, CompiledFunction, ObjectError, ObjectFunction, ObjectLinkage, TargetSettings,
    compile_function, default_symbol, target, write_object,
};
use cranelift_inliner::program::FunctionName;
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};
use std::process::Command;

const MODULE: &str = "
    function %entry(i64) -> i64 system_v {
        gv0 = symbol %counter
        fn0 = %host_add(i64, i64) -> i64 system_v
        fn1 = colocated u1:2(i64) -> i64 system_v
    block0(v0: i64):
        v1 = symbol_value.i64 gv0
        v2 = load.i64 v1
        v3 = call fn0(v0, v2)
        v4 = call fn1(v3)
        return v4
    }
    function u1:2(i64) -> i64 system_v {
        sig0 = (i64) -> i64 system_v
        fn0 = %table sig0
    block0(v0: i64):
        v1 = func_addr.i64 fn0
        v2 = call_indirect sig0, v1(v0)
        return v2
    }
    function %table(i64) -> i64 system_v {
    block0(v0: i64):
        v1 = ireduce.i32 v0
        br_table v1, block3, [block1, block2]
    block1:
        v2 = iconst.i64 11
        return v2
    block2:
        v3 = iconst.i64 22
        return v3
    block3:
        v4 = iadd v0, v0
        return v4
    }";

fn compile(isa: &OwnedTargetIsa, text: &str) -> Vec<CompiledFunction> {
    let functions = cranelift_reader::parse_functions(text).unwrap();
    let mut scratch = CompileScratch::new();
    let compiled = functions.iter();
    compiled
        .map(|function| compile_function(&**isa, function, &mut scratch).unwrap())
        .collect()
}

fn described(compiled: &[CompiledFunction]) -> Vec<ObjectFunction<'_>> {
    let linkages = [
        ObjectLinkage::Export,
        ObjectLinkage::Local,
        ObjectLinkage::Preemptible,
    ];
    let functions = compiled.iter().zip(linkages.into_iter().cycle());
    functions
        .map(|(compiled, linkage)| {
            ObjectFunction::new(default_symbol(compiled.name()), linkage, compiled)
        })
        .collect()
}

fn write(target_name: &str, text: &str) -> Result<Vec<u8>, ObjectError> {
    let isa = target(target_name, &TargetSettings::new()).unwrap();
    let compiled = compile(&isa, text);
    write_object(&isa, "module", &described(&compiled), default_symbol)
}

/// Returns the symbols that the relocations of `.text` refer to.
fn relocated_symbols(file: &object::File<'_>) -> Vec<String> {
    let text = file.section_by_name(".text").unwrap();
    let mut names: Vec<String> = text
        .relocations()
        .filter_map(|(_, relocation)| match relocation.target() {
            RelocationTarget::Symbol(index) => Some(
                file.symbol_by_index(index)
                    .unwrap()
                    .name()
                    .unwrap()
                    .to_owned(),
            ),
            _ => None,
        })
        .filter(|name| !name.starts_with(".L"))
        .collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn every_architecture_gets_its_symbols_and_relocations() {
    for (name, architecture) in [
        ("x64", object::Architecture::X86_64),
        ("aarch64", object::Architecture::Aarch64),
        ("riscv64", object::Architecture::Riscv64),
        ("s390x", object::Architecture::S390x),
    ] {
        let bytes = write(name, MODULE).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        assert_eq!(file.architecture(), architecture);
        let symbol = |wanted: &str| {
            let mut symbols = file.symbols();
            symbols
                .find(|symbol| symbol.name() == Ok(wanted))
                .expect(wanted)
        };
        assert!(
            symbol("entry").is_global() && symbol("entry").is_definition(),
            "{name}"
        );
        assert!(
            symbol("u1_2").is_local() && symbol("u1_2").is_definition(),
            "{name}"
        );
        assert!(
            symbol("table").is_weak() && symbol("table").is_definition(),
            "{name}"
        );
        for import in ["counter", "host_add"] {
            assert!(
                symbol(import).is_undefined() && !symbol(import).is_local(),
                "{name}"
            );
        }
        assert_eq!(
            relocated_symbols(&file),
            ["counter", "host_add", "table", "u1_2"],
            "{name}"
        );
    }
}

#[test]
fn a_relocation_lies_where_the_code_of_its_function_lies() {
    let isa = target("x64", &TargetSettings::new()).unwrap();
    let compiled = compile(&isa, MODULE);
    let bytes = write_object(&isa, "m", &described(&compiled), default_symbol).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let text = file.section_by_name(".text").unwrap();
    let written: Vec<u64> = text.relocations().map(|(offset, _)| offset).collect();
    let mut expected = Vec::new();
    for function in &compiled {
        let symbol = default_symbol(function.name());
        let start = file.symbol_by_name(&symbol).unwrap().address();
        let data = text.data().unwrap();
        assert_eq!(data[start as usize], function.code()[0]);
        let relocations = function.relocations().iter();
        expected.extend(relocations.map(|relocation| start + u64::from(relocation.offset)));
    }
    assert_eq!(written, expected);
}

#[test]
fn the_bytes_are_the_same_each_time() {
    assert_eq!(write("host", MODULE), write("host", MODULE));
}

#[test]
fn thread_local_and_library_symbols_are_imported() {
    let text = "
        function %f(f64) -> i64, f64 fast {
            gv0 = symbol tls u1:7
        block0(v0: f64):
            v1 = tls_value.i64 gv0
            v2 = fma v0, v0, v0
            return v1, v2
        }";
    let isa = target("x64", &TargetSettings::new()).unwrap();
    let compiled = compile(&isa, text);
    let bytes = write_object(&isa, "m", &described(&compiled), default_symbol).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    assert_eq!(
        file.symbol_by_name("u1_7").unwrap().kind(),
        object::SymbolKind::Tls
    );
    assert!(file.symbol_by_name("fma").unwrap().is_undefined());
    assert!(
        file.symbol_by_name("__tls_get_addr")
            .unwrap()
            .is_undefined()
    );
}

#[test]
fn symbols_that_clash_are_told_apart() {
    let isa = target("host", &TargetSettings::new()).unwrap();
    let compiled = compile(
        &isa,
        "function %f() fast {\nblock0:\n    return\n}
         function %g() fast {\nfn0 = %f() fast\nblock0:\n    call fn0()\n    return\n}",
    );
    let function = |index: usize, symbol: &str| {
        ObjectFunction::new(symbol.to_owned(), ObjectLinkage::Export, &compiled[index])
    };
    let write = |functions: &[ObjectFunction<'_>]| {
        write_object(&isa, "m", functions, |_: &UserFuncName| "s".to_owned())
    };
    let clash = |first: &str, second: &str, symbol: &str| {
        Err(ObjectError::DuplicateSymbol {
            symbol: symbol.to_owned(),
            first: first.parse().unwrap(),
            second: second.parse().unwrap(),
        })
    };
    assert_eq!(
        write(&[function(0, "a"), function(1, "a")]),
        clash("%f", "%g", "a")
    );
    assert_eq!(
        write(&[function(0, "a"), function(0, "b")]),
        clash("%f", "%f", "b")
    );
    // `%f` is not written, and as an import it would become a call of `%g`.
    assert_eq!(write(&[function(1, "s")]), clash("%g", "%f", "s"));
    for bad in ["", "nul\0"] {
        assert!(matches!(
            write(&[function(0, bad)]),
            Err(ObjectError::BadSymbol { function, symbol })
                if function == FunctionName::testcase("f") && symbol == bad
        ));
    }
    assert!(write(&[function(0, "a"), function(1, "b")]).is_ok());
}

#[test]
fn a_symbol_is_thread_local_everywhere_or_nowhere() {
    let isa = target("x64", &TargetSettings::new()).unwrap();
    let compiled = compile(
        &isa,
        "function %f() -> i64 fast {\ngv0 = symbol %v\nblock0:
             v0 = symbol_value.i64 gv0\n    return v0\n}
         function %g() -> i64 fast {\ngv0 = symbol tls %v\nblock0:
             v0 = tls_value.i64 gv0\n    return v0\n}",
    );
    assert!(matches!(
        write_object(&isa, "m", &described(&compiled), default_symbol),
        Err(ObjectError::ThreadLocalMismatch { function, .. }) if function == FunctionName::testcase("g")
    ));
}

#[test]
fn a_target_without_an_object_format_is_an_error() {
    let isa = target("x86_64-unknown-unknown-wasm", &TargetSettings::new()).unwrap();
    let result = write_object(&isa, "m", &[], default_symbol);
    assert!(
        matches!(result, Err(ObjectError::Target { .. })),
        "{result:?}"
    );
}

#[test]
fn a_relocation_that_the_format_lacks_is_an_error_that_names_the_place() {
    // Thread-local access the ELF way, in a Mach-O file.
    let settings = TargetSettings::new().setting("tls_model=elf_gd");
    let isa = target("x86_64-apple-darwin", &settings).unwrap();
    let compiled = compile(
        &isa,
        "function %f() -> i64 system_v {
             fn0 = %g() system_v
             gv0 = symbol tls %v
         block0:
             call fn0()
             v0 = tls_value.i64 gv0
             return v0
         }",
    );
    let lacking = compiled[0].relocations().iter();
    let lacking = lacking.map(|relocation| (relocation.kind.to_string(), relocation.offset));
    let lacking = lacking
        .clone()
        .find(|(kind, _)| kind == "ElfX86_64TlsGd")
        .unwrap();
    match write_object(&isa, "m", &described(&compiled), default_symbol) {
        Err(ObjectError::Relocation {
            function,
            kind,
            offset,
            ..
        }) => {
            assert_eq!(function.to_string(), "%f");
            assert_eq!((kind, offset), lacking);
        }
        other => panic!("{other:?}"),
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_object_links_with_c_and_runs() {
    if Command::new("cc").arg("--version").output().is_err() {
        eprintln!("passed over: there is no `cc` here to link with");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("module.o"), write("host", MODULE).unwrap()).unwrap();
    std::fs::write(
        path("main.c"),
        "#include <stdio.h>
         long counter = 40;
         long host_add(long a, long b) { return a + b; }
         extern long entry(long);
         int main(void) {
             printf(\"%ld %ld %ld\", entry(-40), entry(-39), entry(60));
             return 0;
         }",
    )
    .unwrap();
    let linked = Command::new("cc")
        .args([
            path("main.c"),
            path("module.o"),
            "-o".into(),
            path("program"),
        ])
        .output()
        .unwrap();
    assert!(
        linked.status.success(),
        "{}",
        String::from_utf8_lossy(&linked.stderr)
    );
    let ran = Command::new(path("program")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "11 22 200");
}
