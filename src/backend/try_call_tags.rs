//! Debug tags of calls that catch exceptions.
//!
//! Cranelift 0.135 loses them: it copies the tags of ordinary instructions to their machine
//! instructions, but a `try_call` ends its block, and Cranelift lowers terminators on a path
//! without tags. The source location does survive on that path, and it has no influence on the
//! code. So each tagged `try_call` gets a location of its own during compilation. The call site
//! within that location's code is the call, and the tags belong to its return address. Then the
//! locations are restored.

use crate::body::set_srcloc;
use cranelift_codegen::binemit::CodeOffset;
use cranelift_codegen::ir::{DebugTag, Function, Opcode, SourceLoc};
use cranelift_codegen::{CompiledCode, Final, MachSrcLoc};
use rustc_hash::{FxHashMap, FxHashSet};

/// The tagged `try_call`s of a body that is being compiled.
#[derive(Default)]
pub(super) struct TryCallTags {
    /// By the location that stands for the call.
    marked: FxHashMap<SourceLoc, Marked>,
}

struct Marked {
    location: SourceLoc,
    tags: Vec<DebugTag>,
}

/// The tags that Cranelift left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Recovered {
    /// By return address.
    pub(super) tags: Vec<(CodeOffset, Vec<DebugTag>)>,
    /// All source locations, if they had been changed.
    pub(super) locations: Option<Vec<MachSrcLoc<Final>>>,
}

impl TryCallTags {
    /// Marks the tagged `try_call`s of `func`. Does nothing to a body without any.
    pub(super) fn mark(func: &mut Function) -> Self {
        let mut calls = Vec::new();
        if !func.debug_tags.is_empty() {
            for block in func.layout.blocks() {
                let last = func.layout.last_inst(block);
                calls.extend(last.filter(|&inst| {
                    let opcode = func.dfg.insts[inst].opcode();
                    matches!(opcode, Opcode::TryCall | Opcode::TryCallIndirect)
                        && func.debug_tags.has(inst)
                }));
            }
        }
        if calls.is_empty() {
            return Self::default();
        }
        let blocks = func.layout.blocks();
        let insts = blocks.flat_map(|block| func.layout.block_insts(block));
        let used: FxHashSet<SourceLoc> = insts.map(|inst| func.srcloc(inst)).collect();
        let numbers = (0..u32::MAX).map(SourceLoc::new);
        let mut free = numbers.filter(|location| !used.contains(location));
        let mut marked = FxHashMap::default();
        for (inst, marker) in calls.into_iter().zip(&mut free) {
            let location = func.srcloc(inst);
            let tags = func.debug_tags.get(inst).to_vec();
            set_srcloc(func, inst, marker);
            marked.insert(marker, Marked { location, tags });
        }
        TryCallTags { marked }
    }

    /// Finds the calls in the code.
    pub(super) fn recover(self, code: &CompiledCode) -> Recovered {
        if self.marked.is_empty() {
            return Recovered::default();
        }
        let sites: Vec<CodeOffset> = code.buffer.call_sites().map(|site| site.ret_addr).collect();
        let mut tags = Vec::new();
        let mut locations = Vec::new();
        for range in code.buffer.get_srclocs_sorted() {
            let mut range = range.clone();
            if let Some(marked) = self.marked.get(&range.loc) {
                range.loc = marked.location;
                // A return address is the end of its call.
                let first = sites.partition_point(|&site| site <= range.start);
                let within = sites.iter().skip(first);
                let within = within.take_while(|&&site| site <= range.end);
                tags.extend(within.map(|&site| (site, marked.tags.clone())));
            }
            locations.push(range);
        }
        tags.sort_by_key(|(offset, _)| *offset);
        Recovered {
            tags,
            locations: Some(locations),
        }
    }
}

#[cfg(all(test, feature = "all-arch"))]
mod tests {
    use crate::backend::{CompileScratch, TargetSettings, compile_function, target};
    use cranelift_codegen::MachDebugTagPos;
    use cranelift_codegen::ir::{DebugTag, SourceLoc};

