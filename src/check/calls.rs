//! Matching of calls, whose form depends on the calls around them.
//!
//! A call of a copy becomes a `try_call` where a replaced `try_call` around it has handlers, and a
//! tail call of a copy becomes a call where the copy returns to a place in the result.

use super::assigned::Assigned;
use super::difference::Difference;
use super::place::{Next, Term, Terms, one};
use super::tables::{Gap, Source, Walk};
use super::tree::{CopyId, SiteKind};
use cranelift_codegen::ir::{
    BlockCall, ExceptionTable, ExceptionTableData, ExceptionTableItem, FuncRef, Function, Inst,
    InstructionData, Opcode, SigRef, Value,
};

/// A call of any kind.
struct Parts<'f> {
    callee: Option<FuncRef>,
    signature: SigRef,
    args: &'f [Value],
    table: Option<ExceptionTable>,
    is_tail: bool,
}

fn parts(func: &Function, inst: Inst) -> Option<Parts<'_>> {
    let dfg = &func.dfg;
    let data = &dfg.insts[inst];
    let (callee, signature, table) = match *data {
        InstructionData::Call { func_ref, .. } => {
            (Some(func_ref), dfg.ext_funcs.get(func_ref)?.signature, None)
        }
        InstructionData::CallIndirect { sig_ref, .. } => (None, sig_ref, None),
        InstructionData::TryCall {
            func_ref,
            exception,
            ..
        } => {
            let table = dfg.exception_tables.get(exception)?;
            (Some(func_ref), table.signature(), Some(exception))
        }
        InstructionData::TryCallIndirect { exception, .. } => {
            let table = dfg.exception_tables.get(exception)?;
            (None, table.signature(), Some(exception))
        }
        _ => return None,
    };
    Some(Parts {
        callee,
        signature,
        args: dfg.inst_args(inst),
        table,
        is_tail: matches!(
            data.opcode(),
            Opcode::ReturnCall | Opcode::ReturnCallIndirect
        ),
    })
}

