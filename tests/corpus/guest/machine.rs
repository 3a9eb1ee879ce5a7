//! A machine on which functions of Wasmtime's modules run without Wasmtime: memory in which the
//! pointers that they follow lead to something, and stubs in place of the functions that they
//! import.
//!
//! Descriptions of alias regions tell the meaning of a load from the context. The functions of the
//! runtime and imported ones are calls of the host, which are recorded; that of breakpoints also
//! counts down, and traps at zero.

use cranelift_codegen::ir::{Function, Inst, InstructionData, Signature, Value, ValueDef};
use cranelift_codegen::isa::CallConv;
use cranelift_inliner::program::Program;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The loads of a module's functions.
#[derive(Default)]
pub(super) struct Layout {
    /// The meanings of the words in the context, by offset.
    context: BTreeMap<i32, Field>,
    /// Functions of the runtime, by offset in their array, and whether it is that of breakpoints.
    builtins: BTreeMap<i32, (Signature, bool)>,
    /// Imported functions, by the offset of their code in the context.
    imports: BTreeMap<i32, Signature>,
    /// Signatures by the offset of their number.
    types: BTreeMap<i32, Signature>,
}

#[derive(Clone, Copy)]
enum Field {
    Store,
    Builtins,
    TypeIds,
    Memory,
    MemoryLength,
    Table,
    TableLength,
    Global,
    ImportCode,
    ImportContext,
}

/// Returns the place of a load: the description of its region, and the address.
fn load(body: &Function, inst: Inst) -> Option<(&str, Value, i32)> {
    let InstructionData::Load {
        flags, arg, offset, ..
    } = body.dfg.insts[inst]
    else {
        return None;
    };
    let region = body.dfg.mem_flags[flags].alias_region()?;
    let description = &body.dfg.alias_regions[region].description;
    Some((description.as_ref(), arg, offset.into()))
}

/// Returns the number behind `prefix` in a description.
fn number(description: &str, prefix: &str) -> Option<i32> {
    let digits = description.strip_prefix(prefix)?.strip_prefix("+0x")?;
    i32::from_str_radix(digits, 16).ok()
}

impl Layout {
    pub(super) fn of(program: &Program) -> Self {
        let mut layout = Layout::default();
        for (_, function) in program.iter() {
            layout.add(function.body());
        }
        layout
    }

    fn add(&mut self, body: &Function) {
        let Some(entry) = body.layout.entry_block() else {
            return;
        };
        let context = body.dfg.block_params(entry).first().copied();
        let mut last_type = None;
        let blocks = body.layout.blocks();
        for inst in blocks.flat_map(|block| body.layout.block_insts(block)) {
            if let Some((description, address, offset)) = load(body, inst) {
                last_type = number(description, "TypeIdsArray").or(last_type);
                if Some(address) == context {
                    let field = field(description);
                    self.context.extend(field.map(|field| (offset, field)));
                }
            }
            let InstructionData::CallIndirect { sig_ref, args, .. } = body.dfg.insts[inst] else {
                continue;
            };
            let callee = args.first(&body.dfg.value_lists);
            let callee = callee.map(|callee| body.dfg.value_def(body.dfg.resolve_aliases(callee)));
            let Some(ValueDef::Result(callee, _)) = callee else {
                continue;
            };
            let Some((description, _, offset)) = load(body, callee) else {
                continue;
            };
            let signature = body.dfg.signatures[sig_ref].clone();
            if let Some(number) = number(description, "BuiltinFunctionsArray") {
                let is_breakpoint = body.signature.call_conv == CallConv::PreserveAll;
                // The last call of such a function is that of the trap.
                let entry = self.builtins.entry(number);
                let known = entry.or_insert((signature, false));
                known.1 |= is_breakpoint && !known.0.returns.is_empty();
            } else if description == "VMFunctionImport+0x8" {
                self.imports.insert(offset, signature);
            } else if description == "VMFuncRef+0x8"
                && let Some(number) = last_type
            {
                self.types.insert(number, signature);
            }
        }
    }

    /// Returns the functions to add to the module, as text: stubs, and an entry for each function
    /// that the host can enter.
    pub(super) fn stubs(&self, entries: &[u32], machine: &Machine) -> String {
        let mut text = String::new();
        for (offset, (signature, is_breakpoint)) in &self.builtins {
            let counts = is_breakpoint.then(|| machine.fuel());
            stub(&mut text, &format!("builtin_{offset}"), signature, counts);
        }
        for (offset, signature) in &self.imports {
            stub(&mut text, &format!("import_{offset}"), signature, None);
        }
        for number in entries {
            let _ = write!(
                text,
                "function %enter_{number}(i64, i64, i64, i64) -> i8 system_v {{
                    sig0 = (i64 vmctx, i64, i64, i64) -> i8 system_v
                    fn0 = u{ENTRIES}:{number} sig0
                block0(v0: i64, v1: i64, v2: i64, v3: i64):
                    v4 = call fn0(v0, v1, v2, v3)
                    return v4
                }}\n"
            );
        }
        text
    }
}

