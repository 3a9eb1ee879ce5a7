//! The steps of a filetest.
//!
//! ```text
//! ; splice %f: every call             each direct call of %f to a function of the file, in layout order
//! ; splice %f: every call, backwards  the same, from the last to the first
//! ; splice %f: every call, nested     the same, and the calls that come in with the bodies
//! ; splice %f: fn0 fn3                only calls of these function references
//! ; inline_calls %f                   the drop-in for `Context::inline`, which keeps the copied calls
//! ; inline_calls %f: visit            the same, visiting the copied calls
//! ; cleanup %f                        tidies %f
//! ; optimize %f                       optimizes %f with all transforms
//! ; optimize %f: only slots, little   with some of slots, stores, params, insts and targets, a known byte
//!                                     order (little, big), or the functions `memcpy` and `memset`
//!                                     of C (memory functions). Guards need targets, and are for
//!                                     the pass only
//! ; pass %f: only guards              %f after the whole pass without inlining, with transforms as above
//! ; allow frame introspection         for the splices of the file
//! ; refuse thread locals              in callees, for the splices of the file
//! ; promises for the whole program    for the splices of the file: what flags of memory promise
//! ; share no slots                    between copies, for the splices of the file
//! ; stack limits are per thread       for the splices of the file
//! ; table: %t 8=%f                   a read-only table of functions of the file, for `optimize`
//! ; set preserve_frame_pointers       a setting of Cranelift for verifying and compiling
//! ; targets aarch64 x86_64            compile the result for these only
//! ; do not compile                    only verify it
//! ```
//!
//! Steps run in order, each on the results of the steps before it, so that callees can be prepared
//! before their callers. The independent checker checks each splice and clean-up.

use cranelift_codegen::inline::{Inline, InlineCommand};
use cranelift_codegen::ir::{
    self, Endianness, ExternalName, Function, Inst, InstructionData, UserFuncName,
};
use cranelift_inliner::check::{CopyId, CopyTree, check};
use cranelift_inliner::cleanup::{
    CleanupContext, MemoryFunctions, OptimizeOptions, TableFunction, Tables, clean_up, optimize,
};
use cranelift_inliner::decide::Never;
use cranelift_inliner::pass::{Inliner, Optimize};
use cranelift_inliner::program::Program;
use cranelift_inliner::splice::{
    Callee, CalleeTables, CopiedCall, MemoryPromises, Refusal, Session, SpliceContext,
    SpliceOptions, inline_calls_with,
};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The architectures for which results are compiled unless a file says
/// otherwise.
const TARGETS: [&str; 4] = ["x86_64", "aarch64", "riscv64", "s390x"];

/// A file's functions and their steps.
pub(crate) struct Script {
    pub(crate) settings: Vec<String>,
    pub(crate) targets: Vec<String>,
    pub(crate) compiles: bool,
    steps: Vec<Step>,
    options: SpliceOptions,
    tables: Arc<Tables>,
    functions: BTreeMap<String, Function>,
}

enum Step {
    Splice {
        caller: String,
        which: Which,
    },
    InlineCalls {
        caller: String,
        visit: bool,
    },
    CleanUp {
        func: String,
    },
    Optimize {
        func: String,
        options: OptimizeOptions,
    },
    Pass {
        func: String,
        options: OptimizeOptions,
    },
}

enum Which {
    Every { backwards: bool, nested: bool },
    Named(Vec<String>),
}

fn optimize_options(how: &str) -> Result<OptimizeOptions, String> {
    let mut options = OptimizeOptions::default();
    for word in how
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        match word {
            "little" => options.endianness = Some(Endianness::Little),
            "big" => options.endianness = Some(Endianness::Big),
            "memory functions" => options.memory_functions = MemoryFunctions::of_c(),
            _ if word.ends_with(" never throws") => {
                let name = word.trim_end_matches(" never throws");
                let name = name
                    .parse()
                    .map_err(|_| format!("`{name}` is not a name"))?;
                Arc::make_mut(&mut options.never_throws).insert(name);
            }
            _ => {
                let only = word.strip_prefix("only ").unwrap_or_default();
                let switches = [
                    ("slots", &mut options.promote_slots),
                    ("stores", &mut options.drop_stores),
                    ("branches", &mut options.thread_branches),
                    ("params", &mut options.drop_params),
                    ("insts", &mut options.drop_insts),
                    ("targets", &mut options.resolve_targets),
                    ("handlers", &mut options.drop_handlers),
                    ("comparisons", &mut options.simplify_comparisons),
                    ("guards", &mut options.guard_calls),
                ];
                if !switches.iter().any(|(name, _)| *name == only) {
                    return Err(format!("optimize has no way `{word}`"));
                }
                for (name, switch) in switches {
                    *switch = name == only || (name, only) == ("targets", "guards");
                }
            }
        }
    }
    Ok(options)
}

