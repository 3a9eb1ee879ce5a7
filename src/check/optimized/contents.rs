//! The entities to which instructions of both functions refer, numbered by content.

use super::super::operands::{Operand, take_apart};
use crate::program::FunctionName;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::condcodes::CondCode;
use cranelift_codegen::ir::immediates::Offset32;
use cranelift_codegen::ir::{
    self, ExternalName, FuncRef, Function, GlobalValueData, Inst, InstructionData, MemFlagsData,
    Opcode, Signature, Type, Value,
};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// The number of a [`Content`]. Equal numbers mean equal contents.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct ContentId(u32);

/// The name of a function or of data.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Name {
    Program(FunctionName),
    /// A name that Cranelift itself defines.
    Builtin(ExternalName),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Content {
    Name(Name),
    Signature(Signature),
    Function {
        name: ContentId,
        signature: ContentId,
        colocated: bool,
        patchable: bool,
    },
    Bytes(Vec<u8>),
    /// Flags without their region, and the front end's number of the region.
    MemFlags(MemFlagsData, Option<u32>),
    Symbol {
        name: ContentId,
        offset: i64,
        colocated: bool,
        tls: bool,
    },
    Context,
    Loaded {
        base: ContentId,
        offset: i32,
        of: Type,
        flags: ContentId,
    },
    Added {
        base: ContentId,
        offset: i64,
        of: Type,
    },
    DynamicScale(Type),
    DynamicSlot(u32),
    /// An instruction without its operands.
    Shape {
        data: InstructionData,
        refers: SmallVec<[ContentId; 2]>,
        args: SmallVec<[Type; 4]>,
        results: SmallVec<[Type; 2]>,
    },
    /// The content of malformed entities.
    Invalid,
}

/// All contents of both functions.
#[derive(Default)]
pub(super) struct Contents {
    numbers: FxHashMap<Content, ContentId>,
    all: Vec<Content>,
}

