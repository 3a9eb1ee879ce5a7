//! A set of functions that call each other by name.
//!
//! Everything else in this crate works on a [`Program`]. It is built in memory, from an embedder's
//! [`ir::Function`]s, or from CLIF text:
//!
//! ```
//! use cranelift_inliner::program::{FunctionName, Linkage, Program};
//!
//! let mut program = Program::from_clif(
//!     "function %main(i32) -> i32 {
//!          fn0 = %double(i32) -> i32
//!      block0(v0: i32):
//!          v1 = call fn0(v0)
//!          return v1
//!      }
//!
//!      function %double(i32) -> i32 {
//!      block0(v0: i32):
//!          v1 = iadd v0, v0
//!          return v1
//!      }",
//!     "example",
//! )?;
//! let main: FunctionName = "main".parse()?;
//! program.export_only(&[main])?;
//!
//! let double = program.id(&"double".parse()?).expect("it is defined");
//! assert_eq!(program[double].linkage(), Linkage::Local);
//! assert_eq!(program[double].origin().map(|origin| origin.line), Some(8));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Names
//!
//! A call in CLIF names its callee by a [`FunctionName`], and the program maps names to the
//! functions that define them, the [`FunctionId`]s. A name that no function defines is external. No
//! two functions have one name.
//!
//! # Linkage, attributes and hints
//!
//! CLIF does not express the visibility of a function, nor whether it is worth inlining. A
//! [`ProgramFunction`] adds that to the body: its [`Linkage`], its [`Attributes`], and the
//! [`SiteHint`]s of single calls. Functions read from text are exported and have no attributes.
//! That is safe, but no function can be dropped; [`Program::export_only`] makes all others local.
//!
//! # Order
//!
//! Functions are numbered and iterated in input order, and all work over them (parsing, verifying,
//! printing) runs in parallel and reports in this order, so that neither the result nor the error
//! depends on the number of threads.
//!
//! # Bodies are shared
//!
//! A body is an [`Arc`]: cloning a program copies no function. A pass that changes some functions
//! makes a new program with [`Program::with_bodies`] and leaves its input as it was.

mod attributes;
mod clif_names;
mod declaration;
mod directives;
mod error;
mod function;
mod header;
mod input;
mod name;
mod print;
mod scan;
mod tables;
mod text;
mod text_writer;
mod verify;

pub use attributes::{Attributes, InlineAttribute, SiteHint};
pub use declaration::Declaration;
pub use directives::FunctionRef;
pub use error::ProgramError;
pub(crate) use function::is_direct_call;
pub use function::{FunctionId, Linkage, Origin, ProgramFunction, RunDirective};
pub use header::{FileHeader, HeaderKind, HeaderLine};
pub use name::{FunctionName, ParseNameError};
pub use print::function_text;

use cranelift_codegen::ir::{self, ExternalName, GlobalValueData};
#[cfg(feature = "shards")]
use cranelift_entity::EntityRef;
use cranelift_entity::PrimaryMap;
use hashbrown::HashTable;
#[cfg(feature = "shards")]
use hashbrown::hash_table::Entry;
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::Index;
use std::sync::Arc;

/// A set of functions that call each other by name. See the [module](self) for an example.
///
/// A clone shares everything with the original until one of them is changed, so cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Program {
    functions: Arc<PrimaryMap<FunctionId, ProgramFunction>>,
    /// By the hashes of their names.
    by_name: Arc<HashTable<FunctionId>>,
    headers: Vec<Arc<FileHeader>>,
    tables: Arc<BTreeMap<FunctionName, Table>>,
}

/// Returns a number by which names are looked up.
fn hash(name: &FunctionName) -> u64 {
    FxBuildHasher.hash_one(name)
}

fn hash_of(functions: &PrimaryMap<FunctionId, ProgramFunction>, id: FunctionId) -> u64 {
    functions
        .get(id)
        .map_or(0, |function| hash(function.name()))
}

fn has_name(
    functions: &PrimaryMap<FunctionId, ProgramFunction>,
    id: FunctionId,
    name: &FunctionName,
) -> bool {
    functions
        .get(id)
        .is_some_and(|function| function.name() == name)
}

/// By how many bytes behind the symbol.
type Table = BTreeMap<i64, FunctionName>;

