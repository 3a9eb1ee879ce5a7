//! Types and byte orders of stored and loaded values.

use super::super::comparison::signed;
use super::evaluate::World;
use super::memory::Access;
use super::nodes::{Node, Order, Term};
use cranelift_codegen::ir::{Endianness, Type};
use smallvec::SmallVec;

impl World {
    /// Returns the contents of memory after a store of `value`, as a number in native byte order.
    pub(super) fn as_held(&mut self, access: &Access, value: Option<Node>) -> Option<Node> {
        let value = value?;
        let value = self.nodes.bits(value, 0, access.size * 8);
        self.reordered(access, value, true)
    }

    /// Returns the result of a load of these bits in memory.
    pub(super) fn as_loaded(&mut self, access: &Access, bits: Option<Node>) -> Option<Node> {
        let value = self.reordered(access, bits?, false)?;
        let width = access.ty.bits();
        if !access.is_signed || access.size * 8 == width {
            return Some(self.nodes.zero_extended(value, width));
        }
        self.sign_extended(value, access.ty)
    }

    fn sign_extended(&mut self, value: Node, ty: Type) -> Option<Node> {
        let width = self.nodes.width(value);
        if let Some(bits) = self.nodes.constant_of(value) {
            let bits = signed(bits, width).cast_unsigned();
            return Some(self.nodes.constant(bits, ty.bits()));
        }
        let from = Type::int(u16::try_from(width).ok()?)?;
        let shape = self.contents.sign_extension(from, ty);
        let term = Term::Computed {
            shape,
            index: 0,
            args: Box::new([value]),
        };
        Some(self.nodes.node(term, ty.bits()))
    }

    fn image(&mut self, node: Node, order: Order) -> Node {
        let width = self.nodes.width(node);
        match *self.nodes.term(node) {
            Term::View(bits, of) if of == order => bits,
            // Zeros are the same in every order.
            Term::Constant(0) => node,
            _ if width == 8 => node,
            _ => self.nodes.node(Term::Image(node, order), width),
        }
    }

    fn view(&mut self, bits: Node, order: Order) -> Node {
        let width = self.nodes.width(bits);
        match *self.nodes.term(bits) {
            Term::Image(node, stored) if stored == order => return node,
            Term::Constant(0) => return bits,
            _ if width == 8 => return bits,
            _ => {}
        }
        if let (Some(endianness), 0) = order
            && let Some(value) = self.view_of_parts(bits, order, endianness)
        {
            return value;
        }
        self.nodes.node(Term::View(bits, order), width)
    }

    /// Returns the number that is stored as these bytes, if each of them is of a number that was
    /// stored in this order, or a byte or a zero, which are the same in every order.
    fn view_of_parts(&mut self, bits: Node, order: Order, endianness: Endianness) -> Option<Node> {
        let parts: SmallVec<[Node; 4]> = match self.nodes.term(bits) {
            Term::Sequence(parts) => parts.iter().copied().collect(),
            _ => SmallVec::from_slice(&[bits]),
        };
        let mut values: SmallVec<[Node; 4]> = SmallVec::new();
        for part in parts {
            let width = self.nodes.width(part);
            let (of, start) = self.piece(part);
            let whole = self.nodes.width(of);
            values.push(match *self.nodes.term(of) {
                Term::Image(node, stored) if stored == order => {
                    let low = match endianness {
                        Endianness::Little => start * 8,
                        Endianness::Big => whole - start * 8 - width,
                    };
                    self.nodes.bits(node, low, width)
                }
                Term::Constant(0) => self.nodes.constant(0, width),
                _ if width == 8 && whole == 8 => part,
                _ => return None,
            });
        }
        if endianness == Endianness::Big {
            values.reverse();
        }
        Some(self.nodes.row(&values))
    }

    fn reordered(&mut self, access: &Access, node: Node, to_memory: bool) -> Option<Node> {
        let explicit = access.flags.explicit_endianness();
        let is_plain = access.ty.lane_count() == 1;
        let (explicit, native) = match (explicit, self.endianness) {
            (None, None) if is_plain => return Some(node),
            (order, None) => {
                let lane = if is_plain { 0 } else { access.ty.lane_bits() };
                return Some(match to_memory {
                    true => self.image(node, (order, lane)),
                    false => self.view(node, (order, lane)),
                });
            }
            (None, Some(native)) => (native, native),
            (Some(explicit), Some(native)) => (explicit, native),
        };
        let mut node = node;
        for step in [to_memory, !to_memory] {
            if step {
                if explicit == Endianness::Big && !is_plain {
                    node = self.lanes_reversed(node, access.ty);
                }
            } else if explicit != native {
                node = self.nodes.swapped(node);
            }
        }
        Some(node)
    }
}
