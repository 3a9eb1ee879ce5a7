//! A module's sections, validated, except for the bodies of functions.

use crate::error::{Result, unsupported};
use cranelift_inliner_wasm_runtime::{Data, Elements, Placement, ValueType};
use rustc_hash::FxHashMap;
use wasmparser::{
    ConstExpr, DataKind, ElementItems, ElementKind, Export, FuncToValidate, FuncType, FunctionBody,
    KnownCustom, Name, Operator, Parser, Payload, RefType, TypeRef, ValType, ValidPayload,
    Validator, ValidatorResources, WasmFeatures,
};

/// WebAssembly 2.0 without SIMD.
const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::GC_TYPES);

/// The pages of the largest memory that 32 bits can address.
const MOST_PAGES: u64 = 1 << 16;

/// The type of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) params: Vec<ValueType>,
    pub(crate) results: Vec<ValueType>,
}

/// A function of another module.
#[derive(Debug)]
pub(crate) struct Import<'a> {
    pub(crate) module: &'a str,
    pub(crate) name: &'a str,
    pub(crate) offset: u64,
}

#[derive(Debug)]
pub(crate) struct Global {
    pub(crate) ty: ValueType,
    pub(crate) mutable: bool,
    pub(crate) bits: u64,
}

/// A body that is to be validated as it is translated.
pub(crate) type Body<'a> = (FuncToValidate<ValidatorResources>, FunctionBody<'a>);

/// A module before its functions are translated.
#[derive(Default)]
pub(crate) struct ParsedModule<'a> {
    pub(crate) types: Vec<Signature>,
    /// Numbers of types that are equal for equal types, from 1.
    pub(crate) type_ids: Vec<u32>,
    /// The type of each function, imported ones first.
    pub(crate) functions: Vec<u32>,
    pub(crate) imports: Vec<Import<'a>>,
    pub(crate) tables: Vec<u32>,
    pub(crate) memory: Option<(u64, u64)>,
    pub(crate) globals: Vec<Global>,
    pub(crate) exports: Vec<Export<'a>>,
    pub(crate) start: Option<u32>,
    pub(crate) elements: Vec<Elements>,
    pub(crate) data: Vec<Data>,
    pub(crate) bodies: Vec<Body<'a>>,
    pub(crate) names: FxHashMap<u32, String>,
}

