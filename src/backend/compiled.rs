//! A compiled function: its code and all tables about places in it.
//!
//! All offsets into the code are in bytes from the function's first byte. It stands on its own:
//! names are resolved and the body is no longer needed.

use super::error::CompileError;
use super::relocation::{Relocation, relocations};
use super::try_call_tags::Recovered;
use crate::panics;
use crate::program::FunctionName;
use cranelift_codegen::binemit::CodeOffset;
use cranelift_codegen::entity::EntityRef;
use cranelift_codegen::ir::{DebugTag, StackSlot, StackSlotKey, UserFuncName, UserStackMap};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::UnwindInfo;
use cranelift_codegen::{
    CompiledCode, Context, Final, FinalizedMachCallSite, MachBufferFrameLayout, MachDebugTagPos,
    MachSrcLoc, MachTrap, ValueLabelsRanges,
};

/// Machine code of one function, with its metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct CompiledFunction {
    name: UserFuncName,
    /// In a box: it is some thousand bytes, which would be copied whenever this is moved.
    code: Box<CompiledCode>,
    relocations: Vec<Relocation>,
    /// By number of the sized stack slot.
    slot_sizes: Vec<u32>,
    recovered: Recovered,
}

/// Where a sized stack slot lies in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameSlot {
    /// The slot, as the compiled body numbers it and as debug tags refer to it.
    pub slot: StackSlot,
    /// Bytes from the bottom of the frame (the stack pointer after the prologue) up to the slot.
    pub offset: u32,
    /// The slot's size in bytes.
    pub size: u32,
    /// The embedder's key for the slot.
    pub key: Option<StackSlotKey>,
}

/// The debug tags of one point of the code.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct DebugTagPoint<'a> {
    /// The place, in bytes from the start of the code.
    pub offset: CodeOffset,
    /// Whether the tags belong to the instruction that ends there (`Post`: a call, whose return
    /// address it is) or to the one that starts there (`Pre`).
    pub position: MachDebugTagPos,
    /// The tags, outermost frame first.
    pub tags: &'a [DebugTag],
}

impl CompiledFunction {
    pub(super) fn new(
        name: UserFuncName,
        code: Box<CompiledCode>,
        relocations: Vec<Relocation>,
        slot_sizes: Vec<u32>,
        recovered: Recovered,
    ) -> Self {
        CompiledFunction {
            name,
            code,
            relocations,
            slot_sizes,
            recovered,
        }
    }

