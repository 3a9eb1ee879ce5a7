//! Declarations of functions and signatures that no code names any more.

use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_codegen::entity::{EntitySet, PrimaryMap, SecondaryMap};
use cranelift_codegen::ir::{
    ExceptionTableData, ExceptionTableItem, ExtFuncData, FuncRef, Function, Inst, InstructionData,
    SigRef, Signature,
};

/// Removes declarations of functions and signatures that no instruction names; returns their
/// number. The others keep their order. Does nothing if an instruction names a missing entity.
///
/// An inlined call leaves a declaration behind, and with it the name of a function that may have
/// been dropped.
pub(super) fn drop_unused_declarations(func: &mut Function) -> usize {
    let declared = func.dfg.ext_funcs.len() + func.dfg.signatures.len();
    if declared == 0 {
        return 0;
    }
    let Some(uses) = Uses::find(func) else {
        return 0;
    };
    let dropped = declared.saturating_sub(uses.function_count + uses.signature_count);
    if dropped > 0 {
        uses.keep_only(func);
    }
    dropped
}

struct Uses {
    functions: EntitySet<FuncRef>,
    function_count: usize,
    signatures: EntitySet<SigRef>,
    signature_count: usize,
    /// The instructions that name any.
    insts: Vec<Inst>,
}

impl Uses {
    /// Returns `None` if an instruction names a missing entity.
    fn find(func: &Function) -> Option<Self> {
        let mut uses = Uses {
            functions: EntitySet::with_capacity(func.dfg.ext_funcs.len()),
            function_count: 0,
            signatures: EntitySet::with_capacity(func.dfg.signatures.len()),
            signature_count: 0,
            insts: Vec::new(),
        };
        for block in func.layout.blocks() {
            for inst in func.layout.block_insts(block) {
                match func.dfg.insts[inst] {
                    InstructionData::Call { func_ref, .. }
                    | InstructionData::FuncAddr { func_ref, .. }
                    | InstructionData::TryCall { func_ref, .. } => {
                        uses.function(func, func_ref)?;
                        uses.insts.push(inst);
                    }
                    InstructionData::CallIndirect { sig_ref, .. } => {
                        uses.signature(func, sig_ref)?;
                        uses.insts.push(inst);
                    }
                    _ => {}
                }
            }
        }
        // Also those of removed calls, which some code still reads.
        for table in func.dfg.exception_tables.values() {
            uses.signature(func, table.signature())?;
        }
        Some(uses)
    }

    fn function(&mut self, func: &Function, func_ref: FuncRef) -> Option<()> {
        let signature = func.dfg.ext_funcs.get(func_ref)?.signature;
        if self.functions.insert(func_ref) {
            self.function_count += 1;
            self.signature(func, signature)?;
        }
        Some(())
    }

    fn signature(&mut self, func: &Function, sig_ref: SigRef) -> Option<()> {
        func.dfg.signatures.get(sig_ref)?;
        if self.signatures.insert(sig_ref) {
            self.signature_count += 1;
        }
        Some(())
    }

    /// Removes everything else, and renumbers the rest.
    fn keep_only(&self, func: &mut Function) {
        let mut renamed_signatures: SecondaryMap<SigRef, SigRef> =
            SecondaryMap::with_default(SigRef::reserved_value());
        let mut signatures: PrimaryMap<SigRef, Signature> =
            PrimaryMap::with_capacity(self.signature_count);
        let old = std::mem::take(&mut func.dfg.signatures);
        for (sig_ref, signature) in old {
            if self.signatures.contains(sig_ref) {
                renamed_signatures[sig_ref] = signatures.push(signature);
            }
        }
        func.dfg.signatures = signatures;

        let mut renamed: SecondaryMap<FuncRef, FuncRef> =
            SecondaryMap::with_default(FuncRef::reserved_value());
        let mut functions: PrimaryMap<FuncRef, ExtFuncData> =
            PrimaryMap::with_capacity(self.function_count);
        let old = std::mem::take(&mut func.dfg.ext_funcs);
        for (func_ref, mut data) in old {
            if self.functions.contains(func_ref) {
                data.signature = renamed_signatures[data.signature];
                renamed[func_ref] = functions.push(data);
            }
        }
        func.dfg.ext_funcs = functions;

        for &inst in &self.insts {
            match &mut func.dfg.insts[inst] {
                InstructionData::Call { func_ref, .. }
                | InstructionData::FuncAddr { func_ref, .. }
                | InstructionData::TryCall { func_ref, .. } => *func_ref = renamed[*func_ref],
                InstructionData::CallIndirect { sig_ref, .. } => {
                    *sig_ref = renamed_signatures[*sig_ref];
                }
                _ => debug_assert!(false, "{inst} names a function or a signature"),
            }
        }
        for data in func.dfg.exception_tables.values_mut() {
            let signature = renamed_signatures[data.signature()];
            if signature != data.signature() {
                let items: Vec<ExceptionTableItem> = data.items().collect();
                *data = ExceptionTableData::new(signature, *data.normal_return(), items);
            }
        }
    }
}