/// The results of the steps.
pub(crate) struct Outcome {
    pub(crate) refusals: Vec<String>,
    pub(crate) functions: Vec<Function>,
}

impl Script {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut script = Script {
            settings: Vec::new(),
            targets: TARGETS.map(String::from).into(),
            compiles: true,
            steps: Vec::new(),
            options: SpliceOptions::default(),
            tables: Arc::default(),
            functions: BTreeMap::new(),
        };
        for line in text.lines() {
            let Some(comment) = line.strip_prefix(';') else {
                continue;
            };
            script.parse_line(comment.trim())?;
        }
        if script.steps.is_empty() {
            return Err("the file has no step".into());
        }
        let functions = cranelift_reader::parse_functions(text).map_err(|e| e.to_string())?;
        let isa = crate::checks::isa(&script.targets[0], &script.settings)?;
        for func in functions {
            crate::checks::check_valid(&func, &*isa)?;
            script.functions.insert(func.name.to_string(), func);
        }
        script.tables = Arc::new(script.tables_of(text)?);
        Ok(script)
    }

    fn tables_of(&self, text: &str) -> Result<Tables, String> {
        let mut tables = Tables::default();
        let program = Program::from_clif(text, "filetest").map_err(|error| error.to_string())?;
        for table in program.tables() {
            for (offset, name) in program.table(table) {
                let function = self.functions.get(&name.to_string());
                let function = function.ok_or_else(|| format!("the file has no {name}"))?;
                let entry = TableFunction::new(name.clone(), function.signature.clone());
                tables.insert(table.clone(), offset, entry);
            }
        }
        Ok(tables)
    }

    fn parse_line(&mut self, line: &str) -> Result<(), String> {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (subject, how) = rest.split_once(':').unwrap_or((rest, ""));
        let (subject, how) = (subject.trim().to_string(), how.trim());
        let is_function = subject.starts_with('%') && !subject.contains(' ');
        let step = match command {
            "splice" if is_function => Step::Splice {
                caller: subject,
                which: match how {
                    "every call" => Which::Every {
                        backwards: false,
                        nested: false,
                    },
                    "every call, backwards" => Which::Every {
                        backwards: true,
                        nested: false,
                    },
                    "every call, nested" => Which::Every {
                        backwards: false,
                        nested: true,
                    },
                    _ if how.starts_with("fn") => {
                        Which::Named(how.split_whitespace().map(String::from).collect())
                    }
                    _ => return Err(format!("which calls are `{how}`?")),
                },
            },
            "inline_calls" if is_function => Step::InlineCalls {
                caller: subject,
                visit: match how {
                    "" => false,
                    "visit" => true,
                    _ => return Err(format!("inline_calls has no way `{how}`")),
                },
            },
            "cleanup" if is_function => Step::CleanUp { func: subject },
            "optimize" if is_function => Step::Optimize {
                func: subject,
                options: optimize_options(how)?,
            },
            "pass" if is_function => Step::Pass {
                func: subject,
                options: optimize_options(how)?,
            },
            "promises" if rest == "for the whole program" => {
                self.options.memory_promises = MemoryPromises::WholeProgram;
                return Ok(());
            }
            "share" if rest == "no slots" => {
                self.options.share_slots = false;
                return Ok(());
            }
            "allow" if rest == "frame introspection" => {
                self.options.allow_frame_pointer = true;
                self.options.allow_stack_pointer = true;
                self.options.allow_return_address = true;
                return Ok(());
            }
            "allow" if rest == "restored registers" => {
                self.options.unwinder_restores_registers = true;
                return Ok(());
            }
            "refuse" if rest == "thread locals" => {
                self.options.refuse_thread_locals = true;
                return Ok(());
            }
            "stack" if rest == "limits are per thread" => {
                self.options.stack_limit_is_per_thread = true;
                return Ok(());
            }
            "do" if rest == "not compile" => {
                self.compiles = false;
                return Ok(());
            }
            "set" => {
                self.settings.push(rest.into());
                return Ok(());
            }
            "targets" => {
                self.targets = rest.split_whitespace().map(String::from).collect();
                return Ok(());
            }
            _ => return Ok(()),
        };
        self.steps.push(step);
        Ok(())
    }

    pub(crate) fn run(&self) -> Result<Outcome, String> {
        let mut functions = self.functions.clone();
        let mut changed: Vec<String> = Vec::new();
        let mut refusals = Vec::new();
        for step in &self.steps {
            let (Step::Splice { caller: name, .. }
            | Step::InlineCalls { caller: name, .. }
            | Step::CleanUp { func: name }
            | Step::Optimize { func: name, .. }
            | Step::Pass { func: name, .. }) = step;
            let missing = || format!("the file has no {name}");
            let mut func = functions.get(name).cloned().ok_or_else(missing)?;
            match step {
                Step::Splice { which, .. } => {
                    self.splice(&mut func, which, &functions, &mut refusals)?;
                }
                Step::InlineCalls { visit, .. } => {
                    let inliner = ByName {
                        functions: &functions,
                        visit: *visit,
                    };
                    inline_calls_with(&mut func, inliner, &self.options)
                        .map_err(|error| error.to_string())?;
                }
                Step::Optimize { .. } => {}
                Step::Pass { options, .. } => {
                    func = pass(&func, &functions, options).map_err(|error| error.to_string())?;
                }
                Step::CleanUp { .. } => {
                    let before = func.clone();
                    clean_up(&mut func, &mut CleanupContext::new());
                    check(&CopyTree::new(&before), &func)
                        .map_err(|difference| format!("{difference}\n\n{func}"))?;
                }
            }
            if let Step::Optimize { options, .. } = step {
                let mut options = options.clone();
                options.tables = Arc::clone(&self.tables);
                optimize(&mut func, &options, &mut CleanupContext::new());
            }
            functions.insert(name.clone(), func);
            if !changed.contains(name) {
                changed.push(name.clone());
            }
        }
        let functions = changed.iter().map(|name| functions[name].clone()).collect();
        Ok(Outcome {
            refusals,
            functions,
        })
    }

    /// Checks a function that came out of the steps.
    pub(crate) fn check(&self, func: &Function) -> Result<(), String> {
        check_text(func)?;
        for target in &self.targets {
            let isa = crate::checks::isa(target, &self.settings)?;
            crate::checks::check_valid(func, &*isa)?;
            if self.compiles {
                crate::checks::compile(func, &*isa)?;
            }
        }
        Ok(())
    }

    fn splice(
        &self,
        func: &mut Function,
        which: &Which,
        functions: &BTreeMap<String, Function>,
        refusals: &mut Vec<String>,
    ) -> Result<(), String> {
        let mut calls: Vec<Inst> = func
            .layout
            .blocks()
            .flat_map(|block| func.layout.block_insts(block))
            .filter(|&inst| match which {
                Which::Every { .. } => target(func, inst, functions).is_some(),
                Which::Named(names) => {
                    called(func, inst).is_some_and(|f| names.contains(&f.to_string()))
                }
            })
            .collect();
        if let Which::Every {
            backwards: true, ..
        } = which
        {
            calls.reverse();
        }
        let nested = matches!(which, Which::Every { nested: true, .. });
        let before = func.clone();
        let mut copies = CopyTree::new(&before);
        if !self.options.share_slots {
            copies.forbid_shared_slots();
        }
        if self.options.stack_limit_is_per_thread {
            copies.stack_limits_are_per_thread();
        }
        if self.options.memory_promises == MemoryPromises::WholeProgram {
            copies.promise_for_whole_program();
        }
        // Where a call comes from and its number there, and its number here.
        let mut calls: Vec<(CopyId, Inst, Inst)> = calls
            .into_iter()
            .rev()
            .map(|call| (CopyTree::ROOT, call, call))
            .collect();
        let mut context = SpliceContext::new();
        let mut session = context.session(func, &self.options);
        let mut prepared: BTreeMap<String, Result<CalleeTables, Refusal>> = BTreeMap::new();
        while let Some((parent, source, call)) = calls.pop() {
            let func_ref = called(session.caller(), call);
            let callee = target(session.caller(), call, functions)
                .ok_or_else(|| format!("{call} does not call a function of the file"))?;
            let name = callee.name.to_string();
            let tables = prepared
                .entry(name)
                .or_insert_with(|| Callee::new(callee).map(Callee::into_tables));
            let callee_of_tables = tables
                .as_ref()
                .map(|tables| Callee::from_tables(callee, tables))
                .map_err(Clone::clone);
            match splice_unchanged_if_refused(&mut session, call, callee_of_tables) {
                Ok(copied) => {
                    let id = copies.add(parent, source, callee);
                    let copied = copied.into_iter().rev().filter(|copied| {
                        nested && target(session.caller(), copied.inst, functions).is_some()
                    });
                    calls.extend(copied.map(|copied| (id, copied.callee_inst, copied.inst)));
                }
                Err(refusal) => {
                    let func_ref = func_ref.map(|f| f.to_string()).unwrap_or_default();
                    refusals.push(format!("{func_ref} refused, {}: {refusal}", refusal.slug()));
                }
            }
        }
        session.finish();
        check(&copies, func).map_err(|difference| format!("{difference}\n\n{func}"))
    }
}