/// The namespace of the functions that the host enters. Their values are in memory.
pub(super) const ENTRIES: u32 = 0x1000_0000;

fn field(description: &str) -> Option<Field> {
    Some(match description {
        "VMContext+0x8" => Field::Store,
        "VMContext+0x10" => Field::Builtins,
        "VMContext+0x28" => Field::TypeIds,
        "VMMemoryDefinition+0x0" => Field::Memory,
        "VMMemoryDefinition+0x8" => Field::MemoryLength,
        "VMTableDefinition+0x0" => Field::Table,
        "VMTableDefinition+0x8" => Field::TableLength,
        "VMFunctionImport+0x8" => Field::ImportCode,
        "VMFunctionImport+0x18" => Field::ImportContext,
        _ if description.starts_with("DefinedGlobal(") => Field::Global,
        _ => return None,
    })
}

/// Writes a function that calls the host with its arguments. The host chooses the results of
/// imported functions; those of the runtime return -1, a failure, or 1 if the result has 8 bits, a
/// success.
fn stub(text: &mut String, name: &str, signature: &Signature, counts: Option<u64>) {
    let types = |params: &[cranelift_codegen::ir::AbiParam]| {
        let params = params.iter().map(|param| param.value_type.to_string());
        params.collect::<Vec<_>>().join(", ")
    };
    let returns = match &signature.returns[..] {
        [] => String::new(),
        returns => format!(" -> {}", types(returns)),
    };
    let params = types(&signature.params);
    let values: Vec<_> = (0..signature.params.len())
        .map(|value| format!("v{value}"))
        .collect();
    let typed = signature.params.iter().zip(&values);
    let typed: Vec<_> = typed
        .map(|(param, value)| format!("{value}: {}", param.value_type))
        .collect();
    let convention = signature.call_conv;
    let _ = write!(
        text,
        "function %{name}({params}){returns} {convention} {{
            fn0 = %host_{name}({params}){returns} system_v
        block0({}):\n",
        typed.join(", ")
    );
    if let Some(fuel) = counts {
        let _ = write!(
            text,
            "v100 = iconst.i64 {fuel}
            v101 = load.i64 v100
            v102 = iconst.i64 1
            v103 = isub v101, v102
            store v103, v100
            trapz v101, user99\n"
        );
    }
    let results: Vec<_> = (0..signature.returns.len())
        .map(|result| format!("v{}", 200 + result))
        .collect();
    let equals = if results.is_empty() { "" } else { " = " };
    let _ = writeln!(
        text,
        "{}{equals}call fn0({})",
        results.join(", "),
        values.join(", ")
    );
    let is_constant = name.starts_with("builtin_");
    match &signature.returns[..] {
        [result] if is_constant => {
            let value = if result.value_type.bits() == 8 { 1 } else { -1 };
            let _ = write!(
                text,
                "v300 = iconst.{} {value}\nreturn v300\n}}\n",
                result.value_type
            );
        }
        _ => {
            let _ = write!(text, "return {}\n}}\n", results.join(", "));
        }
    }
}

/// The place of the memory of the first machine: the same in each run of the tests, because results
/// of the host depend on the addresses that it gets.
const ADDRESS: usize = 0x1000_0000_0000;

/// Bytes of the memory with the context and the objects to which it points.
const CONTROL: usize = 1 << 20;
const STORE: usize = 0x8000;
const BUILTINS: usize = 0x9000;
const TYPE_IDS: usize = 0xa000;
const FUEL: usize = 0xb000;
const VALUES: usize = 0xb100;
const FUNCTIONS: usize = 0x1_0000;
const TABLE: usize = 0x8_0000;
const TABLE_ELEMENTS: usize = 4096;

/// The bytes that a module may use of its memory, and those of an address in it.
const MEMORY: usize = 16 << 20;
const RESERVED: usize = (4 << 30) + (64 << 10);
/// The bytes of the memory that have a pattern.
const PATTERN: usize = 256 << 10;

/// The memory and the arguments of a run.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) seed: u32,
    /// For all parameters of any function.
    pub(super) values: Vec<u64>,
}

impl Input {
    pub(super) fn new(seed: u32) -> Self {
        let value = |index: u64| match (index + u64::from(seed)) % 4 {
            0 => 4096 + 64 * index * u64::from(seed),
            1 => index + u64::from(seed),
            2 => 0x4000 + 8 * index,
            _ => 3,
        };
        Input {
            seed,
            values: (0..16).map(value).collect(),
        }
    }
}

/// The memory. It stays at its addresses, so that all runs see the same.
pub(super) struct Machine {
    control: *mut u8,
    memory: *mut u8,
}

/// Returns small numbers, zeros, and addresses in the pattern.
fn pattern(seed: u32) -> Vec<u8> {
    let mut state = seed;
    let words = (0..PATTERN / 4).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match state >> 30 {
            0 => 0,
            1 => state >> 8 & 0xf,
            2 => state >> 8 & (PATTERN as u32 - 1) & !7,
            _ => state >> 4 & 0xff,
        }
    });
    words.flat_map(u32::to_le_bytes).collect()
}

