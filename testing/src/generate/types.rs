//! The types of values.

use super::choices::Choices;
use super::features::{Feature, Features};
use cranelift_codegen::ir::Type;
use cranelift_codegen::ir::types::*;
use cranelift_codegen::isa::CallConv;

/// Integers that every operation takes.
pub(super) const NARROW: &[Type] = &[I32, I64, I8, I16];
/// All integers.
pub(super) const INTS: &[Type] = &[I32, I64, I8, I16, I128];
/// Floats with arithmetic on every backend.
pub(super) const FLOATS: &[Type] = &[F64, F32];
/// Floats without arithmetic on any backend.
pub(super) const CARRIED_FLOATS: &[Type] = &[F16, F128];
pub(super) const INT_VECTORS: &[Type] = &[I32X4, I8X16, I16X8, I64X2];
pub(super) const FLOAT_VECTORS: &[Type] = &[F32X4, F64X2];

/// The types of a program's values.
#[derive(Clone, Debug)]
pub(super) struct Types {
    all: Vec<Type>,
    /// All integers among them.
    ints: Vec<Type>,
}

impl Types {
    /// Chooses some of the types that `features` allow, so that a program has several values of
    /// each.
    pub(super) fn new(features: Features, choices: &mut Choices<'_, '_>) -> Self {
        let mut ints = vec![I32, I64];
        ints.extend([I8, I16].into_iter().filter(|_| choices.chance(96)));
        if features.has(Feature::I128) {
            ints.push(I128);
        }
        let mut all = ints.clone();
        if features.has(Feature::Floats) {
            all.extend(FLOATS);
            if features.has(Feature::F16AndF128) {
                all.extend(CARRIED_FLOATS);
            }
        }
        if features.has(Feature::Vectors) {
            all.extend(choices.one_of(INT_VECTORS));
            if features.has(Feature::Floats) {
                all.extend(choices.one_of(FLOAT_VECTORS));
            }
        }
        Types { all, ints }
    }

    /// Returns any type.
    pub(super) fn any(&self, choices: &mut Choices<'_, '_>) -> Type {
        choices.one_of(&self.all).unwrap_or(I32)
    }

    /// Returns an integer type.
    pub(super) fn int(&self, choices: &mut Choices<'_, '_>) -> Type {
        choices.one_of(&self.ints).unwrap_or(I32)
    }

    /// Returns a type that every backend passes to functions of the convention `call_conv`.
    pub(super) fn param(&self, choices: &mut Choices<'_, '_>, call_conv: CallConv) -> Type {
        match self.any(choices) {
            I128 if call_conv != CallConv::Tail => I64,
            ty => ty,
        }
    }

    /// Returns a type that every backend returns.
    pub(super) fn returned(&self, choices: &mut Choices<'_, '_>) -> Type {
        match self.any(choices) {
            I128 => I64,
            F128 => F64,
            ty if ty.is_vector() => I32,
            ty => ty,
        }
    }

    /// Returns whether values of type `ty` occur.
    pub(super) fn contain(&self, ty: Type) -> bool {
        self.all.contains(&ty)
    }
}