    /// Returns a copy of the function that `context` has compiled, for tables of code that a module
    /// compiles; `None` if it has compiled none. Debug tags and locations of `try_call`s are not
    /// there, because Cranelift loses them.
    ///
    /// # Errors
    ///
    /// [`CompileError::Internal`] if the code refers to names that the context's function does not
    /// have.
    ///
    /// ```
    /// use cranelift_codegen::Context;
    /// use cranelift_codegen::control::ControlPlane;
    /// use cranelift_inliner::backend::{CompiledFunction, TargetSettings, target};
    ///
    /// let text = "function %nothing() system_v {\nblock0:\n    return\n}";
    /// let isa = target("host", &TargetSettings::new())?;
    /// let mut context = Context::for_function(cranelift_reader::parse_functions(text)?.remove(0));
    /// assert!(CompiledFunction::from_context(&context)?.is_none());
    /// context.compile(&*isa, &mut ControlPlane::default()).map_err(|error| error.inner)?;
    /// let compiled = CompiledFunction::from_context(&context)?.ok_or("no code")?;
    /// assert!(!compiled.code().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_context(context: &Context) -> Result<Option<Self>, CompileError> {
        let Some(code) = context.compiled_code() else {
            return Ok(None);
        };
        let function = &context.func;
        let slots = function.sized_stack_slots.values();
        Ok(Some(CompiledFunction {
            name: function.name.clone(),
            code: Box::new(code.clone()),
            relocations: relocations(function, code)?,
            slot_sizes: slots.map(|slot| slot.size).collect(),
            recovered: Recovered::default(),
        }))
    }

    /// Returns the function's name.
    pub fn name(&self) -> &UserFuncName {
        &self.name
    }

    /// Returns the machine code, constants and jump tables included; relocations are not applied.
    pub fn code(&self) -> &[u8] {
        self.code.code_buffer()
    }

    /// Returns the alignment in bytes that the code needs at least.
    pub fn alignment(&self) -> u32 {
        self.code.buffer.alignment
    }

    /// Returns the places to fill in, in Cranelift's order.
    pub fn relocations(&self) -> &[Relocation] {
        &self.relocations
    }

    /// Returns the instructions that may trap, by offset, with their codes.
    pub fn traps(&self) -> &[MachTrap] {
        self.code.buffer.traps()
    }

    /// Returns the calls in order of their return addresses, each with its exception handlers:
    /// tags, defaults and contexts in the order in which they are tried.
    pub fn call_sites(&self) -> impl Iterator<Item = FinalizedMachCallSite<'_>> + '_ {
        self.code.buffer.call_sites()
    }

    /// Returns the safepoints by return address: the frame's size in bytes and the live entries.
    pub fn user_stack_maps(&self) -> &[(CodeOffset, u32, UserStackMap)] {
        self.code.buffer.user_stack_maps()
    }

    /// Returns Cranelift's description of the frame; `None` if the backend gave none.
    pub fn frame_layout(&self) -> Option<&MachBufferFrameLayout> {
        self.code.buffer.frame_layout()
    }

    /// Returns the offset of the frame pointer from the bottom of the frame, in bytes. A slot is at
    /// the frame pointer, plus [`FrameSlot::offset`], minus this. Returns `None` if the backend
    /// gave no layout.
    pub fn frame_to_fp_offset(&self) -> Option<u32> {
        Some(self.frame_layout()?.frame_to_fp_offset)
    }

    /// Returns the sized stack slots in the order of the body; none where the backend gave no
    /// layout.
    pub fn frame_slots(&self) -> impl Iterator<Item = FrameSlot> + '_ {
        let layout = self.frame_layout().into_iter();
        layout.flat_map(|layout| {
            self.slot_sizes.iter().enumerate().map(|(number, &size)| {
                let slot = StackSlot::new(number);
                let place = &layout.stackslots[slot];
                FrameSlot {
                    slot,
                    offset: place.offset,
                    size,
                    key: place.key,
                }
            })
        })
    }

    /// Returns the points that have debug tags, by offset. A tagged instruction that became several
    /// machine instructions has a point for each of them: if a call loads its callee's address
    /// first, it has a `Pre` point at the load beside the one at the return address.
    ///
    /// Two differences to Cranelift's own table: the tags of `try_call`s, which Cranelift loses,
    /// are here too. And the tags of a call that passes values on the stack are at its return
    /// address; Cranelift has them after the instructions that clean up the stack.
    pub fn debug_tags(&self) -> impl Iterator<Item = DebugTagPoint<'_>> + '_ {
        let mut sites = self.code.buffer.call_sites().peekable();
        let mut return_address = None;
        let kept = self.code.buffer.debug_tags().map(move |list| {
            let passed = |site: &FinalizedMachCallSite<'_>| site.ret_addr <= list.offset;
            while let Some(site) = sites.next_if(passed) {
                return_address = Some(site.ret_addr);
            }
            DebugTagPoint {
                offset: match (list.pos, return_address) {
                    (MachDebugTagPos::Post, Some(return_address)) => return_address,
                    _ => list.offset,
                },
                position: list.pos,
                tags: list.tags,
            }
        });
        let recovered = self.recovered.tags.iter();
        let mut recovered = recovered
            .map(|(offset, tags)| DebugTagPoint {
                offset: *offset,
                position: MachDebugTagPos::Post,
                tags,
            })
            .peekable();
        // The tags of a call's return address come before those of the instruction that starts
        // there.
        let mut kept = kept.peekable();
        std::iter::from_fn(move || match (recovered.peek(), kept.peek()) {
            (Some(call), Some(other)) if call.offset > other.offset => kept.next(),
            (Some(_), _) => recovered.next(),
            (None, _) => kept.next(),
        })
    }

    /// Returns the source locations: ranges of code, by start.
    pub fn source_locations(&self) -> &[MachSrcLoc<Final>] {
        let own = self.recovered.locations.as_deref();
        own.unwrap_or_else(|| self.code.buffer.get_srclocs_sorted())
    }

    /// Returns where the values with labels are, by label.
    pub fn value_label_ranges(&self) -> &ValueLabelsRanges {
        &self.code.value_labels_ranges
    }

    /// Returns unwind information in the form of the target's system: Windows' or System V's.
    /// `None` if the setting `unwind_info` is off or the function needs none. `isa` must be the
    /// target that the function was compiled for.
    ///
    /// # Errors
    ///
    /// [`CompileError::Internal`] and the like where Cranelift cannot describe the frame.
    pub fn unwind_info(&self, isa: &dyn TargetIsa) -> Result<Option<UnwindInfo>, CompileError> {
        panics::catch(|| self.code.create_unwind_info(isa))
            .map_err(|message| CompileError::Panicked {
                function: FunctionName::from(self.name.clone()),
                message,
            })?
            .map_err(|error| CompileError::from_codegen(&self.name, &error))
    }

    /// Returns Cranelift's own result, for data without a method here.
    pub fn cranelift(&self) -> &CompiledCode {
        &self.code
    }
}