impl Program {
    /// Creates a program without functions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses one CLIF text. Errors and origins name the text `file`.
    ///
    /// The text may be plain CLIF or a Cranelift filetest, whose header lines and `run`
    /// directives are kept (see [`FileHeader`] and [`RunDirective`]). A comment before the first
    /// function declares a [table](Self::add_table): by `; table: %handlers 0=%first 8=%second`,
    /// the data `%handlers` holds the address of `%first` at its start, and that of `%second` 8
    /// bytes behind it. Other comments are not kept.
    ///
    /// # Errors
    ///
    /// As for [`add_clif`](Self::add_clif).
    pub fn from_clif(text: &str, file: &str) -> Result<Self, ProgramError> {
        let mut program = Self::new();
        program.add_clif(text, file)?;
        Ok(program)
    }

    /// Like [`from_clif`](Self::from_clif), but only with the functions whose names `wanted` takes,
    /// perhaps none. The others are not parsed.
    ///
    /// # Errors
    ///
    /// Those of [`from_clif`](Self::from_clif), except for functions that are not wanted.
    pub fn some_from_clif(
        text: &str,
        file: &str,
        wanted: impl Fn(&FunctionName) -> bool,
    ) -> Result<Self, ProgramError> {
        let mut program = Self::new();
        let parsed = text::parse_some(text, &Arc::from(file), Some(&wanted))?;
        merge(&mut program, parsed)?;
        Ok(program)
    }

    /// Adds the functions of one CLIF text after the present ones, like
    /// [`from_clif`](Self::from_clif), and returns them. They are exported and have no attributes.
    ///
    /// # Errors
    ///
    /// [`ProgramError::Syntax`] for text that does not parse and for tables that contradict each
    /// other, [`ProgramError::Empty`] for text without a function, and
    /// [`ProgramError::DuplicateName`]. After an error the program is unchanged.
    pub fn add_clif(&mut self, text: &str, file: &str) -> Result<Vec<FunctionId>, ProgramError> {
        merge(self, text::parse(text, &Arc::from(file))?)
    }

    /// Adds an exported function without attributes, with the name of `body`.
    ///
    /// The body need not be valid; [`verify`](Self::verify) checks it.
    ///
    /// # Errors
    ///
    /// As for [`add_function`](Self::add_function).
    pub fn add(&mut self, body: impl Into<Arc<ir::Function>>) -> Result<FunctionId, ProgramError> {
        self.add_function(ProgramFunction::new(body))
    }

    /// Adds a function with the linkage, attributes and origin that it has.
    ///
    /// # Errors
    ///
    /// [`ProgramError::DuplicateName`] if a function of this name is there, and
    /// [`ProgramError::NameNotUtf8`] if its name or a name that it refers to is not UTF-8, for
    /// Cranelift cannot print such a function. After an error the program is as it was.
    pub fn add_function(&mut self, function: ProgramFunction) -> Result<FunctionId, ProgramError> {
        check_names_are_utf8(&function)?;
        if let Some(first) = self.id(function.name()) {
            return Err(duplicate(self.get(first), &function));
        }
        Ok(self.push(function))
    }

    /// Adds a function whose name is known to be new and UTF-8.
    fn push(&mut self, function: ProgramFunction) -> FunctionId {
        let hash = hash(function.name());
        let functions = Arc::make_mut(&mut self.functions);
        let id = functions.push(function);
        let by_name = Arc::make_mut(&mut self.by_name);
        by_name.insert_unique(hash, id, |&id| hash_of(functions, id));
        id
    }

    /// Creates a program of functions whose names are UTF-8. The error is the index of the first
    /// that has the name of one before it, and the name.
    #[cfg(feature = "shards")]
    pub(crate) fn of_functions(
        functions: Vec<ProgramFunction>,
    ) -> Result<Self, (usize, FunctionName)> {
        let functions = PrimaryMap::from(functions);
        let mut by_name = HashTable::with_capacity(functions.len());
        for (id, function) in functions.iter() {
            let entry = by_name.entry(
                hash(function.name()),
                |&other| has_name(&functions, other, function.name()),
                |&id| hash_of(&functions, id),
            );
            match entry {
                Entry::Occupied(_) => return Err((id.index(), function.name().clone())),
                Entry::Vacant(place) => place.insert(id),
            };
        }
        Ok(Program {
            functions: Arc::new(functions),
            by_name: Arc::new(by_name),
            ..Program::default()
        })
    }

    /// Returns the function that defines `name`; `None` if the name is external.
    pub fn id(&self, name: &FunctionName) -> Option<FunctionId> {
        let is_named = |&id: &FunctionId| has_name(&self.functions, id, name);
        self.by_name.find(hash(name), is_named).copied()
    }