impl Contents {
    pub(super) fn number(&mut self, content: Content) -> ContentId {
        if let Some(&number) = self.numbers.get(&content) {
            return number;
        }
        let number = ContentId(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        self.all.push(content.clone());
        self.numbers.insert(content, number);
        number
    }

    pub(super) fn get(&self, id: ContentId) -> &Content {
        self.all.get(id.0 as usize).unwrap_or(&Content::Invalid)
    }

    pub(super) fn name(&mut self, func: &Function, name: &ExternalName) -> ContentId {
        let name = match FunctionName::of_external(func, name) {
            Some(name) => Name::Program(name),
            None => Name::Builtin(name.clone()),
        };
        self.number(Content::Name(name))
    }

    pub(super) fn signature(&mut self, func: &Function, signature: ir::SigRef) -> ContentId {
        match func.dfg.signatures.get(signature) {
            Some(signature) => self.number(Content::Signature(signature.clone())),
            None => self.number(Content::Invalid),
        }
    }

    pub(super) fn function(&mut self, func: &Function, func_ref: FuncRef) -> ContentId {
        let Some(data) = func.dfg.ext_funcs.get(func_ref) else {
            return self.number(Content::Invalid);
        };
        let name = self.name(func, &data.name);
        let signature = self.signature(func, data.signature);
        self.number(Content::Function {
            name,
            signature,
            colocated: data.colocated,
            patchable: data.patchable,
        })
    }

    pub(super) fn mem_flags(&mut self, func: &Function, flags: ir::MemFlags) -> ContentId {
        let data = func.dfg.mem_flags[flags];
        let region = data.alias_region();
        let region = region.map(|region| func.dfg.alias_regions[region].user_id);
        self.number(Content::MemFlags(data.with_alias_region(None), region))
    }

    /// Returns the content of flags, whether or not the access can move.
    fn load_flags(&mut self, func: &Function, flags: ir::MemFlags) -> ContentId {
        let data = func.dfg.mem_flags[flags];
        let region = data.alias_region();
        let region = region.map(|region| func.dfg.alias_regions[region].user_id);
        let data = data.with_alias_region(None).with_can_move();
        self.number(Content::MemFlags(data, region))
    }

    pub(super) fn global(&mut self, func: &Function, global: ir::GlobalValue) -> ContentId {
        // A longer chain is a cycle.
        self.global_chain(func, global, func.global_values.len())
    }

    fn global_chain(
        &mut self,
        func: &Function,
        global: ir::GlobalValue,
        longest: usize,
    ) -> ContentId {
        let data = func.global_values.get(global);
        let (Some(data), Some(longest)) = (data, longest.checked_sub(1)) else {
            return self.number(Content::Invalid);
        };
        let content = match data {
            GlobalValueData::VMContext => Content::Context,
            GlobalValueData::Load {
                base,
                offset,
                global_type,
                flags,
            } => Content::Loaded {
                base: self.global_chain(func, *base, longest),
                offset: (*offset).into(),
                of: *global_type,
                flags: self.mem_flags(func, *flags),
            },
            GlobalValueData::IAddImm {
                base,
                offset,
                global_type,
            } => Content::Added {
                base: self.global_chain(func, *base, longest),
                offset: (*offset).into(),
                of: *global_type,
            },
            GlobalValueData::Symbol {
                name,
                offset,
                colocated,
                tls,
            } => Content::Symbol {
                name: self.name(func, name),
                offset: (*offset).into(),
                colocated: *colocated,
                tls: *tls,
            },
            GlobalValueData::DynScaleTargetConst { vector_type } => {
                Content::DynamicScale(*vector_type)
            }
        };
        self.number(content)
    }

    /// Like [`global`](Self::global), but a symbol is the same if it is declared to be near: that
    /// changes the code that computes the address, and not the address.
    fn global_as_value(&mut self, func: &Function, global: ir::GlobalValue) -> ContentId {
        let content = self.global(func, global);
        match self.get(content).clone() {
            Content::Symbol {
                name, offset, tls, ..
            } => self.number(Content::Symbol {
                name,
                offset,
                colocated: false,
                tls,
            }),
            _ => content,
        }
    }

    /// Returns the shape of an instruction: everything except its operands, the slot whose address
    /// it takes, and its targets.
    pub(super) fn shape(&mut self, func: &Function, inst: Inst) -> ContentId {
        let ty = |&value| func.dfg.value_type(value);
        let args = func.dfg.inst_args(inst).iter().map(ty).collect();
        let results = func.dfg.inst_results(inst).iter().map(ty).collect();
        self.shape_of(func, &func.dfg.insts[inst], args, results)
    }

    /// Returns the shape of a load of the bytes that `store` stores, with the type of the stored
    /// value.
    pub(super) fn load_of_stored(&mut self, func: &Function, store: Inst) -> Option<ContentId> {
        let InstructionData::Store {
            opcode: Opcode::Store,
            args: [value, address],
            flags,
            offset,
        } = func.dfg.insts[store]
        else {
            return None;
        };
        let load = InstructionData::Load {
            opcode: Opcode::Load,
            arg: address,
            flags,
            offset,
        };
        let [value, address] = [value, address].map(|value| func.dfg.value_type(value));
        let args = [address].into_iter().collect();
        let results = [value].into_iter().collect();
        Some(self.shape_of(func, &load, args, results))
    }

    fn shape_of(
        &mut self,
        func: &Function,
        data: &InstructionData,
        args: SmallVec<[Type; 4]>,
        results: SmallVec<[Type; 2]>,
    ) -> ContentId {
        let (operands, data) = take_apart(data);
        let mut refers = SmallVec::new();
        for operand in operands {
            refers.push(match operand {
                Operand::Global(global) => self.global_as_value(func, global),
                Operand::Function(func_ref) => self.function(func, func_ref),
                Operand::Signature(signature) => self.signature(func, signature),
                Operand::Constant(constant) => {
                    let bytes = func.dfg.constants.get(constant).as_slice().to_vec();
                    self.number(Content::Bytes(bytes))
                }
                Operand::Immediate(immediate) => {
                    let bytes = func.dfg.immediates[immediate].as_slice().to_vec();
                    self.number(Content::Bytes(bytes))
                }
                Operand::MemFlags(flags) => match data {
                    // Whether a load can move is looked at where loads are matched.
                    InstructionData::Load { .. } => self.load_flags(func, flags),
                    _ => self.mem_flags(func, flags),
                },
                Operand::DynamicSlot(slot) => self.number(Content::DynamicSlot(slot.as_u32())),
                Operand::Value(_)
                | Operand::List(_)
                | Operand::Edge
                | Operand::Block(_)
                | Operand::Slot(_) => continue,
            });
        }
        self.number(Content::Shape {
            data,
            refers,
            args,
            results,
        })
    }

    /// Returns the bytes behind its operand that a load loads, by its shape: the first one and the
    /// end.
    pub(super) fn loaded_range(&self, load: ContentId) -> Option<(i64, i64)> {
        let Content::Shape { data, results, .. } = self.get(load) else {
            return None;
        };
        let (InstructionData::Load { offset, .. }, &[ty]) = (data, &results[..]) else {
            return None;
        };
        // One that extends loads fewer.
        let start = i64::from(i32::from(*offset));
        Some((start, start + i64::from(ty.bytes())))
    }

    /// Returns the shape of the same load without an offset, and the offset.
    pub(super) fn without_offset(&mut self, load: ContentId) -> Option<(ContentId, i64)> {
        let mut content = self.get(load).clone();
        let Content::Shape {
            data: InstructionData::Load { offset, .. },
            ..
        } = &mut content
        else {
            return None;
        };
        let by = i64::from(i32::from(*offset));
        *offset = Offset32::new(0);
        Some((self.number(content), by))
    }

    /// Returns the shape of a `sextend`.
    pub(super) fn sign_extension(&mut self, from: Type, to: Type) -> ContentId {
        let data = InstructionData::Unary {
            opcode: Opcode::Sextend,
            arg: Value::from_u32(0),
        };
        self.number(Content::Shape {
            data,
            refers: SmallVec::new(),
            args: [from].into_iter().collect(),
            results: [to].into_iter().collect(),
        })
    }

    pub(super) fn data(&self, shape: ContentId) -> Option<&InstructionData> {
        match self.get(shape) {
            Content::Shape { data, .. } => Some(data),
            _ => None,
        }
    }

    /// Returns whether an instruction has one result, which is not a vector.
    pub(super) fn is_scalar(&self, shape: ContentId) -> bool {
        match self.get(shape) {
            Content::Shape { results, .. } => matches!(results[..], [ty] if ty.is_int()),
            _ => false,
        }
    }

    /// Returns whether an instruction computes 1 or 0 from a comparison of scalars.
    pub(super) fn is_comparison(&self, shape: ContentId) -> bool {
        let compares = matches!(self.opcode(shape), Some(Opcode::Icmp | Opcode::Fcmp));
        compares && self.is_scalar(shape)
    }

    /// Returns the comparison of integers that holds where another does not.
    pub(super) fn opposite(&mut self, shape: ContentId) -> Option<ContentId> {
        let mut content = self.get(shape).clone();
        match &mut content {
            Content::Shape {
                data: InstructionData::IntCompare { cond, .. },
                ..
            } => *cond = cond.complement(),
            _ => return None,
        }
        Some(self.number(content))
    }

    pub(super) fn opcode(&self, shape: ContentId) -> Option<Opcode> {
        self.data(shape).map(InstructionData::opcode)
    }
}

/// The shapes of a function's instructions, each looked up once.
#[derive(Default)]
pub(super) struct Shapes {
    of: SecondaryMap<Inst, Option<ContentId>>,
}

impl Shapes {
    pub(super) fn get(
        &mut self,
        contents: &mut Contents,
        func: &Function,
        inst: Inst,
    ) -> ContentId {
        *self.of[inst].get_or_insert_with(|| contents.shape(func, inst))
    }
}

/// Returns whether an instruction only computes its results from its operands.
pub(super) fn is_pure(func: &Function, inst: Inst) -> bool {
    let opcode = func.dfg.insts[inst].opcode();
    let acts = opcode.can_trap()
        || opcode.other_side_effects()
        || opcode.can_load()
        || opcode.can_store()
        || opcode.is_call()
        || opcode.is_terminator()
        || opcode.is_branch()
        || opcode == Opcode::GetExceptionHandlerAddress;
    !acts && !func.debug_tags.has(inst)
}
