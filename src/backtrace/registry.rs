//! Tables of code that comes and goes.

use super::link::BacktraceTable;
use super::reader::BacktraceReader;
use super::walk::{BacktraceFrame, BacktraceWalkError, BacktraceWalker, Start};
use crate::frames::FrameMemory;
use std::collections::BTreeMap;
use std::hint;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, TryLockError};

/// The tables of texts in memory, such as those of a JIT, by their addresses.
///
/// A look-up allocates nothing, does not wait for changes, and takes time logarithmic in the number
/// of texts. A signal handler may use it, even one that interrupts a change. Registering and
/// removing a text wait for the end of look-ups that have begun, so neither may happen within one.
///
/// The texts are kept twice, like in the [left-right](https://hal.science/hal-01207881) technique,
/// but each copy has a lock. A change is made in one copy after the other, so that a look-up finds
/// one of them free.
///
/// ```
/// use cranelift_inliner::backend::{TargetSettings, target};
/// use cranelift_inliner::backtrace::{BacktraceRegistry, BacktraceTable, FunctionBacktraces};
/// use cranelift_inliner::decide::Always;
/// use cranelift_inliner::locations::LocationMode;
/// use cranelift_inliner::pass::Inliner;
/// use cranelift_inliner::program::Program;
///
/// static REGISTRY: BacktraceRegistry = BacktraceRegistry::new();
///
/// let text = "function %check(i32) system_v {
/// block0(v0: i32):
/// @0001   trapz v0, user7
///         return
/// }";
/// let program = Program::from_clif(text, "check.clif")?;
/// let isa = target("host", &TargetSettings::new())?;
/// let inliner = Inliner::new(Always).locations(LocationMode::InlinedAt);
/// let (_, compiled) = inliner.run_and_compile(&program, &*isa)?;
/// let (id, code) = compiled.iter().next().ok_or("no code")?;
/// let locations = compiled.locations(id).ok_or("no table")?;
/// let table = BacktraceTable::link([(0, &FunctionBacktraces::of(code, locations)?)])?;
///
/// let address = 0x7000_0000;
/// let size = code.code().len() as u64;
/// let registration = REGISTRY.register(address..address + size, table);
/// let pc = address + u64::from(code.traps()[0].offset);
/// let places = REGISTRY.at_trap(pc, |text| {
///     let places = text.reader.trap(text.offset).ok()??;
///     places.map(|place| Some(place.ok()?.to_string())).collect::<Option<Vec<_>>>()
/// });
/// assert_eq!(places.flatten().ok_or("not found")?, ["%check @0001"]);
/// drop(registration);
/// assert!(REGISTRY.at_trap(pc, |_| ()).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct BacktraceRegistry {
    // Not of a crate for this: those have a handle per reader, which a signal handler cannot make.
    copies: [RwLock<Texts>; 2],
    /// The number of texts that were ever registered. A change holds it, so that the other copy is
    /// free.
    registered: Mutex<u64>,
}

/// The text that has an address: see [`BacktraceRegistry::at_trap`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RegisteredText<'r> {
    /// Its table.
    pub reader: BacktraceReader<'r>,
    /// Its own address.
    pub address: u64,
    /// Bytes from its start to the address that was looked up.
    pub offset: u32,
}

/// A text in a registry, which its drop removes.
#[derive(Debug)]
#[must_use = "the text is removed when this is dropped"]
pub struct Registration<'r> {
    registry: &'r BacktraceRegistry,
    key: TextKey,
}

/// The start of a text, and a number that no other text had.
type TextKey = (u64, u64);

type Texts = BTreeMap<TextKey, Text>;

#[derive(Clone, Debug)]
struct Text {
    addresses: Range<u64>,
    table: Arc<BacktraceTable>,
}

impl BacktraceRegistry {
    /// Makes an empty registry.
    pub const fn new() -> Self {
        BacktraceRegistry {
            copies: [const { RwLock::new(Texts::new()) }; 2],
            registered: Mutex::new(0),
        }
    }