    /// Returns the function `id`; `None` if this program has fewer functions. Where `id` is known
    /// to be from this program, `program[id]` is shorter.
    pub fn get(&self, id: FunctionId) -> Option<&ProgramFunction> {
        self.functions.get(id)
    }

    /// Returns all functions in input order.
    pub fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = (FunctionId, &ProgramFunction)> + ExactSizeIterator {
        self.functions.iter()
    }

    /// Returns all functions' ids in input order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = FunctionId> + ExactSizeIterator + use<> {
        self.functions.keys()
    }

    /// Returns the number of functions that the program defines.
    pub fn len(&self) -> usize {
        self.functions.len()
    }

    /// Returns whether the program defines no function.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }

    /// Returns the function that `func_ref` of `func` refers to; `None` where it is external, or no
    /// reference of `func` (see [`FunctionName::of_callee`]).
    pub fn callee(&self, func: &ir::Function, func_ref: ir::FuncRef) -> Option<FunctionId> {
        self.id(&FunctionName::of_callee(func, func_ref)?)
    }

    /// Returns the headers of the texts that the program was read from, one per text, in input
    /// order.
    pub fn headers(&self) -> &[Arc<FileHeader>] {
        &self.headers
    }

    /// Declares the function addresses in data that is never written, such as a vtable or a table
    /// of handlers. Each comes with its offset from the symbol `name`, in bytes. An earlier table
    /// of `name` is replaced.
    ///
    /// The functions need not be in the program. Those in the program are always kept, because the
    /// data may be used at any time. The optimizer replaces a load of such an address by the
    /// address of the function. So the data must not be replaced at link time, and its addresses
    /// must not be written.
    ///
    /// ```
    /// use cranelift_inliner::{decide::Always, pass::Inliner, pass::Optimize, program::Program};
    ///
    /// let mut program = Program::from_clif("
    /// function %one() -> i64 fast {
    /// block0:
    ///     v0 = iconst.i64 1
    ///     return v0
    /// }
    /// function %main() -> i64 fast {
    ///     gv0 = symbol colocated %handlers
    ///     sig0 = () -> i64 fast
    /// block0:
    ///     v0 = symbol_value.i64 gv0
    ///     v1 = load.i64 v0+8
    ///     v2 = call_indirect sig0, v1()
    ///     return v2
    /// }", "main.clif")?;
    /// program.add_table("handlers".parse()?, [(8, "one".parse()?)]);
    /// let inlined = Inliner::new(Always).run(&program)?;
    /// assert!(inlined.sites().any(|site| site.is_resolved() && site.inlined));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_table(
        &mut self,
        name: FunctionName,
        functions: impl IntoIterator<Item = (i64, FunctionName)>,
    ) {
        Arc::make_mut(&mut self.tables).insert(name, functions.into_iter().collect());
    }

    /// Returns the entries of a table: the offset from its symbol, in bytes, and the function whose
    /// address is there; in the order of the offsets.
    pub fn table(&self, name: &FunctionName) -> impl Iterator<Item = (i64, &FunctionName)> {
        let table = self.tables.get(name).into_iter().flatten();
        table.map(|(&offset, function)| (offset, function))
    }

    /// Returns the names of all tables, in their order.
    pub fn tables(&self) -> impl ExactSizeIterator<Item = &FunctionName> {
        self.tables.keys()
    }

    pub(crate) fn has_tables(&self) -> bool {
        !self.tables.is_empty()
    }

    /// Returns the functions of the program that tables hold, each as often as they do.
    pub(crate) fn table_functions(&self) -> impl Iterator<Item = FunctionId> {
        let functions = self.tables.values().flat_map(BTreeMap::values);
        functions.filter_map(|name| self.id(name))
    }

    /// Returns this program of declared functions with their bodies, which have the declared names;
    /// functions without one stay as they are.
    pub(crate) fn with_late_bodies(
        &self,
        mut body: impl FnMut(FunctionId) -> Option<Arc<ir::Function>>,
    ) -> Program {
        let functions = self.iter().map(|(id, function)| {
            let function = function.clone();
            match body(id) {
                Some(body) => function.with_late_body(body),
                None => function,
            }
        });
        Program {
            functions: Arc::new(functions.collect()),
            ..self.clone()
        }
    }

    /// Returns this program with other bodies. `body` is called for each function in order and
    /// gives its new body, or `None` to leave the function out. All else is as in this program.
    ///
    /// After a function that is left out, the others have new ids.
    ///
    /// ```
    /// # use cranelift_inliner::program::Program;
    /// # let text = "function %a() {\nblock0:\n return\n}\nfunction %b() {\nblock0:\n return\n}";
    /// # let program = Program::from_clif(text, "example")?;
    /// let a = program.id(&"a".parse()?);
    /// let rest = program.with_bodies(|id, function| {
    ///     (Some(id) != a).then(|| function.body().clone())
    /// })?;
    /// assert_eq!(rest.len(), program.len() - 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`add_function`](Self::add_function), which occur only if `body` returns a body
    /// with another name.
    pub fn with_bodies(
        &self,
        mut body: impl FnMut(FunctionId, &ProgramFunction) -> Option<Arc<ir::Function>>,
    ) -> Result<Program, ProgramError> {
        let bodies = self.iter().map(|(id, function)| body(id, function));
        let bodies: Vec<Option<Arc<ir::Function>>> = bodies.collect();
        let all = || self.functions.values().zip(&bodies);
        let mut program = Program {
            headers: self.headers.clone(),
            tables: Arc::clone(&self.tables),
            ..Program::default()
        };
        if all()
            .all(|(function, body)| body.as_ref().is_some_and(|body| function.has_name_of(body)))
        {
            // The names and ids are the same, and perhaps the bodies as well.
            program.by_name = Arc::clone(&self.by_name);
            let mut pairs = all().filter_map(|(function, body)| Some((function, body.as_ref()?)));
            program.functions = match pairs.all(|(function, body)| function.has_body(body)) {
                true => Arc::clone(&self.functions),
                false => {
                    let mut functions = PrimaryMap::with_capacity(self.len());
                    for (function, body) in self.functions.values().zip(bodies) {
                        let body = body.unwrap_or_else(|| Arc::clone(function.body()));
                        let is_new = !Arc::ptr_eq(&body, function.body());
                        let function = function.clone().with_body(body);
                        if is_new {
                            check_names_are_utf8(&function)?;
                        }
                        functions.push(function);
                    }
                    Arc::new(functions)
                }
            };
            return Ok(program);
        }
        for (function, body) in self.functions.values().zip(bodies) {
            if let Some(body) = body {
                program.add_function(function.clone().with_body(body))?;
            }
        }
        Ok(program)
    }
}

