//! Every public type can be sent to another thread, and shared where that is not said otherwise.
//!
//! A type that is missing here is found by looking through the sources: a public type at the top of
//! a file is public for users too, since the crate warns of others (`unreachable_pub`).

use crate::root;
use cranelift_inliner::{
    backend, backtrace, check, cleanup, debug_info, decide, frames, graph, locations, module, pass,
    plan, profile, program, shard, splice,
};
use cranelift_inliner_testing as testing;
use cranelift_jit::JITModule;
use cranelift_object::ObjectModule;
use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, thread};

fn is_send<T: Send>() {}

fn is_send_and_sync<T: Send + Sync>() {}

/// Demands `$demand` of each type, and collects their modules and names.
macro_rules! check_types {
    ($demand:ident, $names:ident: $($type:ty),+ $(,)?) => {
        $(
            $demand::<$type>();
            $names.insert(module_and_name(stringify!($type)));
        )+
    };
}

/// Returns `("splice", "Callee")` of `splice::Callee<'static>`.
fn module_and_name(path: &str) -> (String, String) {
    let path: String = path.split_whitespace().collect();
    let path = path.split('<').next().unwrap();
    let (module, rest) = path.split_once("::").unwrap();
    let name = rest.rsplit("::").next().unwrap();
    (module.to_owned(), name.to_owned())
}

type Names = BTreeSet<(String, String)>;

