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
#[non_exhaustive]
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

impl Variable {
    /// Makes a variable of `function` at `offset`, in bytes from the start of the slot.
    pub fn new(
        function: FunctionName,
        name: impl Into<String>,
        ty: VariableType,
        offset: u32,
    ) -> Self {
        Variable {
            function,
            name: name.into(),
            ty,
            offset,
        }
    }
}

/// A scalar type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct VariableType {
    /// Its name in the source language.
    pub name: String,
    /// Its size in bytes.
    pub size: u8,
    /// The encoding of its bytes.
    pub encoding: VariableEncoding,
}

impl VariableType {
    /// Makes a type of `size` bytes.
    pub fn new(name: impl Into<String>, size: u8, encoding: VariableEncoding) -> Self {
        VariableType {
            name: name.into(),
            size,
            encoding,
        }
    }
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
