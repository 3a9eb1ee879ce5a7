//! Variables in keyed stack slots.

use crate::program::FunctionName;
use cranelift_codegen::ir::StackSlotKey;

/// Maps an embedder's slot keys to variables of its source.
pub trait VariableSchema: Sync {
    /// Returns the variables in a slot with the key `key`; none where it holds none or the key is
    /// unknown.
    fn variables(&self, key: StackSlotKey) -> Vec<Variable>;
}

/// A variable in a stack slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The function that has the variable.
    pub function: FunctionName,
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: VariableType,
    /// Bytes from the start of the slot.
    pub offset: u32,
}

/// A scalar type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VariableType {
    /// Its name in the source language.
    pub name: String,
    /// Its size in bytes.
    pub size: u8,
    /// The encoding of its bytes.
    pub encoding: VariableEncoding,
}

/// The encoding of a variable's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VariableEncoding {
    /// An integer in two's complement.
    Signed,
    /// An integer without a sign.
    Unsigned,
    /// A floating-point number.
    Float,
    /// True unless zero.
    Boolean,
    /// An address.
    Address,
}

impl VariableEncoding {
    pub(super) fn dwarf(self) -> gimli::DwAte {
        match self {
            VariableEncoding::Signed => gimli::DW_ATE_signed,
            VariableEncoding::Unsigned => gimli::DW_ATE_unsigned,
            VariableEncoding::Float => gimli::DW_ATE_float,
            VariableEncoding::Boolean => gimli::DW_ATE_boolean,
            VariableEncoding::Address => gimli::DW_ATE_address,
        }
    }
}
