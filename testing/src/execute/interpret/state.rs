//! The state that instructions of an interpreted program can see: the values of their frame, the
//! stack slots of all frames, and the addresses of functions.

use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::{
    Endianness, ExternalName, FuncRef, Function, GlobalValue, GlobalValueData, Inst, MemFlagsData,
    StackSlot, Type, Value, types,
};
use cranelift_inliner::program::{FunctionId, FunctionName, Program};
use cranelift_interpreter::address::{Address, AddressRegion, AddressSize};
use cranelift_interpreter::frame::Frame;
use cranelift_interpreter::interpreter::LibCallHandler;
use cranelift_interpreter::state::{InterpreterFunctionRef, MemoryError, State};
use cranelift_interpreter::step::CraneliftTrap;
use cranelift_interpreter::value::DataValueExt;
use indexmap::IndexSet;
use std::cell::RefCell;

/// The greatest number of frames.
const FRAME_LIMIT: usize = 20_000;

/// The greatest size of the stack slots of all frames, in bytes.
const STACK_LIMIT: usize = 8 << 20;

/// The least alignment of a stack slot, in bytes.
const SLOT_ALIGNMENT: usize = 16;

/// An active call.
pub(super) struct Activation<'a> {
    pub(super) frame: Frame<'a>,
    /// The next instruction; during a call of another function, the call.
    pub(super) at: Option<Inst>,
    /// The start of the stack slots.
    base: usize,
}

/// A function by address.
pub(super) enum Target<'a> {
    Program(&'a Function),
    Host(FunctionName),
}

pub(super) struct Memory<'a> {
    program: &'a Program,
    /// Outermost first.
    pub(super) activations: Vec<Activation<'a>>,
    stack: Vec<u8>,
    /// The byte order of accesses without one.
    order: Endianness,
    pinned: DataValue,
    /// The tables whose address was taken.
    tables: RefCell<IndexSet<FunctionName>>,
    /// The functions of the host whose address was taken.
    host_addresses: RefCell<IndexSet<FunctionName>>,
}

impl<'a> Memory<'a> {
    pub(super) fn new(program: &'a Program, order: Endianness) -> Self {
        Memory {
            program,
            activations: Vec::new(),
            stack: Vec::new(),
            order,
            pinned: DataValue::I64(0),
            tables: RefCell::default(),
            host_addresses: RefCell::default(),
        }
    }

    /// Enters `function`, or returns an error at the limit of frames.
    pub(super) fn enter(&mut self, function: &'a Function) -> Result<(), TooDeep> {
        let (_, end) = slot_places(function).last().unwrap_or((0, 0));
        let base = self.stack.len();
        let top = base.checked_add(end.next_multiple_of(SLOT_ALIGNMENT));
        let top = top.filter(|&top| top <= STACK_LIMIT).ok_or(TooDeep)?;
        if self.activations.len() >= FRAME_LIMIT {
            return Err(TooDeep);
        }
        self.stack.resize(top, 0);
        let entry = function.layout.entry_block();
        self.activations.push(Activation {
            frame: Frame::new(function),
            at: entry.and_then(|block| function.layout.first_inst(block)),
            base,
        });
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        if let Some(left) = self.activations.pop() {
            self.stack.truncate(left.base);
        }
    }