impl Walk<'_> {
    pub(super) fn call(
        &mut self,
        copy: CopyId,
        inst: Inst,
        result: Inst,
    ) -> Result<(), Difference> {
        let func = self.tree.func(copy);
        let after = self.after;
        let (Some(source), Some(target)) = (parts(func, inst), parts(after, result)) else {
            // Instructions that are calls by opcode but not by format need no special treatment.
            let message = "it did not become a call";
            return Err(self.at(copy, inst, message).with_result(result));
        };
        let same_callee = match (source.callee, target.callee) {
            (Some(a), Some(b)) => self.same_function(copy, a, b),
            (None, None) => true,
            _ => false,
        };
        let same_args = source.args.len() == target.args.len()
            && source
                .args
                .iter()
                .zip(target.args)
                .all(|(&a, &b)| self.equals(copy, a, b));
        let same_signature =
            func.dfg.signatures.get(source.signature) == after.dfg.signatures.get(target.signature);
        let what = match (same_callee, same_signature, same_args) {
            (false, _, _) => Some("another callee"),
            (_, false, _) => Some("another signature"),
            (_, _, false) => Some("other arguments"),
            _ => None,
        };
        if let Some(what) = what {
            let message = format!(
                "`{}` became `{}`, with {what}",
                func.dfg.display_inst(inst),
                after.dfg.display_inst(result)
            );
            return Err(self.at(copy, inst, message).with_result(result));
        }
        self.own(copy, inst, result)?;
        self.check_metadata(copy, inst, result)?;
        let leaves = source.is_tail && self.tree.returns_to(copy).is_some();
        let tail_stays = source.is_tail && !leaves;
        let expected = if tail_stays {
            None
        } else {
            let table = target
                .table
                .and_then(|table| after.dfg.exception_tables.get(table));
            self.expected_handlers(copy, source.table, table)
        };
        if target.is_tail != tail_stays || target.table.is_some() != expected.is_some() {
            let message = "it became another kind of call";
            return Err(self.at(copy, inst, message).with_result(result));
        }
        if tail_stays {
            return Ok(());
        }
        let returns = func.dfg.signatures[source.signature].returns.len();
        match (expected, target.table) {
            (Some(expected), Some(table)) => {
                self.handlers(copy, inst, &expected, result, table)?;
                let normal = *after.dfg.exception_tables[table].normal_return();
                let returned: Vec<Terms> = (0u32..)
                    .take(returns)
                    .map(|index| [Term::TryCallRet(index)].into_iter().collect())
                    .collect();
                self.return_from_call(
                    copy,
                    inst,
                    source.table,
                    leaves,
                    &returned,
                    Next::Along(normal),
                )
            }
            _ => {
                let returned: Vec<Terms> = after
                    .dfg
                    .inst_results(result)
                    .iter()
                    .map(|&value| one(value))
                    .collect();
                let Some(next) = after.layout.next_inst(result) else {
                    return Err(self
                        .at(copy, inst, "nothing follows the call")
                        .with_result(result));
                };
                self.return_from_call(copy, inst, None, leaves, &returned, Next::At(next))
            }
        }
    }

    /// Goes on after a call that returned.
    fn return_from_call(
        &mut self,
        copy: CopyId,
        inst: Inst,
        table: Option<ExceptionTable>,
        leaves: bool,
        returned: &[Terms],
        next: Next,
    ) -> Result<(), Difference> {
        let func = self.tree.func(copy);
        let mut assigned = Assigned::default();
        let (copy, source) = if leaves {
            match self.leave(copy, returned, &mut assigned)? {
                Some(place) => place,
                None => return Ok(()),
            }
        } else if let Some(table) = table {
            let normal = *func.dfg.exception_tables[table].normal_return();
            (
                copy,
                Source::Enter(self.assign(copy, normal, &[], &mut assigned)),
            )
        } else {
            for (&value, terms) in func.dfg.inst_results(inst).iter().zip(returned) {
                assigned.push(copy, value, terms.clone());
            }
            match func.layout.next_inst(inst) {
                Some(next) => (copy, Source::At(next)),
                None => return Err(self.at(copy, inst, "nothing follows the call")),
            }
        };
        self.work.push(Gap {
            copy,
            source,
            next,
            assigned,
            known: None,
        });
        Ok(())
    }

    /// Returns the items that the exception table of a call in `copy` must have, each with the copy
    /// in which it is to be read; `None` where the call catches nothing.
    ///
    /// A table around the copy that has contexts alone catches nothing. Whether its contexts are
    /// passed on depends on whether it was given the handlers around it before the copy was made,
    /// so `actual` decides.
    fn expected_handlers(
        &self,
        copy: CopyId,
        own: Option<ExceptionTable>,
        actual: Option<&ExceptionTableData>,
    ) -> Option<Vec<(CopyId, ExceptionTableItem)>> {
        let without = self.handlers_around(copy, own, false);
        let length = actual.map_or(0, |actual| actual.items().count());
        match &without {
            Some(items) if items.len() < length => {
                let with = self.handlers_around(copy, own, true);
                with.filter(|items| items.len() == length).or(without)
            }
            _ => without,
        }
    }

    fn handlers_around(
        &self,
        copy: CopyId,
        own: Option<ExceptionTable>,
        with_contexts: bool,
    ) -> Option<Vec<(CopyId, ExceptionTableItem)>> {
        let mut items = Vec::new();
        let mut add = |copy: CopyId, table: ExceptionTable, is_own: bool| {
            let table = &self.tree.func(copy).dfg.exception_tables[table];
            let catches =
                |item: &ExceptionTableItem| !matches!(item, ExceptionTableItem::Context(_));
            if !is_own && !with_contexts && !table.items().any(|item| catches(&item)) {
                return false;
            }
            items.extend(table.items().map(|item| (copy, item)));
            // An exception that is caught in any case does not reach the outer calls.
            table
                .items()
                .any(|item| matches!(item, ExceptionTableItem::Default(_)))
        };
        let mut caught = own.is_some_and(|own| add(copy, own, true));
        let mut around = self.tree.site(copy);
        while let Some(site) = around {
            if let SiteKind::TryCall(table) = site.kind
                && !caught
            {
                caught = add(site.parent, table, false);
            }
            around = self.tree.site(site.parent);
        }
        (own.is_some() || !items.is_empty()).then_some(items)
    }

    /// Checks that the replaced calls around a `stack_switch` have neither handlers nor a stack
    /// map, because Cranelift gives it none.
    pub(super) fn check_stack_switch(
        &self,
        copy: CopyId,
        inst: Inst,
        result: Inst,
    ) -> Result<(), Difference> {
        let message = if self.handlers_around(copy, None, false).is_some() {
            "it stands where handlers were, which it cannot have"
        } else if self.has_stack_map_around(copy) {
            "it stands where a call had a stack map, which it cannot have"
        } else {
            return Ok(());
        };
        Err(self.at(copy, inst, message).with_result(result))
    }

    fn handlers(
        &mut self,
        copy: CopyId,
        inst: Inst,
        expected: &[(CopyId, ExceptionTableItem)],
        result: Inst,
        table: ExceptionTable,
    ) -> Result<(), Difference> {
        let actual: Vec<ExceptionTableItem> =
            self.after.dfg.exception_tables[table].items().collect();
        if actual.len() != expected.len() {
            let message = format!(
                "its exception table has {} items instead of {}",
                actual.len(),
                expected.len()
            );
            return Err(self.at(copy, inst, message).with_result(result));
        }
        for (&(of, ref item), actual) in expected.iter().zip(&actual) {
            match self.handler(of, item, actual) {
                Some(Some((edge, result_edge))) => self.follow_edge(of, edge, result_edge),
                Some(None) => {}
                None => {
                    let message = "its exception table has another item";
                    return Err(self.at(copy, inst, message).with_result(result));
                }
            }
        }
        Ok(())
    }

    /// Returns the edges of a handler, none of a context; `None` where they differ.
    fn handler(
        &self,
        of: CopyId,
        item: &ExceptionTableItem,
        actual: &ExceptionTableItem,
    ) -> Option<Option<(BlockCall, BlockCall)>> {
        match (item, actual) {
            (ExceptionTableItem::Tag(a, edge), ExceptionTableItem::Tag(b, result_edge)) => {
                (a == b).then_some(Some((*edge, *result_edge)))
            }
            (ExceptionTableItem::Default(edge), ExceptionTableItem::Default(result_edge)) => {
                Some(Some((*edge, *result_edge)))
            }
            (ExceptionTableItem::Context(a), ExceptionTableItem::Context(b)) => {
                self.equals(of, *a, *b).then_some(None)
            }
            _ => None,
        }
    }
}
