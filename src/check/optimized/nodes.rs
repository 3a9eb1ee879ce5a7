//! Terms: the values of both functions in common symbols.
//!
//! A term is a string of bits. Scalars of one size are the same term, whatever their types, so a
//! `bitcast` between them changes nothing. Vectors have lane 0 in their lowest bits. Equal terms
//! have equal numbers, and are equal wherever all their symbols mean the same.

use super::contents::ContentId;
use cranelift_codegen::ir::{Block, Endianness, Inst, StackSlot, Value};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// A byte order (`None` for the target's), and the bits of a lane, or 0 without lanes.
pub(super) type Order = (Option<Endianness>, u32);

/// The number of a term.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Node(u32);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Side {
    Before,
    After,
}

/// A slot of one of the functions. A slot of the optimised function that is paired with one of the
/// other function has the name of that one.
pub(super) type SlotRef = (Side, StackSlot);

/// An entry of the state at the start of a block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Entry {
    After(Value),
    Before(Value),
    /// The bytes of a slot from an offset on.
    Range(Side, StackSlot, u32),
    /// The memory behind the ranges of a slot.
    Backing(Side, StackSlot),
}

/// A term that is not computed from others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Symbol {
    Param(usize),
    /// A result of an instruction of the optimised function.
    Result(Inst, usize),
    /// A value on the edge with this number of a call.
    OnEdge(Inst, usize, u32),
    /// A load by the function before that the optimised one does not do: the block in which it is
    /// followed, and a count in that block.
    Passed(Option<Block>, u32),
    /// The values that are passed for all entries of a class at a block of the optimised function.
    Join(Block, Entry),
    /// The contents of a slot when the function is called.
    Uninitialised(Side, StackSlot),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Term {
    Symbol(Symbol),
    Constant(u128),
    Slot(SlotRef, i64),
    Function(ContentId),
    /// A result of a pure instruction.
    Computed {
        shape: ContentId,
        index: usize,
        args: Box<[Node]>,
    },
    /// The bits of a term from this one on.
    Bits(Node, u32),
    /// Terms side by side, from the lowest bits on.
    Row(Box<[Node]>),
    /// A vector with its lanes, of this many bits, in reverse order.
    Reversed(Node, u32),
    SwappedBytes(Node),
    /// The bytes of a stored term from this one on, in either byte order.
    Piece(Node, u32),
    /// Bytes side by side in memory, in either byte order.
    Sequence(Box<[Node]>),
    /// A term as it is stored, with its byte order and the bits of its lanes, if other accesses may
    /// have another byte order.
    Image(Node, Order),
    /// A load of bytes in memory, with its byte order.
    View(Node, Order),
    /// Memory that may hold anything, and is assumed to hold zeros.
    Zeros,
    /// Memory: a background, and pieces before it.
    Memory {
        behind: Node,
        pieces: Box<[(u32, u32, Node)]>,
    },
    /// Memory after a store at an unknown offset in it.
    Stored {
        memory: Node,
        address: Node,
        offset: i32,
        value: Node,
    },
    /// A load at an unknown offset in memory.
    Read {
        memory: Node,
        address: Node,
        offset: i32,
    },
    /// Bytes of memory from an offset on, after a store that may overlap some of them.
    Overlaid {
        below: Node,
        start: u32,
        address: Node,
        offset: i32,
        value: Node,
    },
    /// The bytes of memory from an offset on.
    Part(Node, u32),
}

/// The slots of a term that mentions more than this escape.
const MAX_MENTIONED: usize = 8;

struct Known {
    term: Term,
    /// The width in bits; 0 for memory.
    width: u32,
    /// The private slots whose addresses can be derived from it.
    mentions: SmallVec<[SlotRef; 1]>,
}

/// All terms.
#[derive(Default)]
pub(super) struct Nodes {
    numbers: FxHashMap<(Term, u32), Node>,
    all: Vec<Known>,
    /// Slots mentioned by terms that are too large.
    pub(super) overflown: Vec<SlotRef>,
    /// The parts of joins, in pairs of terms that met.
    pub(super) joined: FxHashMap<Node, SmallVec<[(Node, Node); 1]>>,
}

impl Nodes {
    pub(super) fn term(&self, node: Node) -> &Term {
        &self.all[node.0 as usize].term
    }

    pub(super) fn width(&self, node: Node) -> u32 {
        self.all[node.0 as usize].width
    }

    pub(super) fn mentions(&self, node: Node) -> &[SlotRef] {
        &self.all[node.0 as usize].mentions
    }