    /// Returns the function at `address`, a result of `func_addr`.
    pub(super) fn at_address(&self, address: &DataValue) -> Option<Target<'a>> {
        let address = Address::try_from(address.clone()).ok()?;
        if address.region != AddressRegion::Function {
            return None;
        }
        let index = usize::try_from(address.offset).ok()?;
        if address.entry == IN_PROGRAM {
            let id = FunctionId::from_u32(u32::try_from(index).ok()?);
            Some(Target::Program(self.program.get(id)?.body()))
        } else {
            let names = self.host_addresses.borrow();
            Some(Target::Host(names.get_index(index)?.clone()))
        }
    }

    /// Returns the address of a function, of the program or of the host.
    fn address_of(&self, size: AddressSize, name: FunctionName) -> Result<Address, MemoryError> {
        let (entry, index) = match self.program.id(&name) {
            Some(id) => (IN_PROGRAM, u64::from(id.as_u32())),
            None => {
                let (index, _) = self.host_addresses.borrow_mut().insert_full(name);
                (IN_HOST, index as u64)
            }
        };
        Address::from_parts(size, AddressRegion::Function, entry, index)
    }

    /// Returns the address at an offset from a symbol; `None` if it is not a table.
    fn table_address(
        &self,
        name: &ExternalName,
        offset: i64,
    ) -> Option<Result<Address, MemoryError>> {
        let name = FunctionName::of_external(self.get_current_function(), name)?;
        self.program.table(&name).next()?;
        let (index, _) = self.tables.borrow_mut().insert_full(name);
        let offset = TABLE_START.wrapping_add_signed(offset);
        let region = AddressRegion::GlobalValue;
        Some(Address::from_parts(
            AddressSize::_64,
            region,
            index as u64,
            offset,
        ))
    }

    /// Returns the function address that a table has at `address`.
    fn load_from_table(&self, address: &Address) -> Option<DataValue> {
        let tables = self.tables.borrow();
        let name = tables.get_index(usize::try_from(address.entry).ok()?)?;
        let offset = address.offset.wrapping_sub(TABLE_START).cast_signed();
        let mut entries = self.program.table(name);
        let (_, function) = entries.find(|&(at, _)| at == offset)?;
        let function = self.address_of(address.size, function.clone()).ok()?;
        DataValue::try_from(function).ok()
    }

    fn range(&self, address: &Address, size: usize) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(address.offset).ok()?;
        let end = start.checked_add(size)?;
        (address.region == AddressRegion::Stack && end <= self.stack.len()).then_some(start..end)
    }
}

/// The limit of frames or of their memory was reached.
pub(super) struct TooDeep;

/// The entries of function addresses.
const IN_PROGRAM: u64 = 0;
const IN_HOST: u64 = 1;

/// The offset of a table's symbol in its addresses, so that those of negative offsets are valid.
const TABLE_START: u64 = 1 << 40;

/// Returns the bounds of each stack slot in its frame.
fn slot_places(function: &Function) -> impl Iterator<Item = (usize, usize)> {
    let mut end = 0_usize;
    function.sized_stack_slots.values().map(move |slot| {
        let alignment = 1_usize.checked_shl(slot.align_shift.into()).unwrap_or(1);
        let start = end.next_multiple_of(alignment.max(SLOT_ALIGNMENT));
        end = start.saturating_add(slot.size as usize);
        (start, end)
    })
}