impl<'a> ParsedModule<'a> {
    /// Reads a module and validates all but the bodies of its functions.
    pub(crate) fn new(wasm: &'a [u8]) -> Result<Self> {
        let mut validator = Validator::new_with_features(FEATURES);
        let mut module = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload?;
            if let ValidPayload::Func(validator, body) = validator.payload(&payload)? {
                module.bodies.push((validator, body));
                continue;
            }
            module.section(payload)?;
        }
        Ok(module)
    }

    /// Returns the type of a function.
    pub(crate) fn signature(&self, function: u32) -> &Signature {
        &self.types[self.functions[function as usize] as usize]
    }

    /// Returns the name of a function in messages.
    pub(crate) fn name(&self, function: u32) -> String {
        let name = self.names.get(&function).cloned();
        name.unwrap_or_else(|| format!("function {function}"))
    }

    fn section(&mut self, payload: Payload<'a>) -> Result<()> {
        match payload {
            Payload::TypeSection(section) => {
                let offset = section.original_position();
                for ty in section.into_iter_err_on_gc_types() {
                    self.add_type(ty?, offset)?;
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports_with_offsets() {
                    let (offset, import) = import?;
                    self.add_import(import, offset)?;
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    self.functions.push(ty?);
                }
            }
            Payload::TableSection(section) => {
                for table in section.into_iter_with_offsets() {
                    let (offset, table) = table?;
                    function_references(table.ty.element_type, offset)?;
                    self.tables
                        .push(u32::try_from(table.ty.initial).unwrap_or(u32::MAX));
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory?;
                    let most = memory.maximum.unwrap_or(MOST_PAGES).min(MOST_PAGES);
                    self.memory = Some((memory.initial, most));
                }
            }
            Payload::GlobalSection(section) => {
                for global in section.into_iter_with_offsets() {
                    let (offset, global) = global?;
                    let ty = value_type(global.ty.content_type, offset)?;
                    self.globals.push(Global {
                        ty,
                        mutable: global.ty.mutable,
                        bits: constant(&global.init_expr)?,
                    });
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    self.exports.push(export?);
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::ElementSection(section) => {
                for element in section.into_iter_with_offsets() {
                    let (offset, element) = element?;
                    self.add_elements(element, offset)?;
                }
            }
            Payload::DataSection(section) => {
                for data in section {
                    let data = data?;
                    let placement = match &data.kind {
                        DataKind::Passive => Placement::Passive,
                        DataKind::Active { offset_expr, .. } => Placement::Active {
                            table: 0,
                            offset: constant(offset_expr)? as u32,
                        },
                    };
                    self.data.push(Data {
                        placement,
                        bytes: data.data.to_vec(),
                    });
                }
            }
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(names) = section.as_known() {
                    self.add_names(names);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add_type(&mut self, ty: FuncType, offset: u64) -> Result<()> {
        let types = |types: &[ValType]| -> Result<Vec<ValueType>> {
            types.iter().map(|&ty| value_type(ty, offset)).collect()
        };
        let signature = Signature {
            params: types(ty.params())?,
            results: types(ty.results())?,
        };
        let same = self.types.iter().position(|other| *other == signature);
        let id = same.map_or(self.types.len() as u32 + 1, |index| self.type_ids[index]);
        self.types.push(signature);
        self.type_ids.push(id);
        Ok(())
    }

    fn add_import(&mut self, import: wasmparser::Import<'a>, offset: u64) -> Result<()> {
        match import.ty {
            TypeRef::Func(ty) => {
                self.functions.push(ty);
                self.imports.push(Import {
                    module: import.module,
                    name: import.name,
                    offset,
                });
                Ok(())
            }
            TypeRef::Memory(_) => unsupported("imported memories", offset),
            TypeRef::Table(_) => unsupported("imported tables", offset),
            TypeRef::Global(_) => unsupported("imported globals", offset),
            _ => unsupported("imports of this kind", offset),
        }
    }

    fn add_elements(&mut self, element: wasmparser::Element<'a>, offset: u64) -> Result<()> {
        let placement = match &element.kind {
            ElementKind::Passive => Placement::Passive,
            ElementKind::Declared => Placement::Declared,
            ElementKind::Active {
                table_index,
                offset_expr,
            } => Placement::Active {
                table: table_index.unwrap_or(0),
                offset: constant(offset_expr)? as u32,
            },
        };
        let mut functions = Vec::new();
        match element.items {
            ElementItems::Functions(items) => {
                for item in items {
                    functions.push(Some(item?));
                }
            }
            ElementItems::Expressions(ty, items) => {
                function_references(ty, offset)?;
                for item in items {
                    let mut reader = item?.get_operators_reader();
                    let at = reader.original_position();
                    functions.push(match reader.read()? {
                        Operator::RefFunc { function_index } => Some(function_index),
                        Operator::RefNull { .. } => None,
                        _ => return unsupported("computed elements", at),
                    });
                }
            }
        }
        self.elements.push(Elements {
            placement,
            functions,
        });
        Ok(())
    }

    /// Adds names, which serve only messages: unreadable ones are left out.
    fn add_names(&mut self, names: wasmparser::NameSectionReader<'a>) {
        for name in names.into_iter().flatten() {
            if let Name::Function(functions) = name {
                for naming in functions.into_iter().flatten() {
                    self.names.insert(naming.index, naming.name.to_owned());
                }
            }
        }
    }
}

/// Returns the type of a value in a function or a global.
pub(crate) fn value_type(ty: ValType, offset: u64) -> Result<ValueType> {
    match ty {
        ValType::I32 => Ok(ValueType::I32),
        ValType::I64 => Ok(ValueType::I64),
        ValType::F32 => Ok(ValueType::F32),
        ValType::F64 => Ok(ValueType::F64),
        ValType::V128 => unsupported("SIMD values", offset),
        ValType::Ref(_) => unsupported("references outside of tables", offset),
    }
}

fn function_references(ty: RefType, offset: u64) -> Result<()> {
    match ty == RefType::FUNCREF {
        true => Ok(()),
        false => unsupported(format!("tables of {ty}"), offset),
    }
}

/// Returns the bits of a constant.
fn constant(expression: &ConstExpr<'_>) -> Result<u64> {
    let mut reader = expression.get_operators_reader();
    let offset = reader.original_position();
    let bits = match reader.read()? {
        Operator::I32Const { value } => u64::from(value as u32),
        Operator::I64Const { value } => value as u64,
        Operator::F32Const { value } => value.bits().into(),
        Operator::F64Const { value } => value.bits(),
        _ => return unsupported("computed constants", offset),
    };
    match reader.read()? {
        Operator::End => Ok(bits),
        _ => unsupported("computed constants", offset),
    }
}
