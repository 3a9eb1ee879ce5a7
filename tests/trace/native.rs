//! Runs compiled programs in this process and copies the stack at each call of the host.

use super::recording::{Build, Run, Snapshot};
use cranelift_codegen::FinalizedMachExceptionHandler;
use cranelift_codegen::ir::Signature;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_inliner::backend::{RelocationTarget, default_symbol};
use cranelift_jit::{ArenaMemoryProvider, JITBuilder, JITModule};
use cranelift_module::{
    FuncId, FuncOrDataId, Linkage, Module, ModuleReloc, ModuleRelocTarget, default_libcall_names,
};
use std::arch::naked_asm;
use std::cell::RefCell;
use std::collections::HashMap;

/// Room for the code of a test program, in bytes.
const CODE_BYTES: usize = 4 << 20;

/// Where an exception that is thrown through a call goes on.
#[derive(Clone, Copy)]
struct Handler {
    /// `None` for one that takes every exception.
    tag: Option<u32>,
    address: u64,
    /// From the frame pointer down to the stack pointer at the call, in bytes.
    frame_offset: u64,
}

/// What the host knows while a program runs.
#[derive(Default)]
struct Host {
    /// The end of the stack that is copied.
    stack_top: u64,
    snapshots: Vec<Snapshot>,
    /// By return address.
    handlers: HashMap<u64, Vec<Handler>>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

/// Links `build`, calls its `%main` with `argument`, and takes the code down again.
pub(crate) fn run(isa: &OwnedTargetIsa, build: &Build, argument: i64) -> Run {
    let mut builder = JITBuilder::with_isa(isa.clone(), default_libcall_names());
    builder.symbol("probe", probe as *const u8);
    builder.symbol("throw", throw as *const u8);
    let memory = ArenaMemoryProvider::new_with_size(CODE_BYTES).unwrap();
    builder.memory_provider(Box::new(memory));
    let mut module = JITModule::new(builder);
    let ids = define(&mut module, isa, build);
    module.finalize_definitions().unwrap();

    let address = |id: FuncId| module.get_finalized_function(id).expose_provenance() as u64;
    let text = ids.iter().map(|&id| address(id)).min().unwrap();
    let mut offsets = Vec::new();
    let mut handlers = HashMap::new();
    let mut main = None;
    for ((identity, compiled), &id) in build.iter().zip(&ids) {
        let start = address(id);
        offsets.push((*identity, start - text));
        if default_symbol(compiled.name()) == "main" {
            main = Some(module.get_finalized_function(id));
        }
        for site in compiled.call_sites() {
            let all = site.exception_handlers.iter().filter_map(|handler| {
                let (tag, offset) = match handler {
                    FinalizedMachExceptionHandler::Tag(tag, offset) => (Some(tag.as_u32()), offset),
                    FinalizedMachExceptionHandler::Default(offset) => (None, offset),
                    FinalizedMachExceptionHandler::Context(_) => return None,
                };
                Some(Handler {
                    tag,
                    address: start + u64::from(*offset),
                    frame_offset: u64::from(site.frame_offset.unwrap()),
                })
            });
            handlers.insert(start + u64::from(site.ret_addr), all.collect());
        }
    }

    let marker = 0_u64;
    HOST.replace(Host {
        stack_top: (&raw const marker).addr() as u64,
        snapshots: Vec::new(),
        handlers,
    });
    let main = main.expect("a program has a main function");
    // SAFETY: `%main` takes and returns one i64 in the system's convention, and the test programs
    // touch nothing but their own frames.
    let result = unsafe {
        let main: extern "C" fn(i64) -> i64 = std::mem::transmute(main);
        main(argument)
    };
    let host = HOST.take();
    // SAFETY: the program has returned, and nothing else refers to its code.
    unsafe { module.free_memory() };
    Run {
        text,
        offsets,
        snapshots: host.snapshots,
        result,
    }
}

fn define(module: &mut JITModule, isa: &OwnedTargetIsa, build: &Build) -> Vec<FuncId> {
    let signature = Signature::new(isa.default_call_conv());
    let ids: Vec<FuncId> = build
        .iter()
        .map(|(_, compiled)| {
            let symbol = default_symbol(compiled.name());
            module
                .declare_function(&symbol, Linkage::Local, &signature)
                .unwrap()
        })
        .collect();
    for ((_, compiled), &id) in build.iter().zip(&ids) {
        let relocations: Vec<ModuleReloc> = compiled
            .relocations()
            .iter()
            .map(|relocation| ModuleReloc {
                offset: relocation.offset,
                kind: relocation.kind,
                name: match &relocation.target {
                    RelocationTarget::Function(name) => {
                        let symbol = default_symbol(name);
                        let known = module.declare_function(&symbol, Linkage::Import, &signature);
                        ModuleRelocTarget::from(FuncOrDataId::Func(known.unwrap()))
                    }
                    RelocationTarget::FunctionOffset(offset) => {
                        ModuleRelocTarget::FunctionOffset(id, *offset)
                    }
                    other => panic!("the test programs refer to functions, not to {other:?}"),
                },
                addend: relocation.addend,
            })
            .collect();
        let alignment = u64::from(compiled.alignment().max(16));
        module
            .define_function_bytes(id, alignment, compiled.code(), &relocations)
            .unwrap();
    }
    ids
}

/// `%probe`: passes on what its caller's frame is known by.
#[unsafe(naked)]
extern "C" fn probe(first: i64, second: i64) {
    naked_asm!(
        "mov rdx, [rsp]",
        "mov rcx, rbp",
        "mov r8, rsp",
        "jmp {record}",
        record = sym record,
    )
}

/// `%throw`: as `%probe`, then looks for a handler.
#[unsafe(naked)]
extern "C" fn throw(tag: i64, payload: i64) {
    naked_asm!(
        "mov rdx, [rsp]",
        "mov rcx, rbp",
        "mov r8, rsp",
        "jmp {unwind}",
        unwind = sym unwind,
    )
}

/// Copies the stack from `sp` on, where a function with the frame pointer `fp` has just called the
/// host and will go on at `pc`.
extern "C" fn record(first: i64, second: i64, pc: u64, fp: u64, sp: u64) {
    HOST.with_borrow_mut(|host| {
        let length = usize::try_from(host.stack_top - sp).unwrap();
        let start = std::ptr::with_exposed_provenance::<u8>(sp as usize);
        // SAFETY: between the stack pointer and a place in an outer function's frame there is
        // nothing but this thread's stack, which nothing else writes.
        let stack = unsafe { std::slice::from_raw_parts(start, length) }.to_vec();
        host.snapshots.push(Snapshot {
            arguments: [first, second],
            pc,
            fp,
            base: sp,
            stack,
        });
    });
}

extern "C" fn unwind(tag: i64, payload: i64, pc: u64, fp: u64, sp: u64) -> ! {
    record(tag, payload, pc, fp, sp);
    let (mut pc, mut fp) = (pc, fp);
    let (handler, fp) = loop {
        let found = HOST.with_borrow(|host| {
            assert!(fp < host.stack_top, "no handler takes the exception {tag}");
            let handlers = host.handlers.get(&pc).into_iter().flatten();
            let mut taking =
                handlers.filter(|handler| handler.tag.is_none_or(|taken| i64::from(taken) == tag));
            taking.next().copied()
        });
        if let Some(handler) = found {
            break (handler, fp);
        }
        let words = std::ptr::with_exposed_provenance::<u64>(fp as usize);
        // SAFETY: test programs keep frame pointers, and the assertion above keeps the walk in
        // their part of the stack.
        (fp, pc) = unsafe { (words.read(), words.add(1).read()) };
    };
    // SAFETY: a `try_call` is under way in the frame at `fp`; its handler expects these registers
    // and no others. The frames below have nothing to drop: this function's locals are plain
    // numbers, and the borrows above have ended.
    unsafe {
        std::arch::asm!(
            "mov rsp, {sp}",
            "mov rbp, {fp}",
            "jmp {address}",
            sp = in(reg) fp - handler.frame_offset,
            fp = in(reg) fp,
            address = in(reg) handler.address,
            in("rax") payload,
            in("rdx") 0_u64,
            options(noreturn),
        )
    }
}