/// # Panics
///
/// If the program has no function `id`; [`Program::get`] does not.
impl Index<FunctionId> for Program {
    type Output = ProgramFunction;

    fn index(&self, id: FunctionId) -> &ProgramFunction {
        &self.functions[id]
    }
}

/// Adds the content of one text to `program`, all or nothing.
fn merge(program: &mut Program, text: text::ParsedText) -> Result<Vec<FunctionId>, ProgramError> {
    let mut new = FxHashMap::default();
    for (index, function) in text.functions.iter().enumerate() {
        let before = match program.id(function.name()) {
            Some(id) => program.get(id),
            None => new
                .insert(function.name(), index)
                .and_then(|first| text.functions.get(first)),
        };
        if before.is_some() {
            return Err(duplicate(before, function));
        }
    }
    if let Some(conflict) = tables::conflict(program, &text.tables, text.header.file()) {
        return Err(conflict);
    }
    for (name, (_, table)) in text.tables {
        let known = Arc::make_mut(&mut program.tables).entry(name).or_default();
        known.extend(table);
    }
    program.headers.push(text.header);
    let functions = text.functions.into_iter();
    Ok(functions.map(|function| program.push(function)).collect())
}

fn duplicate(first: Option<&ProgramFunction>, second: &ProgramFunction) -> ProgramError {
    ProgramError::DuplicateName {
        name: second.name().clone(),
        first: first.and_then(ProgramFunction::origin).cloned(),
        second: second.origin().cloned(),
    }
}

fn check_names_are_utf8(function: &ProgramFunction) -> Result<(), ProgramError> {
    let error = |name| ProgramError::NameNotUtf8 {
        function: function.name().clone(),
        origin: function.origin().cloned(),
        name,
    };
    if !function.name().is_utf8() {
        return Err(error(function.name().clone()));
    }
    for name in referenced_names(function.body()) {
        if let ExternalName::TestCase(text) = name
            && std::str::from_utf8(text.raw()).is_err()
        {
            return Err(error(FunctionName::testcase(text.raw())));
        }
    }
    Ok(())
}

