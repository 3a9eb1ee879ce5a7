//! Compiles one body to machine code, reusing the memory of earlier compilations.

use super::compiled::CompiledFunction;
use super::error::CompileError;
use super::relocation::{check_names, relocations};
use super::try_call_tags::TryCallTags;
use crate::panics;
use crate::program::FunctionName;
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{Function, InstructionData};
use cranelift_codegen::isa::TargetIsa;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// The memory that compilations on one thread reuse: Cranelift's context, with its control-flow
/// graph, dominator tree and register-allocator memory.
#[derive(Default)]
pub struct CompileScratch {
    /// In a box: it is moved for every function, and is some thousand bytes.
    context: Option<Box<Context>>,
}

impl CompileScratch {
    /// Creates an empty scratch; it grows with the largest body.
    pub fn new() -> Self {
        Self::default()
    }
}

impl fmt::Debug for CompileScratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompileScratch").finish_non_exhaustive()
    }
}

/// Scratches for the threads that compile at once.
///
/// ```
/// use cranelift_inliner::backend::{ScratchPool, TargetSettings, compile_function, target};
///
/// let functions = cranelift_reader::parse_functions(
///     "function %nothing() fast {\nblock0:\n    return\n}",
/// )?;
/// let isa = target("host", &TargetSettings::new())?;
/// let pool = ScratchPool::new();
/// let compiled = pool.with(|scratch| compile_function(&*isa, &functions[0], scratch))?;
/// assert!(!compiled.code().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ScratchPool<T = CompileScratch> {
    free: Mutex<Vec<T>>,
}

impl<T> Default for ScratchPool<T> {
    fn default() -> Self {
        ScratchPool {
            free: Mutex::new(Vec::new()),
        }
    }
}

impl<T: Default> ScratchPool<T> {
    /// Creates a pool without scratches; [`with`](Self::with) makes them as they are needed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls `f` with a scratch that no other thread has, and keeps the scratch for later calls.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let free = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut scratch = free.unwrap_or_default();
        let result = f(&mut scratch);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(scratch);
        result
    }
}

/// Compiles a copy of `function` for `isa`.
///
/// The body should have passed the verifier; one that has not may be compiled to anything, but it
/// does no harm beyond its code.
///
/// # Errors
///
/// See [`CompileError`]; the scratch stays good for other functions after any of them.
pub fn compile_function(
    isa: &dyn TargetIsa,
    function: &Function,
    scratch: &mut CompileScratch,
) -> Result<CompiledFunction, CompileError> {
    compile_owned_function(isa, function.clone(), scratch)
}

/// Compiles `function` for `isa` as [`compile_function`] does, without copying it.
///
/// # Errors
///
/// See [`CompileError`].
pub fn compile_owned_function(
    isa: &dyn TargetIsa,
    mut function: Function,
    scratch: &mut CompileScratch,
) -> Result<CompiledFunction, CompileError> {
    check_names(&function)?;
    check_callees(&function)?;
    let name = function.name.clone();
    let slot_sizes = function.sized_stack_slots.values().map(|slot| slot.size);
    let slot_sizes: Vec<u32> = slot_sizes.collect();
    let try_calls = TryCallTags::mark(&mut function);

    // The context is out of the scratch while Cranelift works on it, so that a panic loses it.
    let mut context = scratch
        .context
        .take()
        .unwrap_or_else(|| Box::new(Context::new()));
    context.func = function;
    let (context, result) = panics::catch(move || {
        let result = context
            .compile(isa, &mut ControlPlane::default())
            .map(drop)
            .map_err(|error| CompileError::from_codegen(&error.func.name, &error.inner));
        let code = context.take_compiled_code().map(Box::new);
        let code = result.and_then(|()| match code {
            None => Ok(None),
            Some(code) => Ok(Some((relocations(&context.func, &code)?, code))),
        });
        context.clear();
        (context, code)
    })
    .map_err(|message| CompileError::Panicked {
        function: FunctionName::from(name.clone()),
        message,
    })?;
    scratch.context = Some(context);

    let (relocations, code) = result?.ok_or_else(|| CompileError::Internal {
        function: FunctionName::from(name.clone()),
        message: "there is no code after a successful compilation".to_owned(),
    })?;
    let recovered = try_calls.recover(&code);
    let compiled = CompiledFunction::new(name, code, relocations, slot_sizes, recovered);
    Ok(compiled)
}

/// Checks that each indirect call has a callee. Cranelift panics otherwise, and panics once more in
/// the message of that, which cannot be caught.
pub(crate) fn check_callees(function: &Function) -> Result<(), CompileError> {
    let blocks = function.layout.blocks();
    let insts = blocks.flat_map(|block| function.layout.block_insts(block));
    let mut insts = insts.filter(|&inst| function.dfg.inst_is_valid(inst));
    let without = insts.find(|&inst| match &function.dfg.insts[inst] {
        InstructionData::CallIndirect { args, .. }
        | InstructionData::TryCallIndirect { args, .. } => args.is_empty(),
        _ => false,
    });
    match without {
        None => Ok(()),
        Some(inst) => Err(CompileError::NoCallee {
            function: FunctionName::from(function.name.clone()),
            inst,
        }),
    }
}

