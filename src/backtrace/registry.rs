//! Tables of code that comes and goes.

use super::link::BacktraceTable;
use super::reader::BacktraceReader;
use super::walk::{BacktraceFrame, BacktraceWalkError, BacktraceWalker, Start};
use crate::frames::FrameMemory;
use std::iter;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, RwLock, TryLockError};

/// Slots that are allocated together.
const SLOTS: usize = 32;

/// The tables of texts in memory, such as those of a JIT, by their addresses.
///
/// A look-up allocates nothing and never waits: it only tries a lock, and does not find a text that
/// is registered or removed at that moment. A signal handler may use it. It takes time linear in
/// the largest number of texts that there were at once, so a text should be a module and not a
/// function. Removing a text waits until look-ups in it have ended.
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
    first: Chunk,
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
    slot: &'r Slot,
}

#[derive(Debug)]
struct Chunk {
    slots: [Slot; SLOTS],
    next: OnceLock<Box<Chunk>>,
}

/// A place for a text. `start` and `end` are hints for look-ups; the content decides.
#[derive(Debug)]
struct Slot {
    is_taken: AtomicBool,
    start: AtomicU64,
    end: AtomicU64,
    content: RwLock<Option<Content>>,
}

#[derive(Debug)]
struct Content {
    text: Range<u64>,
    table: Arc<BacktraceTable>,
}

impl BacktraceRegistry {
    /// Makes an empty registry.
    pub const fn new() -> Self {
        BacktraceRegistry {
            first: Chunk::new(),
        }
    }

    /// Adds the text at the addresses `text`, with its table. No other text may be there. The text
    /// ends [`text_bytes`](BacktraceReader::text_bytes) behind its start.
    pub fn register(
        &self,
        text: Range<u64>,
        table: impl Into<Arc<BacktraceTable>>,
    ) -> Registration<'_> {
        let slot = self.take_slot();
        let (start, end) = (text.start, text.end);
        let table = table.into();
        // A panic while a lock is held leaves the slot's content whole.
        let mut content = match slot.content.write() {
            Ok(content) => content,
            Err(poisoned) => poisoned.into_inner(),
        };
        *content = Some(Content { text, table });
        drop(content);
        // With the old end, the slot seems to have nothing.
        slot.start.store(start, Ordering::Release);
        slot.end.store(end, Ordering::Release);
        Registration { slot }
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
        // While a slot is taken or left, it may seem to have addresses that it does not have.
        for slot in self.slots().filter(|slot| slot.may_have(address)) {
            let content = match slot.content.try_read() {
                Ok(content) => content,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            let Some(Content { text, table }) = content.as_ref() else {
                continue;
            };
            if text.contains(&address) {
                return Some(f(RegisteredText {
                    reader: table.reader(),
                    address: text.start,
                    offset: u32::try_from(pc - text.start).ok()?,
                }));
            }
        }
        None
    }

    /// Returns a slot that is now the caller's.
    fn take_slot(&self) -> &Slot {
        let mut chunk = &self.first;
        loop {
            let free = chunk.slots.iter().find(|slot| {
                let taken = &slot.is_taken;
                taken
                    .compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
            });
            if let Some(slot) = free {
                return slot;
            }
            chunk = chunk.next.get_or_init(|| Box::new(Chunk::new()));
        }
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        let chunks = iter::successors(Some(&self.first), |&chunk| {
            chunk.next.get().map(|next| &**next)
        });
        chunks.flat_map(|chunk| &chunk.slots)
    }
}

impl Chunk {
    const fn new() -> Self {
        Chunk {
            slots: [const { Slot::new() }; SLOTS],
            next: OnceLock::new(),
        }
    }
}

impl Default for Chunk {
    fn default() -> Self {
        Self::new()
    }
}

impl Slot {
    const fn new() -> Self {
        Slot {
            is_taken: AtomicBool::new(false),
            start: AtomicU64::new(0),
            end: AtomicU64::new(0),
            content: RwLock::new(None),
        }
    }

    fn may_have(&self, address: u64) -> bool {
        self.start.load(Ordering::Acquire) <= address && address < self.end.load(Ordering::Acquire)
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        let slot = self.slot;
        slot.end.store(0, Ordering::Release);
        slot.start.store(0, Ordering::Release);
        let mut content = match slot.content.write() {
            Ok(content) => content,
            Err(poisoned) => poisoned.into_inner(),
        };
        *content = None;
        drop(content);
        slot.is_taken.store(false, Ordering::Release);
    }
}