impl<'a> State<'a> for Memory<'a> {
    fn get_function(&self, func_ref: FuncRef) -> Option<&'a Function> {
        let id = self.program.callee(self.get_current_function(), func_ref)?;
        Some(self.program.get(id)?.body())
    }

    fn get_current_function(&self) -> &'a Function {
        self.current_frame().function()
    }

    fn get_libcall_handler(&self) -> LibCallHandler {
        |_, _| Err(CraneliftTrap::UnreachableCodeReached)
    }

    // The driver enters and leaves functions itself.
    fn push_frame(&mut self, _function: &'a Function) {}

    fn pop_frame(&mut self) {}

    fn current_frame_mut(&mut self) -> &mut Frame<'a> {
        match self.activations.last_mut() {
            Some(activation) => &mut activation.frame,
            None => panic!("an instruction without a frame"),
        }
    }

    fn current_frame(&self) -> &Frame<'a> {
        match self.activations.last() {
            Some(activation) => &activation.frame,
            None => panic!("an instruction without a frame"),
        }
    }

    fn stack_address(
        &self,
        size: AddressSize,
        slot: StackSlot,
        offset: u64,
    ) -> Result<Address, MemoryError> {
        let place = slot_places(self.get_current_function()).nth(slot.as_u32() as usize);
        let base = self.activations.last().map(|activation| activation.base);
        let (Some((start, _)), Some(base)) = (place, base) else {
            return Err(MemoryError::InvalidOffset { offset, max: 0 });
        };
        let offset = (base as u64 + start as u64).wrapping_add(offset);
        Address::from_parts(size, AddressRegion::Stack, 0, offset)
    }

    fn checked_load(
        &self,
        address: Address,
        ty: Type,
        flags: MemFlagsData,
    ) -> Result<DataValue, MemoryError> {
        let size = ty.bytes() as usize;
        if address.region == AddressRegion::GlobalValue
            && ty == types::I64
            && let Some(function) = self.load_from_table(&address)
        {
            return Ok(function);
        }
        let bytes = self.range(&address, size);
        let Some(bytes) = bytes.and_then(|range| self.stack.get(range)) else {
            return Err(MemoryError::OutOfBoundsLoad {
                addr: address,
                load_size: size,
                mem_flags: flags,
            });
        };
        Ok(match flags.endianness(self.order) {
            Endianness::Big => DataValue::read_from_slice_be(bytes, ty),
            Endianness::Little => DataValue::read_from_slice_le(bytes, ty),
        })
    }

    fn checked_store(
        &mut self,
        address: Address,
        value: DataValue,
        flags: MemFlagsData,
    ) -> Result<(), MemoryError> {
        let size = value.ty().bytes() as usize;
        let range = self.range(&address, size);
        let Some(bytes) = range.and_then(|range| self.stack.get_mut(range)) else {
            return Err(MemoryError::OutOfBoundsStore {
                addr: address,
                store_size: size,
                mem_flags: flags,
            });
        };
        match flags.endianness(self.order) {
            Endianness::Big => value.write_to_slice_be(bytes),
            Endianness::Little => value.write_to_slice_le(bytes),
        }
        Ok(())
    }

    fn function_address(
        &self,
        size: AddressSize,
        name: &ExternalName,
    ) -> Result<Address, MemoryError> {
        let Some(name) = FunctionName::of_external(self.get_current_function(), name) else {
            return Err(MemoryError::InvalidEntry { entry: 0, max: 0 });
        };
        self.address_of(size, name)
    }

    fn get_function_from_address(&self, address: Address) -> Option<InterpreterFunctionRef<'a>> {
        match self.at_address(&DataValue::try_from(address).ok()?)? {
            Target::Program(function) => Some(function.into()),
            Target::Host(_) => None,
        }
    }

    fn resolve_global_value(&self, global: GlobalValue) -> Result<DataValue, MemoryError> {
        let function = self.get_current_function();
        // Descend from the outermost sum or load to its base, then compute upward.
        let mut chain = Vec::new();
        let mut at = global;
        let mut value = loop {
            match &function.global_values[at] {
                GlobalValueData::VMContext => {
                    let context = vm_context(function);
                    let context = context.ok_or(MemoryError::InvalidAddressType(types::I64))?;
                    break self.current_frame().get(context).clone();
                }
                GlobalValueData::Symbol {
                    name,
                    offset,
                    tls: false,
                    ..
                } => match self.table_address(name, offset.bits()) {
                    Some(address) => break DataValue::try_from(address?)?,
                    None => panic!("there is no data except tables of functions"),
                },
                GlobalValueData::Symbol { .. } => panic!("there are no thread-locals"),
                GlobalValueData::DynScaleTargetConst { .. } => {
                    panic!("there is no dynamic vector type")
                }
                data @ (GlobalValueData::Load { base, .. }
                | GlobalValueData::IAddImm { base, .. }) => {
                    chain.push(data);
                    at = *base;
                }
            }
        };
        for data in chain.into_iter().rev() {
            match data {
                GlobalValueData::Load {
                    offset,
                    global_type,
                    ..
                } => {
                    let mut address = Address::try_from(value)?;
                    address.offset = address.offset.wrapping_add(i64::from(*offset) as u64);
                    value = self.checked_load(address, *global_type, MemFlagsData::trusted())?;
                }
                GlobalValueData::IAddImm {
                    offset,
                    global_type,
                    ..
                } => {
                    let invalid = || MemoryError::InvalidAddressType(*global_type);
                    let offset = DataValue::int(offset.bits().into(), *global_type);
                    let offset = offset.map_err(|_| invalid())?;
                    value = value.add(offset).map_err(|_| invalid())?;
                }
                GlobalValueData::VMContext
                | GlobalValueData::Symbol { .. }
                | GlobalValueData::DynScaleTargetConst { .. } => {}
            }
        }
        Ok(value)
    }

    fn get_pinned_reg(&self) -> DataValue {
        self.pinned.clone()
    }

    fn set_pinned_reg(&mut self, value: DataValue) {
        self.pinned = value;
    }
}

fn vm_context(function: &Function) -> Option<Value> {
    let purpose = cranelift_codegen::ir::ArgumentPurpose::VMContext;
    let index = function.signature.special_param_index(purpose)?;
    let entry = function.layout.entry_block()?;
    function.dfg.block_params(entry).get(index).copied()
}