#[cfg(all(test, feature = "all-arch"))]
mod tests {
    use super::CompiledFunction;
    use crate::backend::{CompileScratch, TargetSettings, compile_function, target};
    use cranelift_codegen::ir::{
        DebugTag, ExceptionTag, StackSlot, StackSlotKey, TrapCode, ValueLabel,
    };
    use cranelift_codegen::isa::unwind::UnwindInfo;
    use cranelift_codegen::{FinalizedMachExceptionHandler, MachDebugTagPos};

    fn compile(target_name: &str, text: &str) -> CompiledFunction {
        let functions = cranelift_reader::parse_functions(text).unwrap();
        let isa = target(target_name, &TargetSettings::new()).unwrap();
        compile_function(&*isa, &functions[0], &mut CompileScratch::new()).unwrap()
    }

    fn targets() -> &'static [&'static str] {
        &["x64", "aarch64", "riscv64", "s390x"]
    }

    #[test]
    fn frame_slots_have_places_sizes_and_keys() {
        for name in targets() {
            let compiled = compile(
                name,
                "function %f(i64) -> i64 fast {
                     ss0 = explicit_slot 8, key = 70
                     ss1 = explicit_slot 32, align = 16
                     ss2 = explicit_slot 16, key = 71
                     fn0 = %keep(i64, i64, i64) fast
                 block0(v0: i64):
                     v1 = stack_addr.i64 ss0
                     v2 = stack_addr.i64 ss1
                     v3 = stack_addr.i64 ss2
                     call fn0(v1, v2, v3)
                     return v0
                 }",
            );
            let slots: Vec<_> = compiled.frame_slots().collect();
            let keys: Vec<_> = slots.iter().map(|slot| slot.key).collect();
            let sizes: Vec<_> = slots.iter().map(|slot| slot.size).collect();
            let expected = [
                Some(StackSlotKey::new(70)),
                None,
                Some(StackSlotKey::new(71)),
            ];
            assert_eq!(keys, expected, "{name}");
            assert_eq!(sizes, [8, 32, 16], "{name}");
            assert_eq!(slots[2].slot, StackSlot::from_u32(2));
            assert_eq!(slots[1].offset % 16, 0, "{name}");
            let top = compiled.frame_to_fp_offset().unwrap();
            let mut places: Vec<_> = slots
                .iter()
                .map(|slot| (slot.offset, slot.offset + slot.size))
                .collect();
            places.sort();
            assert!(
                places.windows(2).all(|pair| pair[0].1 <= pair[1].0),
                "{name}: {places:?}"
            );
            assert!(
                places.iter().all(|place| place.1 <= top),
                "{name}: {places:?} {top}"
            );
        }
    }

    #[test]
    fn debug_tags_are_at_the_return_address_or_before_the_instruction() {
        for name in targets() {
            let compiled = compile(
                name,
                "function %f(i64) -> i64 fast {
                     ss0 = explicit_slot 8, key = 70
                     fn0 = colocated %g(i64) -> i64 fast
                 block0(v0: i64):
                     <ss0, 3> sequence_point
                     v1 = call fn0(v0)
                     <5, 6> v2 = call fn0(v1)
                     return v2
                 }",
            );
            let points: Vec<_> = compiled.debug_tags().collect();
            assert_eq!(points.len(), 2, "{name} {points:?}");
            assert_eq!(points[0].position, MachDebugTagPos::Pre, "{name}");
            let slot = DebugTag::StackSlot(StackSlot::from_u32(0));
            assert_eq!(points[0].tags, [slot, DebugTag::User(3)], "{name}");
            assert_eq!(points[1].position, MachDebugTagPos::Post, "{name}");
            assert_eq!(
                points[1].tags,
                [DebugTag::User(5), DebugTag::User(6)],
                "{name}"
            );
            let returns: Vec<_> = compiled.call_sites().map(|site| site.ret_addr).collect();
            assert_eq!(returns.len(), 2, "{name}");
            assert_eq!(points[1].offset, returns[1], "{name}");
            assert!(points[0].offset < returns[0], "{name}");
        }
    }

    #[test]
    fn debug_tags_are_at_the_return_address_where_arguments_are_on_the_stack() {
        let params = vec!["i64"; 20].join(", ");
        let args = vec!["v0"; 20].join(", ");
        let text = format!(
            "function %f(i64) -> i64 tail {{
                 fn0 = colocated %g({params}) -> i64 tail
             block0(v0: i64):
                 <7> sequence_point
                 v1 = call fn0({args})
                 <8> v2 = call fn0({args})
                 return v2
             }}"
        );
        for name in targets() {
            let compiled = compile(name, &text);
            let after = compiled.debug_tags();
            let after = after.filter(|point| point.position == MachDebugTagPos::Post);
            let after: Vec<_> = after.map(|point| point.offset).collect();
            let sites: Vec<_> = compiled.call_sites().map(|site| site.ret_addr).collect();
            assert_eq!(after, sites[1..], "{name}");
        }
    }

    #[test]
    fn exception_handlers_traps_and_places_in_the_source_come_out() {
        let compiled = compile(
            "x64",
            "function %f(i64) -> i64 tail {
                 sig0 = (i64) -> i64 tail
                 fn0 = %g(i64) -> i64 tail
             block0(v0: i64):
                 val0 = v0
             @0011    try_call fn0(v0), sig0, block1(ret0), [ tag7: block2(exn0), default: block3 ]
             block1(v1: i64):
             @0012    v2 = udiv v1, v0
                 return v2
             block2(v3: i64):
                 return v3
             block3:
                 trap user9
             }"
            .replace("                 val0 = v0\n", "")
            .as_str(),
        );
        let sites: Vec<_> = compiled.call_sites().collect();
        assert_eq!(sites.len(), 1);
        let size = compiled.code().len() as u32;
        match sites[0].exception_handlers {
            [
                FinalizedMachExceptionHandler::Tag(tag, first),
                FinalizedMachExceptionHandler::Default(second),
            ] => {
                assert_eq!(*tag, ExceptionTag::from_u32(7));
                assert!(first != second && *first < size && *second < size);
            }
            other => panic!("{other:?}"),
        }
        let mut codes: Vec<_> = compiled.traps().iter().map(|trap| trap.code).collect();
        codes.sort_by_key(|code| code.as_raw());
        let mut expected = [TrapCode::INTEGER_DIVISION_BY_ZERO, TrapCode::unwrap_user(9)];
        expected.sort_by_key(|code| code.as_raw());
        assert_eq!(codes, expected);
        let lines: Vec<_> = compiled
            .source_locations()
            .iter()
            .map(|place| place.loc.bits())
            .collect();
        assert!(lines.contains(&0x11) && lines.contains(&0x12), "{lines:?}");
    }

    #[test]
    fn value_labels_have_ranges_and_windows_its_own_unwinding() {
        let text = "function %f(i64) -> i64 fast {
             block0(v0: i64):
                 v1 = imul v0, v0
                 return v1
             }";
        let mut function = cranelift_reader::parse_functions(text).unwrap().remove(0);
        function.dfg.collect_debug_info();
        let start = cranelift_codegen::ir::ValueLabelStart {
            from: Default::default(),
            label: ValueLabel::from_u32(3),
        };
        let value = cranelift_codegen::ir::Value::from_u32(0);
        let labels = cranelift_codegen::ir::ValueLabelAssignments::Starts(vec![start]);
        function
            .dfg
            .values_labels
            .as_mut()
            .unwrap()
            .insert(value, labels);
        let isa = target("x86_64-pc-windows-msvc", &TargetSettings::new()).unwrap();
        let compiled = compile_function(&*isa, &function, &mut CompileScratch::new()).unwrap();
        let ranges = &compiled.value_label_ranges()[&ValueLabel::from_u32(3)];
        assert!(ranges.iter().all(|range| range.start < range.end) && !ranges.is_empty());
        let unwind = compiled.unwind_info(&*isa).unwrap();
        assert!(
            matches!(unwind, Some(UnwindInfo::WindowsX64(_))),
            "{unwind:?}"
        );
        let unwind = compile("x64", text);
        let isa = target("x64", &TargetSettings::new()).unwrap();
        let unwind = unwind.unwind_info(&*isa).unwrap();
        assert!(matches!(unwind, Some(UnwindInfo::SystemV(_))), "{unwind:?}");
    }

    #[test]
    fn safepoints_have_their_entries() {
        let text = "function %f(i64) -> i64 fast {
                 ss0 = explicit_slot 8
                 fn0 = %g() fast
             block0(v0: i64):
                 v1 = stack_addr.i64 ss0
                 store v0, v1
                 call fn0(), stack_map=[i64 @ ss0+0]
                 v2 = load.i64 v1
                 return v2
             }";
        let compiled = compile("x64", text);
        let (offset, _, map) = &compiled.user_stack_maps()[0];
        assert_eq!(
            Some(*offset),
            compiled.call_sites().map(|site| site.ret_addr).next()
        );
        assert_eq!(map.entries().count(), 1);
    }
}
