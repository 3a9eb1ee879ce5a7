//! Types and byte orders of stored and loaded values.

use super::super::comparison::signed;
use super::access::Access;
use super::evaluate::World;
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
            Term::View(bits, of) if of == order => return bits,
            // Zeros are the same in every order.
            Term::Constant(0) => return node,
            _ if width == 8 => return node,
            _ => {}
        }
        let (Some(endianness), 0) = order else {
            return self.nodes.node(Term::Image(node, order), width);
        };
        // The bytes of numbers have the same form however they were stored.
        let bytes = (0..width / 8).map(|byte| self.nodes.bits(node, byte * 8, 8));
        let mut bytes: SmallVec<[Node; 8]> = bytes.collect();
        if endianness == Endianness::Big {
            bytes.reverse();
        }
        self.sequence(&bytes)
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
            && let Some(value) = self.number_of_bytes(bits, endianness)
        {
            return value;
        }
        self.nodes.node(Term::View(bits, order), width)
    }

    /// Returns the number that is stored as these bytes in memory, if each of them has a term of
    /// its own.
    fn number_of_bytes(&mut self, bits: Node, endianness: Endianness) -> Option<Node> {
        let Term::Sequence(parts) = self.nodes.term(bits) else {
            return None;
        };
        let mut parts: SmallVec<[Node; 8]> = parts.iter().copied().collect();
        let is_byte_or_zero =
            |&part: &Node| self.nodes.width(part) == 8 || self.nodes.constant_of(part) == Some(0);
        if !parts.iter().all(is_byte_or_zero) {
            return None;
        }
        if endianness == Endianness::Big {
            parts.reverse();
        }
        Some(self.nodes.row(&parts))
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