/// Returns `func` after the pass over all functions, proved by the checkers.
fn pass(
    func: &Function,
    functions: &BTreeMap<String, Function>,
    options: &OptimizeOptions,
) -> Result<Function, Box<dyn std::error::Error>> {
    let mut program = Program::new();
    for function in functions.values() {
        program.add(function.clone())?;
    }
    let inliner = Inliner::new(Never).optimize(Optimize::All);
    let inliner = inliner.optimize_options(options.clone()).check(true);
    let inlined = inliner.run(&program)?;
    let id = program
        .id(&func.name.clone().into())
        .ok_or("no such function")?;
    let body = inlined.body(id).ok_or("the function is dropped")?;
    Ok(Function::clone(body))
}

/// Splices; if that is refused, checks that nothing has changed.
fn splice_unchanged_if_refused(
    session: &mut Session<'_>,
    call: Inst,
    callee: Result<Callee<'_>, Refusal>,
) -> Result<Vec<CopiedCall>, Refusal> {
    let before = session.caller().clone();
    let copied =
        callee.and_then(|callee| session.splice(call, &callee).map(<[CopiedCall]>::to_vec));
    if copied.is_err() {
        assert!(
            before == *session.caller(),
            "a refused splice changed its caller"
        );
        assert_eq!(before.to_string(), session.caller().to_string());
    }
    copied
}

