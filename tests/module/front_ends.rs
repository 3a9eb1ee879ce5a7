//! Front ends as they are written for plain modules: they keep their module in a structure, ask the
//! JIT for addresses whenever they like, and give it back at the end.

use crate::support::{ObjectFile, call, front_end, inlining, inlining_object, isa, jit};
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::Signature;
use cranelift_codegen::isa::TargetIsa;
use cranelift_inliner::decide::CostModel;
use cranelift_inliner::module::InliningModule;
use cranelift_inliner::pass::Inliner;
use cranelift_inliner::profile::Profile;
use cranelift_jit::JITModule;
use cranelift_module::{
    DataDescription, DataId, FuncId, Linkage, Module, ModuleDeclarations, ModuleError, ModuleReloc,
    ModuleRelocTarget, ModuleResult,
};
use object::write::SymbolScope;
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// The front end, once for each type that its module can have. Nothing in it differs.
macro_rules! repl {
    ($repl:ident, $module:ty) => {
        /// Compiles a definition after the other, and runs each at once.
        struct $repl {
            module: ManuallyDrop<$module>,
            free: fn($module),
            functions: HashMap<String, FuncId>,
        }

        impl $repl {
            fn new(module: $module, free: fn($module)) -> Self {
                Self {
                    module: ManuallyDrop::new(module),
                    free,
                    functions: HashMap::new(),
                }
            }

            /// Defines the functions of a text; all are local but those without a body.
            fn define(&mut self, text: &str) -> Result<(), ModuleError> {
                self.functions.extend(front_end(text, &mut *self.module)?);
                Ok(())
            }

            fn address(&mut self, name: &str) -> Result<*const u8, ModuleError> {
                self.module.finalize_definitions()?;
                let id = self.functions[name];
                let address = self.module.get_finalized_function(id);
                assert_eq!(
                    address,
                    self.module.get_address(&ModuleRelocTarget::from(id))
                );
                Ok(address)
            }

            fn table(&mut self, bytes: &[u8]) -> Result<Vec<u8>, ModuleError> {
                let id = self.module.declare_anonymous_data(false, false)?;
                let mut data = DataDescription::new();
                data.define(bytes.into());
                self.module.define_data(id, &data)?;
                self.module.finalize_definitions()?;
                let (address, size) = self.module.get_finalized_data(id);
                // SAFETY: the data has this size, and is not freed before the module is.
                Ok(unsafe { std::slice::from_raw_parts(address, size) }.to_vec())
            }
        }

        impl Drop for $repl {
            fn drop(&mut self) {
                // SAFETY: nothing uses the module after its owner.
                let module = unsafe { ManuallyDrop::take(&mut self.module) };
                (self.free)(module);
            }
        }
    };
}

repl!(Plain, JITModule);
repl!(Wrapped, InliningModule<'static, JITModule>);

fn free(module: JITModule) {
    // SAFETY: no code of the module runs, and no address of it is kept.
    unsafe { module.free_memory() }
}

fn wrapped() -> Wrapped {
    let inliner = Inliner::new(CostModel::default())
        .check(true)
        .verify_with(isa(false))
        .profile(Profile::new());
    let module = InliningModule::new(jit(), inliner);
    Wrapped::new(module, |module| free(module.into_module()))
}

/// The results of a session of either kind.
macro_rules! session {
    ($repl:expr) => {{
        let mut repl = $repl;
        let mut results = Vec::new();
        repl.define("fn double(x) = x + x;").unwrap();
        results.push(call(repl.address("double").unwrap(), &[4]));
        repl.define("fn double(x); fn quad(x) = double(double(x));")
            .unwrap();
        results.push(call(repl.address("quad").unwrap(), &[4]));
        results.push(call(repl.address("double").unwrap(), &[5]));
        repl.define(
            "fn later(x) = if x < 1 then 0 else 2 + later(x - 1); fn unasked(x) = later(x);",
        )
        .unwrap();
        results.push(call(repl.address("later").unwrap(), &[3]));
        (results, repl.table(b"bytes").unwrap())
    }};
}

#[test]
fn a_front_end_takes_the_wrapped_module_for_its_jit() {
    let expected = session!(Plain::new(jit(), free));
    assert_eq!(expected, (vec![8, 16, 10, 6], b"bytes".to_vec()));
    assert_eq!(session!(wrapped()), expected);
    // In a thread that did not make it.
    let sent = wrapped();
    let results = thread::spawn(move || session!(sent)).join().unwrap();
    assert_eq!(results, expected);
}

#[test]
fn each_flush_is_reported_with_any_cause() {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&reports);
    let mut module = inlining(jit()).on_flush(move |report| {
        let sizes = (report.defined().len(), report.dropped().len());
        told.lock().unwrap().push(sizes);
    });
    front_end("fn leaf(x) = x; fn middle(x) = leaf(x);", &mut module).unwrap();
    module.finalize_definitions().unwrap();
    // Nothing is held back, so there is nothing to tell.
    module.finalize_definitions().unwrap();
    front_end("fn other(x) = x;", &mut module).unwrap();
    module.flushed_module().unwrap();
    let mut module = module.drop_unused(true);
    front_end("fn forgotten(x) = x;", &mut module).unwrap();
    module.finish().unwrap();
    assert_eq!(*reports.lock().unwrap(), [(2, 0), (1, 0), (0, 1)]);
}