impl Machine {
    /// Makes one of some machines, which have their own addresses.
    pub(super) fn new(number: usize) -> Self {
        let start = ADDRESS + (number << 34);
        let map = |address: usize, bytes, protection| {
            let wanted = std::ptr::without_provenance_mut(address);
            // SAFETY: asks for memory of its own, where nothing else is.
            let found = unsafe {
                libc::mmap(
                    wanted,
                    bytes,
                    protection,
                    libc::MAP_PRIVATE
                        | libc::MAP_ANONYMOUS
                        | libc::MAP_NORESERVE
                        | libc::MAP_FIXED_NOREPLACE,
                    -1,
                    0,
                )
            };
            assert_eq!(found, wanted, "no room");
            found.cast::<u8>()
        };
        let control = map(start, CONTROL, libc::PROT_READ | libc::PROT_WRITE);
        let memory = map(start + CONTROL, RESERVED, libc::PROT_NONE);
        // SAFETY: the memory was just mapped.
        let allowed =
            unsafe { libc::mprotect(memory.cast(), MEMORY, libc::PROT_READ | libc::PROT_WRITE) };
        assert_eq!(allowed, 0);
        Machine { control, memory }
    }

    fn address(&self, offset: usize) -> u64 {
        self.control as u64 + offset as u64
    }

    pub(super) fn fuel(&self) -> u64 {
        self.address(FUEL)
    }

    pub(super) fn context(&self) -> u64 {
        self.address(0)
    }

    pub(super) fn values(&self) -> u64 {
        self.address(VALUES)
    }

    /// Prepares a run: code is where `code` says, by the name of a function, and `functions` are
    /// those of the table, each with its signature.
    pub(super) fn prepare(
        &self,
        layout: &Layout,
        functions: &[(String, Signature)],
        code: impl Fn(&str) -> Option<u64>,
        input: &Input,
        fuel: u64,
    ) {
        let pattern = pattern(input.seed);
        let mut control = vec![0_u8; CONTROL];
        let mut set = |offset: usize, value: u64| {
            control[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        };
        for (&offset, &field) in &layout.context {
            let value = match field {
                Field::Store => self.address(STORE),
                Field::Builtins => self.address(BUILTINS),
                Field::TypeIds => self.address(TYPE_IDS),
                Field::Memory => self.memory as u64,
                Field::MemoryLength => MEMORY as u64,
                Field::Table => self.address(TABLE),
                Field::TableLength => TABLE_ELEMENTS as u64,
                Field::Global => PATTERN as u64 / 2,
                Field::ImportCode => code(&format!("%import_{offset}")).unwrap_or(0),
                Field::ImportContext => self.context(),
            };
            set(offset as usize, value);
        }
        for &offset in layout.builtins.keys() {
            let address = code(&format!("%builtin_{offset}")).unwrap_or(0);
            set(BUILTINS + offset as usize, address);
        }
        for &offset in layout.types.keys() {
            let at = TYPE_IDS + offset as usize;
            control[at..at + 4].copy_from_slice(&(offset as u32 + 1).to_le_bytes());
        }
        let mut set = |offset: usize, value: u64| {
            control[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        };
        for (index, (name, signature)) in functions.iter().enumerate() {
            let at = FUNCTIONS + 32 * index;
            let number = layout.types.iter().find(|(_, known)| *known == signature);
            set(at + 8, code(name).unwrap_or(0));
            set(
                at + 16,
                number.map_or(u64::from(u32::MAX), |(&number, _)| number as u64 + 1),
            );
            set(at + 24, self.context());
        }
        for element in 0..TABLE_ELEMENTS {
            let function = self.address(FUNCTIONS + 32 * (element % functions.len().max(1)));
            // The low bit tells that the element is there.
            set(TABLE + 8 * element, function | 1);
        }
        set(FUEL, fuel);
        for (index, &value) in input.values.iter().enumerate() {
            set(VALUES + 16 * index, value);
        }
        // SAFETY: both mappings are of these sizes, and no code runs.
        unsafe {
            std::ptr::copy_nonoverlapping(control.as_ptr(), self.control, CONTROL);
            libc::madvise(self.memory.cast(), MEMORY, libc::MADV_DONTNEED);
            std::ptr::copy_nonoverlapping(pattern.as_ptr(), self.memory, PATTERN);
        }
    }

    /// Returns the bytes that code has left in the first part of the memory.
    pub(super) fn left(&self) -> Vec<u8> {
        // SAFETY: the memory has them, and no code runs.
        unsafe { std::slice::from_raw_parts(self.memory, PATTERN) }.to_vec()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // SAFETY: both were mapped with these sizes, and no code runs.
        unsafe {
            libc::munmap(self.control.cast(), CONTROL);
            libc::munmap(self.memory.cast(), RESERVED);
        }
    }
}