#[cfg(all(test, feature = "all-arch"))]
mod tests {
    use super::{CompileScratch, compile_function, compile_owned_function};
    use crate::backend::{CompileError, RelocationTarget, TargetSettings, target};
    use cranelift_codegen::entity::EntityList;
    use cranelift_codegen::ir::{ExternalName, Function, InstructionData, LibCall, UserFuncName};

    fn parse(text: &str) -> Function {
        cranelift_reader::parse_functions(text).unwrap().remove(0)
    }

    fn sum() -> Function {
        parse(
            "function %sum(i64, i64) -> i64 fast {
             block0(v0: i64, v1: i64):
                 v2 = iadd v0, v1
                 return v2
             }",
        )
    }

    #[test]
    fn every_architecture_compiles_to_its_own_code() {
        let mut codes = Vec::new();
        for name in ["x64", "aarch64", "riscv64", "s390x"] {
            let isa = target(name, &TargetSettings::new()).unwrap();
            let compiled = compile_function(&*isa, &sum(), &mut CompileScratch::new()).unwrap();
            assert_eq!(compiled.name(), &UserFuncName::testcase("sum"));
            assert!(!compiled.code().is_empty() && compiled.alignment().is_power_of_two());
            assert!(compiled.unwind_info(&*isa).unwrap().is_some(), "{name}");
            codes.push(compiled.code().to_vec());
        }
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), 4);
    }

    #[test]
    fn earlier_functions_of_the_scratch_leave_no_trace() {
        let isa = target("host", &TargetSettings::new()).unwrap();
        let large = parse(
            "function u3:1(i64) -> i64 fast {
                 ss0 = explicit_slot 64, key = 9
                 fn0 = %callee(i64) -> i64 fast
             block0(v0: i64):
                 v1 = call fn0(v0)
                 brif v1, block1, block2
             block1:
                 v3 = stack_addr.i64 ss0
                 v2 = load.i64 v3
                 return v2
             block2:
                 trap user1
             }",
        );
        let fresh = compile_function(&*isa, &sum(), &mut CompileScratch::new()).unwrap();
        let mut scratch = CompileScratch::new();
        compile_function(&*isa, &large, &mut scratch).unwrap();
        assert_eq!(
            compile_function(&*isa, &sum(), &mut scratch).unwrap(),
            fresh
        );
        assert_eq!(
            compile_owned_function(&*isa, sum(), &mut scratch).unwrap(),
            fresh
        );
    }

    #[test]
    fn relocation_targets_are_names() {
        let isa = target("x64", &TargetSettings::new()).unwrap();
        let function = parse(
            "function %f(f64) -> i64, f64 fast {
                 gv0 = symbol u4:2
                 gv1 = symbol tls %local
                 fn0 = u1:9() fast
             block0(v0: f64):
                 call fn0()
                 v1 = symbol_value.i64 gv0
                 v2 = tls_value.i64 gv1
                 v3 = iadd v1, v2
                 v4 = fma v0, v0, v0
                 return v3, v4
             }",
        );
        let compiled = compile_function(&*isa, &function, &mut CompileScratch::new()).unwrap();
        let relocations = compiled.relocations().iter();
        let targets: Vec<_> = relocations
            .map(|relocation| relocation.target.clone())
            .collect();
        for wanted in [
            RelocationTarget::Function(UserFuncName::user(1, 9)),
            RelocationTarget::Data(UserFuncName::user(4, 2)),
            RelocationTarget::ThreadLocal(UserFuncName::testcase("local")),
            RelocationTarget::LibCall(LibCall::FmaF64),
        ] {
            assert!(targets.contains(&wanted), "{wanted:?} in {targets:?}");
        }
    }

    /// The targets are looked up in another way where a body refers to many names.
    #[test]
    fn many_names_have_the_same_kinds_as_few() {
        let isa = target("x64", &TargetSettings::new()).unwrap();
        let targets = |unused: u32| {
            let more = (2..2 + unused).map(|n| format!("fn{n} = u9:{n}() fast\n"));
            // `u4:2` is a function as well as a symbol.
            let function = parse(&format!(
                "function %f() -> i64, i64 fast {{
                     gv0 = symbol u4:2
                     gv1 = symbol u4:3
                     gv2 = symbol tls %local
                     fn0 = u4:2() fast
                     fn1 = %named() fast
                     {}
                 block0:
                     call fn0()
                     call fn1()
                     v0 = symbol_value.i64 gv0
                     v1 = symbol_value.i64 gv1
                     v2 = tls_value.i64 gv2
                     v3 = iadd v1, v2
                     return v0, v3
                 }}",
                more.collect::<String>()
            ));
            let compiled = compile_function(&*isa, &function, &mut CompileScratch::new()).unwrap();
            let relocations = compiled.relocations().iter();
            relocations
                .map(|relocation| relocation.target.clone())
                .collect::<Vec<_>>()
        };
        let few = targets(0);
        for wanted in [
            RelocationTarget::Function(UserFuncName::user(4, 2)),
            RelocationTarget::Function(UserFuncName::testcase("named")),
            RelocationTarget::Data(UserFuncName::user(4, 3)),
            RelocationTarget::ThreadLocal(UserFuncName::testcase("local")),
        ] {
            assert!(few.contains(&wanted), "{wanted:?} in {few:?}");
        }
        assert_eq!(targets(100), few);
    }

    #[test]
    fn a_panic_of_the_code_generator_is_an_error_and_the_scratch_stays_good() {
        let by_value = parse(
            "function %by_value(i64 sarg(64)) -> i64 system_v {
             block0(v0: i64):
                 v1 = load.i64 v0
                 return v1
             }",
        );
        let isa = target("aarch64", &TargetSettings::new()).unwrap();
        let mut scratch = CompileScratch::new();
        match compile_function(&*isa, &by_value, &mut scratch) {
            Err(CompileError::Panicked { function, message }) => {
                assert_eq!(function.to_string(), "%by_value");
                assert!(message.contains("StructArgument"), "{message}");
            }
            other => panic!("{other:?}"),
        }
        let after = compile_function(&*isa, &sum(), &mut scratch).unwrap();
        let fresh = compile_function(&*isa, &sum(), &mut CompileScratch::new()).unwrap();
        assert_eq!(after, fresh);
        // The same body is nothing special on x64.
        let x64 = target("x64", &TargetSettings::new()).unwrap();
        assert!(compile_function(&*x64, &by_value, &mut scratch).is_ok());
    }

    #[test]
    fn unverified_bodies_end_in_errors() {
        let isa = target("host", &TargetSettings::new()).unwrap();
        let mut scratch = CompileScratch::new();
        // An empty function, without even an entry block.
        let empty = compile_function(&*isa, &Function::new(), &mut scratch);
        assert!(
            matches!(empty, Err(CompileError::Panicked { .. })),
            "{empty:?}"
        );

        let mut dangling = parse("function %d() fast {\nfn0 = u0:0() fast\nblock0:\nreturn\n}");
        let callee = dangling.dfg.ext_funcs.keys().next().unwrap();
        dangling.dfg.ext_funcs[callee].name =
            ExternalName::User(cranelift_codegen::ir::UserExternalNameRef::from_u32(77));
        assert!(matches!(
            compile_function(&*isa, &dangling, &mut scratch),
            Err(CompileError::DanglingName { function, .. }) if function.to_string() == "%d"
        ));

        // Cranelift panics about such a call, and again while it prints that, which ends the
        // process.
        for call in [
            "v1 = call_indirect sig0, v0(v0)\n return v1",
            "return_call_indirect sig0, v0(v0)",
            "try_call_indirect v0(v0), sig0, block1(ret0), []\nblock1(v2: i64):\n return v2",
        ] {
            let text = format!(
                "function %n(i64) -> i64 tail {{\nsig0 = (i64) -> i64 tail\nblock0(v0: i64):\n{call}\n}}"
            );
            let mut nothing = parse(&text);
            let entry = nothing.layout.entry_block().unwrap();
            let call = nothing.layout.first_inst(entry).unwrap();
            match &mut nothing.dfg.insts[call] {
                InstructionData::CallIndirect { args, .. }
                | InstructionData::TryCallIndirect { args, .. } => *args = EntityList::new(),
                other => panic!("{other:?}"),
            }
            let result = compile_function(&*isa, &nothing, &mut scratch);
            assert!(
                matches!(result, Err(CompileError::NoCallee { inst, .. }) if inst == call),
                "{result:?}"
            );
        }

        let mut unprintable = sum();
        unprintable.name = UserFuncName::testcase([0xff, b'x']);
        let result = compile_function(&*isa, &unprintable, &mut scratch);
        assert!(
            matches!(result, Err(CompileError::NameNotUtf8 { .. })),
            "{result:?}"
        );
    }

    #[test]
    fn with_enable_verifier_its_messages_come_back() {
        let settings = TargetSettings::new().setting("enable_verifier=true");
        let isa = target("host", &settings).unwrap();
        let bad = parse(
            "function %bad(i32, i64) -> i64 fast {
             block0(v0: i32, v1: i64):
                 v2 = iadd v0, v1
                 return v1
             }",
        );
        match compile_function(&*isa, &bad, &mut CompileScratch::new()) {
            Err(CompileError::Verifier { function, messages }) => {
                assert_eq!(function.to_string(), "%bad");
                assert!(messages[0].contains("inst0"), "{messages:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}