fn checked() -> Names {
    let mut names = Names::new();
    check_types!(is_send_and_sync, names:
        backend::BodyUsed,
        backend::Compilation,
        backend::CompileError,
        backend::CompileScratch,
        backend::CompiledFunction,
        backend::DebugTagPoint<'static>,
        backend::Fallback,
        backend::FrameSlot,
        backend::ObjectError,
        backend::ObjectFunction<'static>,
        backend::ObjectLinkage,
        backend::Relocation,
        backend::RelocationTarget,
        backend::ScratchPool<backend::CompileScratch>,
        backend::TargetError,
        backend::TargetSettings,
        backend::VerifyError,
        check::Alone,
        check::Alone,
        check::CheckError,
        check::CopyId,
        check::CopyTree<'static>,
        check::Difference,
        check::MemoryCall,
        check::Undecided,
        check::Unproved,
        check::MemoryCall,
        check::Unproved,
        backtrace::Backtrace<'static>,
        backtrace::BacktraceError,
        backtrace::BacktraceFrame<'static>,
        backtrace::BacktraceName<'static>,
        backtrace::BacktracePlace<'static>,
        backtrace::BacktraceReader<'static>,
        backtrace::BacktraceRegistry,
        backtrace::BacktraceTable,
        backtrace::BacktraceWalkError,
        backtrace::BacktraceWalker<'static, frames::CopiedMemory<'static>>,
        backtrace::FunctionBacktraces,
        backtrace::LinkError,
        backtrace::RegisteredText<'static>,
        backtrace::Registration<'static>,
        cleanup::CleanupContext,
        cleanup::CleanupStats,
        cleanup::MemoryFunctions,
        cleanup::OptimizeOptions,
        cleanup::TableFunction,
        cleanup::Tables,
        debug_info::ClifLines,
        debug_info::ClifValues,
        debug_info::DebugFunction<'static>,
        debug_info::DebugInfo<'static>,
        debug_info::DebugInfoError,
        debug_info::LabelVariable,
        debug_info::LineIsLocation,
        debug_info::SourcePosition<'static>,
        debug_info::SymbolFrame,
        debug_info::Variable,
        debug_info::VariableEncoding,
        debug_info::VariableType,
        decide::AddressUse,
        decide::Always,
        decide::Argument,
        decide::CostModel,
        decide::Decision,
        decide::FirstMatch<'static>,
        decide::FromFnMut<fn(&decide::CallSite<'_>) -> decide::Decision>,
        decide::Limits,
        decide::Loops,
        decide::Never,
        decide::ParameterUse,
        decide::ResultWays,
        decide::EarlyCallee<'static>,
        decide::PolicyReason,
        decide::OwnSlots,
        decide::SlotArgument,
        decide::Small,
        decide::Summary,
        frames::BuildError,
        frames::CopiedMemory<'static>,
        frames::CountedFrames,
        frames::FixedFrames,
        frames::FrameList<'static>,
        frames::FrameSectionError,
        frames::FrameTable,
        frames::FrameTableBuilder<frames::CountedFrames>,
        frames::FrameTableReader<'static>,
        frames::FrameTag<'static>,
        frames::PhysicalFrame<'static>,
        frames::SchemaViolation,
        frames::SlotPlace<'static>,
        frames::SlotReadError,
        frames::StackWalker<'static, frames::CopiedMemory<'static>>,
        frames::TableError,
        frames::TableFunction,
        frames::TablePart,
        frames::TablePoint<'static>,
        frames::UnreadableMemory,
        frames::VirtualFrame<'static>,
        frames::WalkError,
        frames::WalkStart,
        frames::WasmtimeFrames,
        graph::CallEdge,
        graph::CallGraph,
        graph::CallKind,
        graph::CallNode,
        graph::ComponentId,
        graph::DeclarationMismatch,
        graph::NodeId,
        graph::SiteId,
        graph::PathStep,
        graph::Recursion,
        graph::SiteName,
        graph::SiteRef<'static>,
        locations::Chain<'static>,
        locations::CodeLocations<'static>,
        locations::InlinedLocations<'static>,
        locations::LabelTable,
        locations::LabelledVariable,
        locations::LocationBuilder,
        locations::LocationMode,
        locations::LocationTable,
        locations::Place<'static>,
        module::DefineError,
        module::ModuleReport,
        pass::CompiledProgram,
        pass::DeclaredProgram,
        pass::Demand,
        pass::FunctionStats,
        pass::Inlined,
        pass::Inliner<'static>,
        pass::Optimize,
        pass::PassError,
        pass::Reason,
        pass::RecordLevel,
        pass::Shared<'static, profile::Profile>,
        pass::SiteRecord,
        pass::Step,
        pass::StepTimes,
        pass::Stream<'static, 'static>,
        pass::HeldBodies,
        pass::Inexact,
        pass::StreamError,
        pass::Streamed<()>,
        pass::Warning,
        plan::Bisection,
        plan::Deviation,
        plan::DeviationKind,
        plan::Fallback<'static>,
        plan::Outcome,
        plan::ParsePlanError,
        plan::Plan,
        plan::PlanProblem,
        plan::PlannedSite,
        plan::Replay<'static>,
        plan::SitePath,
        plan::SiteStep,
        plan::Step,
        profile::Heat,
        profile::InstrumentError,
        profile::Instrumented,
        profile::Mismatch,
        profile::MismatchKind,
        profile::ParseProfileError,
        profile::Profile,
        profile::SiteCount,
        profile::WrongLength,
        program::Attributes,
        program::Declaration,
        program::FileHeader,
        program::FunctionId,
        program::FunctionName,
        program::FunctionRef<'static>,
        program::HeaderKind,
        program::HeaderLine,
        program::InlineAttribute,
        program::Linkage,
        program::Origin,
        program::ParseNameError,
        program::Program,
        program::ProgramError,
        program::ProgramFunction,
        program::RunDirective,
        program::SiteHint,
        shard::BodiesError,
        shard::LinkError,
        shard::LinkedShard,
        shard::MissingImport,
        shard::MissingReason,
        shard::ParseShardPlanError,
        shard::PlanText<'static>,
        shard::ShardBodies,
        shard::ShardFunctions,
        shard::ShardPlan,
        shard::ShardPlanProblem,
        shard::ShardSummary,
        shard::SummarizeOptions,
        shard::SummaryError,
        shard::Thin,
        shard::ThinError,
        splice::Callee<'static>,
        splice::CalleeTables,
        splice::CopiedCall,
        splice::DroppedPromises,
        splice::KeepLocations,
        splice::MemoryPromises,
        splice::Refusal,
        splice::SignatureMismatch,
        splice::SpliceOptions,
    );
    // One thread works with them at a time. An `InliningModule` calls closures of the embedder's,
    // and a JIT is not `Sync` itself.
    check_types!(is_send, names:
        decide::CallSite<'static>,
        module::InliningModule<'static, ObjectModule>,
        module::InliningModule<'static, JITModule>,
        splice::Checker<'static>,
        splice::Session<'static>,
        splice::SpliceContext,
    );
    testing(&mut names);
    names
}

fn testing(names: &mut Names) {
    check_types!(is_send_and_sync, names:
        testing::canonical::CanonicalText,
        testing::decisions::Decisions,
        testing::execute::Emulator,
        testing::execute::Engine,
        testing::execute::ExecuteError,
        testing::execute::HostCall,
        testing::execute::Invocation,
        testing::execute::IsolatedOutcome,
        testing::execute::Observation,
        testing::execute::Outcome,
        testing::execute::Snapshot,
        testing::generate::CallGraph,
        testing::generate::Feature,
        testing::generate::Generated,
        testing::generate::Shape,
        testing::orders::SplicedOneByOne,
        testing::properties::Broken,
        testing::properties::Property,
        testing::targets::Architecture,
        testing::trace::WrittenBytes,
        testing::trace::Tag,
        testing::trace::TraceError,
        testing::trace::VirtualStack,
    );
    // They hold a JIT, scratch memory, or memory that is written elsewhere.
    check_types!(is_send, names:
        testing::execute::EmulatedLinker<'static>,
        testing::execute::EmulatedPrograms,
        testing::execute::IsolatedProgram,
        testing::execute::NativeProgram,
        testing::execute::SharedCounters,
        testing::orders::OneByOne<'static>,
    );
}

/// Returns the types that a file declares at its top level.
fn declared_in(source: &str) -> impl Iterator<Item = &str> {
    let declarations = source.lines().filter_map(|line| {
        let words = ["pub struct ", "pub enum ", "pub union "];
        words.iter().find_map(|word| line.strip_prefix(word))
    });
    declarations.filter_map(|rest| {
        rest.split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
    })
}

/// Adds the public types of a folder, as types of the module `module`.
fn collect(folder: &Path, module: Option<&str>, names: &mut Names) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let module = module.unwrap_or(&name);
        if path.is_dir() {
            collect(&path, Some(module), names);
        } else if name != "lib" && path.extension().is_some_and(|e| e == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            names.extend(declared_in(&source).map(|name| (module.to_owned(), name.to_owned())));
        }
    }
}