    /// Returns the node of a term, without simplifying it.
    pub(super) fn node(&mut self, term: Term, width: u32) -> Node {
        let key = (term, width);
        if let Some(&node) = self.numbers.get(&key) {
            return node;
        }
        let node = Node(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        let mentions = self.mentioned_by(&key.0);
        self.all.push(Known {
            term: key.0.clone(),
            width,
            mentions,
        });
        self.numbers.insert(key, node);
        node
    }

    /// Returns the address of a slot that is not private mentions no slot.
    pub(super) fn slot(
        &mut self,
        slot: SlotRef,
        offset: i64,
        width: u32,
        is_private: bool,
    ) -> Node {
        let node = self.node(Term::Slot(slot, offset), width);
        if !is_private {
            self.all[node.0 as usize].mentions.clear();
        }
        node
    }

    pub(super) fn symbol(&mut self, symbol: Symbol, width: u32) -> Node {
        self.node(Term::Symbol(symbol), width)
    }

    /// Defines a symbol for several terms together; with `base`, all of them are addresses in that
    /// slot. Returns false if the symbol was something else before.
    pub(super) fn join(
        &mut self,
        symbol: Symbol,
        width: u32,
        base: Option<SlotRef>,
    ) -> (Node, bool) {
        let known = self.all.len();
        let node = self.symbol(symbol, width);
        let mentions = &mut self.all[node.0 as usize].mentions;
        let wanted: SmallVec<[SlotRef; 1]> = base.into_iter().collect();
        let is_same = node.0 as usize == known || *mentions == wanted;
        *mentions = wanted;
        (node, is_same)
    }

    /// Returns whether a term is composed of bytes of values that are passed to a block.
    pub(super) fn leans_on(&self, node: Node, block: Block) -> bool {
        match self.term(node) {
            Term::Symbol(Symbol::Join(of, _)) => *of == block,
            Term::Bits(of, _) | Term::Piece(of, _) => self.leans_on(*of, block),
            Term::Row(parts) | Term::Sequence(parts) => {
                parts.iter().any(|&part| self.leans_on(part, block))
            }
            _ => false,
        }
    }

    pub(super) fn constant(&mut self, bits: u128, width: u32) -> Node {
        self.node(Term::Constant(bits & mask(width)), width)
    }

    pub(super) fn swapped(&mut self, node: Node) -> Node {
        let width = self.width(node);
        match *self.term(node) {
            _ if width <= 8 => node,
            Term::SwappedBytes(inner) => inner,
            Term::Constant(bits) if width <= 128 => {
                self.constant(bits.swap_bytes() >> (128 - width), width)
            }
            // One by one, each byte is found again where only some are loaded.
            _ if width <= 128 && width.is_multiple_of(8) => {
                let lows = (0..width).step_by(8).rev();
                let bytes: SmallVec<[Node; 8]> = lows.map(|low| self.bits(node, low, 8)).collect();
                self.row(&bytes)
            }
            _ => self.node(Term::SwappedBytes(node), width),
        }
    }

    pub(super) fn constant_of(&self, node: Node) -> Option<u128> {
        match self.term(node) {
            Term::Constant(bits) => Some(*bits),
            _ => None,
        }
    }

    fn mentioned_by(&mut self, term: &Term) -> SmallVec<[SlotRef; 1]> {
        let mut mentions: SmallVec<[SlotRef; 1]> = SmallVec::new();
        let mut add = |known: &[Known], node: Node| {
            for slot in &known[node.0 as usize].mentions {
                if !mentions.contains(slot) {
                    mentions.push(*slot);
                }
            }
        };
        match term {
            Term::Slot(slot, _) => mentions.push(*slot),
            Term::Computed { args, .. } => args.iter().for_each(|&arg| add(&self.all, arg)),
            Term::Row(parts) | Term::Sequence(parts) => {
                parts.iter().for_each(|&part| add(&self.all, part))
            }
            Term::Bits(node, _)
            | Term::Reversed(node, _)
            | Term::SwappedBytes(node)
            | Term::Piece(node, _)
            | Term::Image(node, _)
            | Term::View(node, _)
            | Term::Part(node, _) => add(&self.all, *node),
            Term::Memory { behind, pieces } => {
                add(&self.all, *behind);
                pieces.iter().for_each(|&(_, _, node)| add(&self.all, node));
            }
            // An address does not depend on the contents of its slot.
            Term::Stored { memory, value, .. } => {
                add(&self.all, *memory);
                add(&self.all, *value);
            }
            Term::Overlaid { below, value, .. } => {
                add(&self.all, *below);
                add(&self.all, *value);
            }
            Term::Read { memory, .. } => add(&self.all, *memory),
            Term::Symbol(_) | Term::Constant(_) | Term::Function(_) | Term::Zeros => {}
        }
        if mentions.len() > MAX_MENTIONED {
            self.overflown.extend(mentions.drain(MAX_MENTIONED..));
        }
        mentions
    }
}

/// Returns a number with a one for each bit of a term of this width.
pub(super) fn mask(width: u32) -> u128 {
    match width {
        0 => 0,
        128.. => u128::MAX,
        _ => (1 << width) - 1,
    }
}