/// Returns every external name that `func` declares: of functions, then of symbols.
fn referenced_names(func: &ir::Function) -> impl Iterator<Item = &ExternalName> {
    let functions = func.dfg.ext_funcs.values().map(|declared| &declared.name);
    let symbols = func.global_values.values().filter_map(|data| match data {
        GlobalValueData::Symbol { name, .. } => Some(name),
        _ => None,
    });
    functions.chain(symbols)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelift_codegen::ir::{Function, Signature, UserFuncName};
    use cranelift_codegen::isa::CallConv;

    fn body(name: UserFuncName) -> Function {
        Function::with_name_signature(name, Signature::new(CallConv::SystemV))
    }

    fn name(text: &str) -> FunctionName {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    const TEXT: &str = "function %a() {\n    fn0 = %b()\n    fn1 = %c()\nblock0:\n    \
                        call fn0()\n    call fn1()\n    return\n}\n\
                        function %b() {\nblock0:\n    return\n}\n";

    fn program() -> Program {
        Program::from_clif(TEXT, "t.clif").unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn functions_are_found_by_name_and_by_reference() {
        let program = program();
        assert_eq!(program.len(), 2);
        let (a, b) = (program.id(&name("a")), program.id(&name("b")));
        assert_eq!(program.ids().map(Some).collect::<Vec<_>>(), [a, b]);
        let caller = &program[a.unwrap_or_else(|| panic!("no %a"))];
        let callee = |index| program.callee(caller.body(), ir::FuncRef::from_u32(index));
        assert_eq!(callee(0), b);
        assert_eq!(callee(1), None, "%c is external");
        assert_eq!(callee(2), None, "no such reference");
        assert!(program.get(FunctionId::from_u32(2)).is_none());
    }

    #[test]
    fn a_failed_addition_changes_nothing() {
        let mut program = program();
        let before = program.to_clif().unwrap_or_default();
        let late = "function %d() {\nblock0:\n    return\n}\nfunction %b() {\nblock0:\n return\n}";
        let error = program.add_clif(late, "late").unwrap_err();
        assert_eq!(
            error.to_string(),
            "function %b is defined twice: t.clif:9 and late:5"
        );
        let twice = "function %d() {\nblock0:\n return\n}\n".repeat(2);
        let error = program.add_clif(&twice, "twice").unwrap_err();
        assert_eq!(
            error.to_string(),
            "function %d is defined twice: twice:1 and twice:5"
        );
        let error = program.add(body(UserFuncName::testcase("a"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "function %a is defined twice: t.clif:1 and in memory"
        );
        assert!(program.id(&name("d")).is_none());
        assert_eq!(program.headers().len(), 1);
        assert_eq!(program.to_clif().unwrap_or_default(), before);
    }

    #[test]
    fn names_that_are_not_utf8_are_refused() {
        let mut program = Program::new();
        let error = program
            .add(body(UserFuncName::testcase([0xff])))
            .unwrap_err();
        assert!(matches!(error, ProgramError::NameNotUtf8 { .. }));

        let mut referring = body(UserFuncName::testcase("f"));
        referring.create_global_value(GlobalValueData::Symbol {
            name: ExternalName::testcase([0xfe]),
            offset: 0.into(),
            colocated: false,
            tls: false,
        });
        let error = program.add(referring).unwrap_err().to_string();
        assert_eq!(
            error,
            "function %f (in memory): the name %\u{fffd} is not UTF-8"
        );
        assert!(program.is_empty());
    }

    #[test]
    fn new_bodies_keep_the_facts_beside_them() {
        let mut program = program();
        program
            .set_linkage(&name("b"), Linkage::Local)
            .unwrap_or_else(|error| panic!("{error}"));
        let next = program
            .with_bodies(|_, function| {
                (function.name() == &name("b")).then(|| Arc::new(body(UserFuncName::testcase("b"))))
            })
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(next.len(), 1);
        let id = next.id(&name("b")).unwrap_or_else(|| panic!("no %b"));
        assert_eq!(next[id].linkage(), Linkage::Local);
        assert_eq!(next[id].origin().map(|origin| origin.line), Some(9));
        assert_eq!(next[id].body().layout.blocks().count(), 0);
        assert_eq!(program.len(), 2);
        let clash = program.with_bodies(|_, _| Some(Arc::new(body(UserFuncName::user(0, 0)))));
        assert!(matches!(clash, Err(ProgramError::DuplicateName { .. })));
    }
}