#[test]
fn every_public_type_is_in_the_list() {
    let mut declared = Names::new();
    collect(&root().join("src"), None, &mut declared);
    collect(&root().join("testing/src"), Some("testing"), &mut declared);
    let checked = checked();
    assert!(declared.len() > 100);
    let missing: Vec<_> = declared.difference(&checked).collect();
    assert!(missing.is_empty(), "add to the list: {missing:?}");
    let gone: Vec<_> = checked.difference(&declared).collect();
    assert!(gone.is_empty(), "take from the list: {gone:?}");
}

/// Like in front ends, the module is in a structure that goes to another thread.
#[test]
fn a_wrapped_module_moves_to_another_thread() {
    use cranelift_module::{Module, default_libcall_names};
    let settings = backend::TargetSettings::new().setting("is_pic=false");
    let isa = backend::target("host", &settings).unwrap();
    let builder = cranelift_jit::JITBuilder::with_isa(isa.clone(), default_libcall_names());
    let inliner = pass::Inliner::new(decide::CostModel::default())
        .verify_with(isa)
        .profile(profile::Profile::new());
    let module = module::InliningModule::new(JITModule::new(builder), inliner);
    let module = module.on_define(|_, _| unreachable!("nothing is defined"));
    let kept: Box<dyn Module + Send> = Box::new(module);
    let moved = thread::spawn(move || kept.declarations().get_functions().count());
    assert_eq!(moved.join().unwrap(), 0);
}