    /// Adds the text at the addresses `text`, with its table. No other text may be there. The text
    /// ends [`text_bytes`](BacktraceReader::text_bytes) behind its start.
    pub fn register(
        &self,
        text: Range<u64>,
        table: impl Into<Arc<BacktraceTable>>,
    ) -> Registration<'_> {
        let table = table.into();
        let mut registered = self.lock_changes();
        *registered += 1;
        let key = (text.start, *registered);
        let text = Text {
            addresses: text,
            table,
        };
        // An empty text has no address, and would hide the one around it.
        if !text.addresses.is_empty() {
            self.change(|texts| texts.insert(key, text.clone()));
        }
        Registration {
            registry: self,
            key,
        }
    }

    /// Calls `f` with the text that has the instruction at the address `pc`, where a program
    /// trapped; returns `None` if none has.
    pub fn at_trap<R>(&self, pc: u64, f: impl FnOnce(RegisteredText<'_>) -> R) -> Option<R> {
        self.with_text_of(pc, pc, f)
    }

    /// Calls `f` with the text that has the call which returns to the address `pc`; returns `None`
    /// if none has. That address may be the end of the text.
    pub fn at_return_address<R>(
        &self,
        pc: u64,
        f: impl FnOnce(RegisteredText<'_>) -> R,
    ) -> Option<R> {
        self.with_text_of(pc.checked_sub(1)?, pc, f)
    }

    /// Walks a stack across all texts from an instruction that trapped, at the address `pc` with
    /// the frame pointer `fp`, and calls `f` with each frame, innermost first. The walk ends at the
    /// first address that no text has. The frames are those of [`BacktraceWalker`], which expects
    /// programs that keep frame pointers.
    ///
    /// ```
    /// use cranelift_inliner::backtrace::{BacktraceRegistry, BacktraceWalkError};
    /// use cranelift_inliner::frames::FrameMemory;
    ///
    /// static REGISTRY: BacktraceRegistry = BacktraceRegistry::new();
    ///
    /// /// Prints the stack at a trap.
    /// fn print(memory: impl FrameMemory, pc: u64, fp: u64) -> Result<(), BacktraceWalkError> {
    ///     REGISTRY.walk_from_trap(memory, pc, fp, |frame| {
    ///         for place in frame.places.into_iter().flatten().flatten() {
    ///             eprintln!("at {place}");
    ///         }
    ///     })
    /// }
    /// # let memory = cranelift_inliner::frames::CopiedMemory::new(0, &[]);
    /// # assert_eq!(print(memory, 0, 0), Ok(()), "there is no text");
    /// ```
    ///
    /// # Errors
    ///
    /// [`BacktraceWalkError`] where a frame cannot be read or a table is corrupt; `f` had the
    /// frames before it.
    pub fn walk_from_trap(
        &self,
        memory: impl FrameMemory,
        pc: u64,
        fp: u64,
        f: impl FnMut(BacktraceFrame<'_>),
    ) -> Result<(), BacktraceWalkError> {
        let is_trap = true;
        self.walk(&memory, Start { pc, fp, is_trap }, f)
    }

    /// Like [`walk_from_trap`](Self::walk_from_trap), from a call that returns to the address `pc`,
    /// in the frame with the pointer `fp`.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn walk_from_return_address(
        &self,
        memory: impl FrameMemory,
        pc: u64,
        fp: u64,
        f: impl FnMut(BacktraceFrame<'_>),
    ) -> Result<(), BacktraceWalkError> {
        let is_trap = false;
        self.walk(&memory, Start { pc, fp, is_trap }, f)
    }

    fn walk(
        &self,
        memory: &impl FrameMemory,
        mut at: Start,
        mut f: impl FnMut(BacktraceFrame<'_>),
    ) -> Result<(), BacktraceWalkError> {
        loop {
            let through = |text: RegisteredText<'_>| {
                let mut walker = BacktraceWalker::from_start(text.reader, text.address, memory, at);
                for frame in walker.by_ref() {
                    f(frame?);
                }
                Ok::<_, BacktraceWalkError>(walker.outside())
            };
            let outside = match at.is_trap {
                true => self.at_trap(at.pc, through),
                false => self.at_return_address(at.pc, through),
            };
            match outside.transpose()?.flatten() {
                // A text may be registered with more addresses than its table has.
                Some(outside) if outside != at => at = outside,
                _ => return Ok(()),
            }
        }
    }

    fn with_text_of<R>(
        &self,
        address: u64,
        pc: u64,
        f: impl FnOnce(RegisteredText<'_>) -> R,
    ) -> Option<R> {
        let texts = self.texts();
        let (_, text) = texts.range(..=(address, u64::MAX)).next_back()?;
        if !text.addresses.contains(&address) {
            return None;
        }
        Some(f(RegisteredText {
            reader: text.table.reader(),
            address: text.addresses.start,
            offset: u32::try_from(pc - text.addresses.start).ok()?,
        }))
    }

    /// Returns a copy that no change has. It is one of the two, unless a change went from one to
    /// the other meanwhile.
    fn texts(&self) -> RwLockReadGuard<'_, Texts> {
        loop {
            for copy in &self.copies {
                match copy.try_read() {
                    Ok(texts) => return texts,
                    Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                    Err(TryLockError::WouldBlock) => {}
                }
            }
            hint::spin_loop();
        }
    }

    fn lock_changes(&self) -> MutexGuard<'_, u64> {
        self.registered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change in both copies, while the caller holds the lock of changes. Returns both
    /// results, so that a table that goes is freed where no look-up waits for it.
    fn change<R>(&self, mut change: impl FnMut(&mut Texts) -> R) -> [R; 2] {
        self.copies.each_ref().map(|copy| {
            let mut texts = copy.write().unwrap_or_else(PoisonError::into_inner);
            change(&mut texts)
        })
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        let changes = self.registry.lock_changes();
        let removed = self.registry.change(|texts| texts.remove(&self.key));
        drop(changes);
        drop(removed);
    }
}
