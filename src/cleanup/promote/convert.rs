//! Conversion of values between types with the same bits in memory.

use super::super::constant::constant;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{
    ConstantData, Endianness, Function, Inst, InstBuilder, MemFlagsData, SourceLoc, Type, Value,
    types,
};

/// The byte order in which numbers are in a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// It does not matter: all accesses are of single bytes.
    #[default]
    Any,
    /// The target's, which is unknown.
    Native,
    Is(Endianness),
}

impl Order {
    pub(super) fn meet(self, other: Order) -> Option<Order> {
        match (self, other) {
            (Order::Any, order) | (order, Order::Any) => Some(order),
            _ => (self == other).then_some(self),
        }
    }

    /// Returns the order, where it is known.
    pub(super) fn known(self) -> Option<Endianness> {
        match self {
            Order::Is(endianness) => Some(endianness),
            Order::Any | Order::Native => None,
        }
    }
}

/// Returns a cursor before `inst`, with its location.
pub(super) fn before(func: &mut Function, inst: Inst) -> FuncCursor<'_> {
    let location = func.srcloc(inst);
    located(FuncCursor::new(func).at_inst(inst), location)
}

fn located(cursor: FuncCursor<'_>, location: SourceLoc) -> FuncCursor<'_> {
    // The first location that a cursor gets becomes the base of the function's locations.
    match location.is_default() {
        true => cursor,
        false => cursor.with_srcloc(location),
    }
}

/// Returns the integer type of this many bytes.
fn integer(bytes: u32) -> Type {
    match bytes {
        1 => types::I8,
        2 => types::I16,
        4 => types::I32,
        16 => types::I128,
        _ => {
            debug_assert_eq!(bytes, 8, "no integer has as many bytes");
            types::I64
        }
    }
}

/// Converts `value` to type `ty`, which has as many bits.
pub(super) fn convert(cursor: &mut FuncCursor<'_>, value: Value, ty: Type, order: Order) -> Value {
    let from = cursor.func.dfg.value_type(value);
    if from == ty {
        return value;
    }
    let mut flags = MemFlagsData::new();
    if from.lane_count() != ty.lane_count()
        && let Some(endianness) = order.known()
    {
        flags = flags.with_endianness(endianness);
    }
    cursor.ins().bitcast(ty, flags, value)
}

/// Returns whether [`zero`] can make one.
pub(super) fn has_zero(ty: Type) -> bool {
    super::pieces::is_word(ty) || ty == types::I128 || (ty.is_vector() && ty.bits() == 128)
}

/// Returns a constant with all bits zero.
pub(super) fn zero(cursor: &mut FuncCursor<'_>, ty: Type) -> Value {
    match ty {
        types::F32 => cursor.ins().f32const(Ieee32::with_bits(0)),
        types::F64 => cursor.ins().f64const(Ieee64::with_bits(0)),
        types::I128 => {
            let half = cursor.ins().iconst(types::I64, 0);
            cursor.ins().uextend(types::I128, half)
        }
        ty if ty.is_vector() => {
            let bytes = vec![0; ty.bytes() as usize];
            let data = ConstantData::from(bytes.as_slice());
            let data = cursor.func.dfg.constants.insert(data);
            cursor.ins().vconst(ty, data)
        }
        ty => cursor.ins().iconst(ty, 0),
    }
}

/// Returns a word of type `ty` with each byte `byte`.
pub(super) fn filled(cursor: &mut FuncCursor<'_>, byte: u8, ty: Type) -> Value {
    if byte == 0 {
        return zero(cursor, ty);
    }
    let bits = u64::from_le_bytes([byte; 8]);
    let value = word(cursor, bits, integer(ty.bytes()));
    convert(cursor, value, ty, Order::Any)
}

/// Returns the lowest bits of `bits` as an integer.
fn word(cursor: &mut FuncCursor<'_>, bits: u64, ty: Type) -> Value {
    let bits = bits & (u64::MAX >> (64 - ty.bits()));
    cursor.ins().iconst(ty, bits.cast_signed())
}

/// A part of a word in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Bytes from the begin of the word.
    pub(super) offset: u32,
    pub(super) bytes: u32,
}

impl Part {
    /// Returns the distance of the part from the low end of a word of `bytes` bytes, in bits.
    fn shift(self, bytes: u32, endianness: Endianness) -> u32 {
        8 * match endianness {
            Endianness::Little => self.offset,
            Endianness::Big => bytes - self.offset - self.bytes,
        }
    }
}

/// Returns the word of type `ty` that these parts make up.
pub(super) fn compose(
    cursor: &mut FuncCursor<'_>,
    parts: &[(Part, Value)],
    ty: Type,
    endianness: Endianness,
) -> Value {
    let whole = integer(ty.bytes());
    let mut known = 0;
    let mut sum: Option<Value> = None;
    for &(part, value) in parts {
        let shift = part.shift(ty.bytes(), endianness);
        let value = convert(cursor, value, integer(part.bytes), Order::Any);
        if let Some(bits) = constant(&cursor.func.dfg, value) {
            known |= bits << shift;
            continue;
        }
        let wide = cursor.ins().uextend(whole, value);
        let placed = match shift {
            0 => wide,
            _ => {
                let amount = cursor.ins().iconst(whole, i64::from(shift));
                cursor.ins().ishl(wide, amount)
            }
        };
        sum = Some(match sum {
            Some(sum) => cursor.ins().bor(sum, placed),
            None => placed,
        });
    }
    let sum = match sum {
        None => word(cursor, known, whole),
        Some(sum) if known == 0 => sum,
        Some(sum) => {
            let known = word(cursor, known, whole);
            cursor.ins().bor(sum, known)
        }
    };
    convert(cursor, sum, ty, Order::Any)
}

/// Returns a part of a word, as a value of type `ty`.
pub(super) fn extract(
    cursor: &mut FuncCursor<'_>,
    value: Value,
    part: Part,
    ty: Type,
    endianness: Endianness,
) -> Value {
    let bytes = cursor.func.dfg.value_type(value).bytes();
    let value = convert(cursor, value, integer(bytes), Order::Any);
    let shift = part.shift(bytes, endianness);
    let narrow = integer(part.bytes);
    if let Some(bits) = constant(&cursor.func.dfg, value) {
        let bits = word(cursor, bits >> shift, narrow);
        return convert(cursor, bits, ty, Order::Any);
    }
    let value = match shift {
        0 => value,
        _ => {
            let amount = cursor.ins().iconst(integer(bytes), i64::from(shift));
            cursor.ins().ushr(value, amount)
        }
    };
    let value = match part.bytes == bytes {
        true => value,
        false => cursor.ins().ireduce(narrow, value),
    };
    convert(cursor, value, ty, Order::Any)
}

/// Returns the two halves of an `i128` in the order in which they are in memory.
pub(super) fn halves(
    cursor: &mut FuncCursor<'_>,
    value: Value,
    endianness: Endianness,
) -> [Value; 2] {
    let (low, high) = cursor.ins().isplit(value);
    match endianness {
        Endianness::Little => [low, high],
        Endianness::Big => [high, low],
    }
}

/// Returns the `i128` of these halves, which are in memory order.
pub(super) fn join(
    cursor: &mut FuncCursor<'_>,
    [first, second]: [Value; 2],
    endianness: Endianness,
) -> Value {
    match endianness {
        Endianness::Little => cursor.ins().iconcat(first, second),
        Endianness::Big => cursor.ins().iconcat(second, first),
    }
}