/// Returns the function reference that a direct call names.
fn called(func: &Function, inst: Inst) -> Option<ir::FuncRef> {
    match func.dfg.insts[inst] {
        InstructionData::Call { func_ref, .. } | InstructionData::TryCall { func_ref, .. } => {
            Some(func_ref)
        }
        _ => None,
    }
}

/// Returns the function of the file that a direct call calls.
fn target<'f>(
    func: &Function,
    inst: Inst,
    functions: &'f BTreeMap<String, Function>,
) -> Option<&'f Function> {
    lookup(func, called(func, inst)?, functions)
}

fn lookup<'f>(
    func: &Function,
    func_ref: ir::FuncRef,
    functions: &'f BTreeMap<String, Function>,
) -> Option<&'f Function> {
    let name = match &func.dfg.ext_funcs[func_ref].name {
        ExternalName::User(name) => {
            UserFuncName::User(func.params.user_named_funcs()[*name].clone()).to_string()
        }
        other => other.display(Some(&func.params)).to_string(),
    };
    functions.get(&name)
}

/// Inlines every call to a function of the file.
struct ByName<'f> {
    functions: &'f BTreeMap<String, Function>,
    visit: bool,
}

impl Inline for ByName<'_> {
    fn inline(
        &mut self,
        caller: &Function,
        _: Inst,
        _: ir::Opcode,
        callee: ir::FuncRef,
        _: &[ir::Value],
    ) -> InlineCommand<'_> {
        match lookup(caller, callee, self.functions) {
            Some(callee) => InlineCommand::Inline {
                callee: Cow::Borrowed(callee),
                visit_callee: self.visit,
            },
            None => InlineCommand::KeepCall,
        }
    }
}

/// Checks that printing, parsing and printing again does not change the text.
fn check_text(func: &Function) -> Result<(), String> {
    let text = func.to_string();
    let parsed = cranelift_reader::parse_functions(&text)
        .map_err(|error| format!("the text of {} does not parse: {error}", func.name))?;
    let again: String = parsed.iter().map(ToString::to_string).collect();
    if again == text {
        Ok(())
    } else {
        let diff = similar::TextDiff::from_lines(&text, &again);
        let diff = diff.unified_diff().to_string();
        Err(format!("the text of {} is not stable\n{diff}", func.name))
    }
}
