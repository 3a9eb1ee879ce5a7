//! Loads and stores, by their bytes.

use cranelift_codegen::ir::{Function, Inst, InstructionData, MemFlagsData, Opcode, Type, Value};

/// An access as a load or store with an address and an offset.
pub(super) struct Access {
    pub(super) address: Value,
    pub(super) stored: Option<Value>,
    pub(super) offset: i32,
    /// In bytes.
    pub(super) size: u32,
    /// The type of the loaded or stored value.
    pub(super) ty: Type,
    pub(super) is_signed: bool,
    pub(super) flags: MemFlagsData,
}

impl Access {
    /// Returns whether it assumes no more than a copy byte by byte does.
    pub(super) fn promises_nothing(&self) -> bool {
        !self.flags.aligned()
            && !self.flags.readonly()
            && !self.flags.can_move()
            && self.flags.alias_region().is_none()
    }
}

/// Returns the access of an instruction, if it can be split into bytes; widening loads of vectors
/// cannot.
pub(super) fn access(func: &Function, inst: Inst) -> Option<Access> {
    let (address, stored, offset, flags) = match func.dfg.insts[inst] {
        InstructionData::Load {
            arg, flags, offset, ..
        } => (arg, None, offset, flags),
        InstructionData::Store {
            args,
            flags,
            offset,
            ..
        } => (args[1], Some(args[0]), offset, flags),
        _ => return None,
    };
    let opcode = func.dfg.insts[inst].opcode();
    let typed = match stored {
        Some(value) => value,
        None => *func.dfg.inst_results(inst).first()?,
    };
    let ty = func.dfg.value_type(typed);
    if ty.is_dynamic_vector() || !ty.bits().is_multiple_of(8) {
        return None;
    }
    let size = match opcode {
        Opcode::Load | Opcode::Store => ty.bytes(),
        Opcode::Uload8 | Opcode::Sload8 | Opcode::Istore8 => 1,
        Opcode::Uload16 | Opcode::Sload16 | Opcode::Istore16 => 2,
        Opcode::Uload32 | Opcode::Sload32 | Opcode::Istore32 => 4,
        _ => return None,
    };
    Some(Access {
        address,
        stored,
        offset: offset.into(),
        size,
        ty,
        is_signed: matches!(opcode, Opcode::Sload8 | Opcode::Sload16 | Opcode::Sload32),
        flags: func.dfg.mem_flags[flags],
    })
}

/// Returns whether a load has no other effect, so that it may be gone if its result is unused.
pub(super) fn is_harmless_load(func: &Function, inst: Inst) -> bool {
    match func.dfg.insts[inst] {
        InstructionData::Load { flags, .. } => func.dfg.mem_flags[flags].notrap(),
        _ => false,
    }
}
