//! Terms: what values of both functions are, in common symbols.
//!
//! A term is a string of bits. Scalars of one size are the same term whatever their types are, so
//! that a `bitcast` between them is nothing. Vectors have lane 0 in their lowest bits. Equal terms
//! have equal numbers, and are equal wherever all their symbols mean the same.

use super::contents::ContentId;
use cranelift_codegen::ir::{Block, Endianness, Inst, StackSlot, Value};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// A byte order, the target's if it is none, and the bits of a lane, 0 for what has none.
pub(super) type Order = (Option<Endianness>, u32);

/// The number of a term.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Node(u32);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Side {
    Before,
    After,
}

/// A slot of one of the functions. One of the optimised function that is known to be one of the
/// other is named like that.
pub(super) type SlotRef = (Side, StackSlot);

/// What is known at the start of a block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Entry {
    After(Value),
    Before(Value),
    /// Bytes of a slot from an offset on.
    Range(Side, StackSlot, u32),
    /// What is behind the ranges of a slot.
    Backing(Side, StackSlot),
}

/// Something that is not computed from anything else here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Symbol {
    Param(usize),
    /// A result of an instruction of the optimised function.
    Result(Inst, usize),
    /// A value on the edge of this number of a call.
    OnEdge(Inst, usize, u32),
    /// What the function before loads and the optimised one does not, by the block of this at
    /// which it is, and counted there.
    Passed(Option<Block>, u32),
    /// What was passed for all entries of a class at a block of the optimised function.
    Join(Block, Entry),
    /// What a slot holds when the function is called.
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
    /// Bits of a term from this one on.
    Bits(Node, u32),
    /// Terms one after the other, from the lowest bits on.
    Row(Box<[Node]>),
    /// A vector with its lanes of so many bits in reverse order.
    Reversed(Node, u32),
    SwappedBytes(Node),
    /// Bytes that memory holds of a term, from this one on, whatever the byte order.
    Piece(Node, u32),
    /// Bytes as they stand one after the other in memory, whatever the byte order.
    Sequence(Box<[Node]>),
    /// What memory holds of a term that is stored in a byte order, in lanes of so many bits, where
    /// the byte order of other accesses is not known.
    Image(Node, Order),
    /// What is loaded of bytes that memory holds, in a byte order.
    View(Node, Order),
    /// Memory that holds zeros, for no reason but that it may hold anything.
    Zeros,
    /// Memory: something behind, and pieces before it.
    Memory {
        behind: Node,
        pieces: Box<[(u32, u32, Node)]>,
    },
    /// Memory after a store somewhere in it.
    Stored {
        memory: Node,
        address: Node,
        offset: i32,
        value: Node,
    },
    /// What an access of memory somewhere in it reads.
    Read {
        memory: Node,
        address: Node,
        offset: i32,
    },
    /// Bytes of memory from an offset on, after a store that may be to some of them.
    Overlaid {
        below: Node,
        start: u32,
        address: Node,
        offset: i32,
        value: Node,
    },
    /// Bytes of memory from an offset on.
    Part(Node, u32),
}

/// Terms that mention more slots than this have them accessed for good.
const MAX_MENTIONED: usize = 8;

struct Known {
    term: Term,
    /// In bits; 0 for memory.
    width: u32,
    /// The private slots whose addresses can be told from it.
    mentions: SmallVec<[SlotRef; 1]>,
}

/// All terms.
#[derive(Default)]
pub(super) struct Nodes {
    numbers: FxHashMap<(Term, u32), Node>,
    all: Vec<Known>,
    /// Slots that are mentioned by too large terms.
    pub(super) overflown: Vec<SlotRef>,
    /// What joins were made of, each time two things that came together.
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

    /// The node of a term as it stands.
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

    /// The address of a slot that is not private tells nothing.
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

    /// A symbol for several things together; with `base`, all of them are addresses in that slot.
    /// False if it was something else before.
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

    /// Whether a term is put together of bytes of what is passed to a block.
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
            // Where something is does not tell from what is there.
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

/// As many ones as a term of this width has bits.
pub(super) fn mask(width: u32) -> u128 {
    match width {
        0 => 0,
        128.. => u128::MAX,
        _ => (1 << width) - 1,
    }
}

pub(super) fn signed(bits: u128, width: u32) -> i128 {
    if width == 0 || width >= 128 {
        return bits.cast_signed();
    }
    let unused = 128 - width;
    (bits << unused).cast_signed() >> unused
}