#[test]
fn a_held_back_function_has_no_code_and_its_context_no_old_code_either() {
    let compiled = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&compiled);
    let mut module = inlining(jit()).on_define(move |_, context| {
        seen.fetch_add(
            context.compiled_code().unwrap().code_buffer().len(),
            Ordering::Relaxed,
        );
    });
    let signature = module.make_signature();
    let id = module
        .declare_function("nothing", Linkage::Local, &signature)
        .unwrap();
    let mut context = module.make_context();
    define_nothing(&mut context);
    context
        .compile(module.isa(), &mut ControlPlane::default())
        .unwrap();
    define_nothing(&mut context);
    let before = context.func.clone();
    module.define_function(id, &mut context).unwrap();
    assert!(context.compiled_code().is_none());
    assert!(context.func == before, "it is as the front end made it");
    assert_eq!(compiled.load(Ordering::Relaxed), 0);
    module.flush().unwrap();
    assert!(compiled.load(Ordering::Relaxed) > 0);
}

/// Makes a function that does nothing, and leaves the rest of the context as it is.
fn define_nothing(context: &mut Context) {
    use cranelift_codegen::cursor::{Cursor, FuncCursor};
    use cranelift_codegen::ir::InstBuilder;
    context.func.clear();
    let block = context.func.dfg.make_block();
    context.func.layout.append_block(block);
    FuncCursor::new(&mut context.func)
        .at_bottom(block)
        .ins()
        .return_(&[]);
}

#[test]
fn an_object_file_is_finished_in_one_step() {
    let text = "fn square(x) = x * x; export fn main(x) = square(x) + 1;";
    let mut module = inlining_object();
    let ids = front_end(text, &mut module).unwrap();
    let (product, report) = module.finish_object().unwrap();
    assert_eq!(report.dropped(), [ids["square"]]);
    let scope = |name| {
        product
            .object
            .symbol(product.function_symbol(ids[name]))
            .scope
    };
    assert_eq!(scope("main"), SymbolScope::Dynamic);
    // The symbol of a dropped function stays, so that debug information may name it.
    assert_eq!(scope("square"), SymbolScope::Compilation);

    let mut module = inlining_object();
    front_end(text, &mut module).unwrap();
    let (module, _) = module.finish().unwrap();
    let bytes = ObjectFile::of(module).code("main");
    assert_eq!(
        ObjectFile::read_back(product.emit().unwrap()).code("main"),
        bytes
    );
}

/// A module of a front end's own around another, which needs the code of each function as it is
/// defined. The pass goes around it.
struct CountingModule<M> {
    module: M,
    bytes: usize,
}

impl<M: Module> Module for CountingModule<M> {
    fn isa(&self) -> &dyn TargetIsa {
        self.module.isa()
    }

    fn declarations(&self) -> &ModuleDeclarations {
        self.module.declarations()
    }

    fn declare_function(
        &mut self,
        name: &str,
        linkage: Linkage,
        signature: &Signature,
    ) -> ModuleResult<FuncId> {
        self.module.declare_function(name, linkage, signature)
    }

    fn declare_anonymous_function(&mut self, signature: &Signature) -> ModuleResult<FuncId> {
        self.module.declare_anonymous_function(signature)
    }

    fn declare_data(
        &mut self,
        name: &str,
        linkage: Linkage,
        writable: bool,
        tls: bool,
    ) -> ModuleResult<DataId> {
        self.module.declare_data(name, linkage, writable, tls)
    }

    fn declare_anonymous_data(&mut self, writable: bool, tls: bool) -> ModuleResult<DataId> {
        self.module.declare_anonymous_data(writable, tls)
    }

    fn define_function_with_control_plane(
        &mut self,
        id: FuncId,
        context: &mut Context,
        plane: &mut ControlPlane,
    ) -> ModuleResult<()> {
        self.module
            .define_function_with_control_plane(id, context, plane)?;
        self.bytes += context.compiled_code().unwrap().code_buffer().len();
        Ok(())
    }

    fn define_function_bytes(
        &mut self,
        id: FuncId,
        alignment: u64,
        bytes: &[u8],
        relocations: &[ModuleReloc],
    ) -> ModuleResult<()> {
        self.module
            .define_function_bytes(id, alignment, bytes, relocations)
    }

    fn define_data(&mut self, id: DataId, data: &DataDescription) -> ModuleResult<()> {
        self.module.define_data(id, data)
    }
}

#[test]
fn a_wrapper_that_reads_compiled_code_goes_inside() {
    let wrapper = CountingModule {
        module: jit(),
        bytes: 0,
    };
    let mut module = inlining(wrapper);
    let ids = front_end("fn one(x) = x + 1; fn two(x) = one(one(x));", &mut module).unwrap();
    let (mut wrapper, _) = module.finish().unwrap();
    assert!(wrapper.bytes > 0);
    wrapper.module.finalize_definitions().unwrap();
    let two = wrapper.module.get_finalized_function(ids["two"]);
    assert_eq!(call(two, &[1]), 3);
}