    #[test]
    fn each_call_that_catches_has_its_tags_at_its_return_address() {
        let text = "function %f(i64) -> i64 tail {
                sig0 = (i64) -> i64 tail
                fn0 = %g(i64) -> i64 tail
            block0(v0: i64):
                <1> sequence_point
            <2, 3> @0000 try_call fn0(v0), sig0, block1(ret0), [ default: block3 ]
            block1(v1: i64):
            <4> @0001 v2 = call fn0(v1)
                try_call fn0(v2), sig0, block2(ret0), [ ]
            block2(v3: i64):
                v4 = func_addr.i64 fn0
                <5> try_call_indirect v4(v3), sig0, block4(ret0), [ default: block3 ]
            block3:
                trap user1
            block4(v5: i64):
                return v5
            }";
        let function = cranelift_reader::parse_functions(text).unwrap().remove(0);
        for name in ["x64", "aarch64", "riscv64", "s390x"] {
            let isa = target(name, &TargetSettings::new()).unwrap();
            let compiled = compile_function(&*isa, &function, &mut CompileScratch::new()).unwrap();
            let sites: Vec<u32> = compiled.call_sites().map(|site| site.ret_addr).collect();
            assert_eq!(sites.len(), 4, "{name}");
            let after: Vec<_> = compiled
                .debug_tags()
                .filter(|point| point.position == MachDebugTagPos::Post)
                .map(|point| (point.offset, point.tags.to_vec()))
                .collect();
            let user = |tags: &[u32]| tags.iter().copied().map(DebugTag::User).collect::<Vec<_>>();
            let expected = [
                (sites[0], user(&[2, 3])),
                (sites[1], user(&[4])),
                (sites[3], user(&[5])),
            ];
            assert_eq!(after, expected, "{name}");
            // The locations are the body's own again.
            let locations = compiled.source_locations().iter();
            let locations = locations.map(|range| range.loc);
            let mut locations: Vec<_> = locations.filter(|loc| !loc.is_default()).collect();
            locations.sort_by_key(|location| location.bits());
            locations.dedup();
            let expected = [SourceLoc::new(0), SourceLoc::new(1)];
            assert_eq!(locations, expected, "{name}");
        }
    }

    /// Cranelift keeps locations relative to the first one, and takes the one below that for none.
    #[test]
    fn tags_are_kept_with_any_first_location() {
        for (first, second) in [(1, 2), (2, 0), (5, 4), (u32::MAX - 1, 7)] {
            let text = format!(
                "function %f(i64) -> i64 tail {{
                    sig0 = (i64) -> i64 tail
                    fn0 = %g(i64) -> i64 tail
                block0(v0: i64):
                @{first:04x} v9 = iadd v0, v0
                    <7> try_call fn0(v9), sig0, block1(ret0), [ default: block3 ]
                block1(v1: i64):
                    <8> try_call fn0(v1), sig0, block2(ret0), [ default: block3 ]
                block2(v2: i64):
                @{second:04x} v3 = imul v2, v2
                    return v3
                block3:
                    trap user1
                }}"
            );
            let function = cranelift_reader::parse_functions(&text).unwrap().remove(0);
            let isa = target("x64", &TargetSettings::new()).unwrap();
            let compiled = compile_function(&*isa, &function, &mut CompileScratch::new()).unwrap();
            let sites: Vec<u32> = compiled.call_sites().map(|site| site.ret_addr).collect();
            let points: Vec<_> = compiled
                .debug_tags()
                .map(|point| (point.offset, point.tags.to_vec()))
                .collect();
            let expected = [
                (sites[0], vec![DebugTag::User(7)]),
                (sites[1], vec![DebugTag::User(8)]),
            ];
            assert_eq!(points, expected, "@{first:04x}");
        }
    }

    #[test]
    fn the_code_is_that_of_the_same_body_without_tags() {
        let text = "function %f(i64) -> i64 tail {
                sig0 = (i64) -> i64 tail
                fn0 = %g(i64) -> i64 tail
            block0(v0: i64):
                <1> try_call fn0(v0), sig0, block1(ret0), [ default: block2 ]
            block1(v1: i64):
                v2 = iadd v1, v0
                return v2
            block2:
                trap user1
            }";
        let code = |text: &str| {
            let function = cranelift_reader::parse_functions(text).unwrap().remove(0);
            let isa = target("x64", &TargetSettings::new()).unwrap();
            let compiled = compile_function(&*isa, &function, &mut CompileScratch::new()).unwrap();
            let locations = compiled.source_locations().iter();
            let bytes =
                locations.flat_map(|range| (range.start..range.end).map(|at| (at, range.loc)));
            (compiled.code().to_vec(), bytes.collect::<Vec<_>>())
        };
        assert_eq!(code(text), code(&text.replace("<1>", "")));
    }
}
