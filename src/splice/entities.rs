//! Translation of a callee's entities to the caller's.
//!
//! Signatures, function references, global values, constants, immediates and memory flags that the
//! caller already has are shared. The translation of one callee is made once per caller, for any
//! number of copies; each copy has its own stack slots, blocks and values.

use super::caller_promises::{CallerPromises, same_promise};
use super::facts::CalleeView;
use super::memory_promises::is_promising;
use super::tables::Tables;
use super::{Callee, Refusal, SpliceOptions, struct_args};
use cranelift_codegen::entity::packed_option::ReservedValue;
use cranelift_codegen::entity::{EntityRef, PrimaryMap};
use cranelift_codegen::ir::{self, ExternalName, GlobalValueData};
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use smallvec::{SmallVec, smallvec};
use std::cell::Cell;
use std::hash::{Hash, Hasher};

/// `ir::MemFlags` is a 16-bit index with one value reserved.
const MEM_FLAGS_CAPACITY: usize = u16::MAX as usize;

/// Most bodies have few entities of a kind.
type Map<K> = SmallVec<[K; 8]>;

/// A callee's entities, by their index in the callee, as entities of the caller.
#[derive(Clone, Default)]
pub(super) struct EntityMaps {
    pub(super) signatures: Map<ir::SigRef>,
    pub(super) functions: Map<ir::FuncRef>,
    /// Global values that lead to the callee's `vmctx` are translated only
    /// where the call passes on the caller's own.
    pub(super) globals: Map<ir::GlobalValue>,
    pub(super) constants: Map<ir::Constant>,
    pub(super) immediates: Map<ir::Immediate>,
    pub(super) mem_flags: Map<ir::MemFlags>,
    pub(super) dynamic_types: Map<ir::DynamicType>,
}

/// Entities of one caller, found by their content.
#[derive(Default)]
pub(super) struct CallerEntities {
    signatures: ContentIndex<ir::SigRef>,
    functions: ContentIndex<ir::FuncRef>,
    globals: ContentIndex<ir::GlobalValue>,
    immediates: ContentIndex<ir::Immediate>,
    /// A lower bound of the number of the caller's memory flags.
    mem_flags_count: Cell<usize>,
    pub(super) promises: CallerPromises,
    /// Translations already made, by the callee's identity and by whether its
    /// `vmctx` is the caller's.
    maps: FxHashMap<(u64, bool), EntityMaps>,
}

impl CallerEntities {
    /// Forgets the translation of a callee that is no longer needed.
    pub(super) fn forget(&mut self, callee: &Callee<'_>) {
        for shares_vmctx in [false, true] {
            self.maps.remove(&(callee.tables().facts.id, shares_vmctx));
        }
    }

    /// Starts with a caller into which nothing was spliced.
    pub(super) fn start(&mut self, options: &SpliceOptions) {
        self.promises.start(options);
        self.signatures.clear();
        self.functions.clear();
        self.globals.clear();
        self.immediates.clear();
        self.mem_flags_count.set(0);
        self.maps.clear();
    }

    /// Checks that `caller` has the capacity for all entities that `callee` needs.
    ///
    /// Only reads. After `Ok`, [`CallerEntities::translate`] does not fail.
    pub(super) fn check(
        &self,
        caller: &ir::Function,
        callee: CalleeView<'_>,
        shares_vmctx: bool,
    ) -> Result<(), Refusal> {
        if self.maps.contains_key(&(callee.facts.id, shares_vmctx)) {
            return Ok(());
        }
        self.check_mem_flags(caller, callee)?;
        check_dynamic_types(caller, callee, shares_vmctx)
    }

    fn check_mem_flags(
        &self,
        caller: &ir::Function,
        callee: CalleeView<'_>,
    ) -> Result<(), Refusal> {
        let count = self.count_mem_flags(caller);
        let others = self.other_mem_flags(caller, callee, count);
        let room = MEM_FLAGS_CAPACITY - count;
        let Some(room) = room.checked_sub(others) else {
            return Err(Refusal::MemFlagsFull);
        };
        let fits = callee.facts.mem_flags.len() <= room
            || self.count_missing_mem_flags(caller, callee) <= room;
        if fits {
            Ok(())
        } else {
            Err(Refusal::MemFlagsFull)
        }
    }

    /// Returns the number of memory flags of `caller`.
    fn count_mem_flags(&self, caller: &ir::Function) -> usize {
        let set = &caller.dfg.mem_flags;
        // Cranelift does not expose the size of the set, but it is dense and only grows.
        let mut low = self.mem_flags_count.get();
        let mut high = MEM_FLAGS_CAPACITY;
        while low < high {
            let middle = low + (high - low) / 2;
            let flags = u32::try_from(middle)
                .ok()
                .and_then(ir::MemFlags::with_number);
            if flags.is_some_and(|flags| set.is_valid(flags)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.mem_flags_count.set(low);
        low
    }

    /// Returns how many flags may be added to the present `count`, beside those of the callee.
    fn other_mem_flags(
        &self,
        caller: &ir::Function,
        callee: CalleeView<'_>,
        count: usize,
    ) -> usize {
        // The engine copies structures passed by value with flags of its own.
        let copies_structures = callee.facts.structures > 0;
        let used = callee.facts.mem_flags.len();
        let promises = &self.promises;
        promises.most_flags_added(caller, count, used, copies_structures)
            + usize::from(copies_structures)
    }

    /// Returns the number of flags of `callee` that `caller` lacks.
    fn count_missing_mem_flags(&self, caller: &ir::Function, callee: CalleeView<'_>) -> usize {
        let used = callee.facts.mem_flags.iter();
        let missing = used.filter_map(|&flags| self.missing_mem_flags(caller, callee.func, flags));
        missing.collect::<FxHashSet<_>>().len()
    }

    /// Returns the most flags that `caller` has after translating `callee`, for debug builds.
    fn most_mem_flags(&self, caller: &ir::Function, callee: CalleeView<'_>) -> usize {
        let count = self.count_mem_flags(caller);
        count
            + self.other_mem_flags(caller, callee, count)
            + self.count_missing_mem_flags(caller, callee)
    }

    /// Returns the flags that `caller` lacks for `flags` of `callee`: without their region, and the
    /// user's number of that.
    fn missing_mem_flags(
        &self,
        caller: &ir::Function,
        callee: &ir::Function,
        flags: ir::MemFlags,
    ) -> Option<(ir::MemFlagsData, Option<u32>)> {
        let data = self.promises.flags_in_copy(callee.dfg.mem_flags[flags]);
        let plain = data.with_alias_region(None);
        let user_id = data.alias_region();
        let user_id = user_id.map(|region| callee.dfg.alias_regions[region].user_id);
        let region = user_id.map(|user_id| caller.dfg.alias_regions.get(user_id));
        let is_there = match region {
            Some(None) => false,
            Some(region) => caller
                .dfg
                .mem_flags
                .get(plain.with_alias_region(region))
                .is_some(),
            None => caller.dfg.mem_flags.get(plain).is_some(),
        };
        (!is_there).then_some((plain, user_id))
    }

    /// Translates all entities that `callee` uses to `caller`, and adds the missing ones.
    ///
    /// # Errors
    ///
    /// None after [`CallerEntities::check`]. If its count was wrong, a table is full, and the
    /// caller then has unused entities.
    pub(super) fn translate(
        &mut self,
        caller: &mut ir::Function,
        callee: &Callee<'_>,
        shares_vmctx: bool,
    ) -> Result<(), Refusal> {
        let most = cfg!(debug_assertions).then(|| self.most_mem_flags(caller, callee.view()));
        let result = self.try_translate(caller, callee, shares_vmctx);
        debug_assert!(
            result.is_ok() && most.is_none_or(|most| self.count_mem_flags(caller) <= most),
            "the room for memory flags was counted wrongly"
        );
        result
    }

    fn try_translate(
        &mut self,
        caller: &mut ir::Function,
        callee: &Callee<'_>,
        shares_vmctx: bool,
    ) -> Result<(), Refusal> {
        self.promises.prepare(caller)?;
        let key = (callee.tables().facts.id, shares_vmctx);
        if self.maps.contains_key(&key) {
            return Ok(());
        }
        if callee.tables().facts.structures > 0 {
            let flags = caller.dfg.mem_flags.insert(struct_args::flags());
            flags.map_err(|_| Refusal::MemFlagsFull)?;
        }
        let mut translation = Translation {
            caller,
            callee: callee.func,
            tables: callee.tables(),
            signatures: &mut self.signatures,
            functions: &mut self.functions,
            globals: &mut self.globals,
            immediates: &mut self.immediates,
            promises: &self.promises,
            is_full: false,
            maps: EntityMaps::default(),
        };
        translation.run(shares_vmctx);
        if translation.is_full {
            return Err(Refusal::MemFlagsFull);
        }
        self.maps.insert(key, translation.maps);
        Ok(())
    }

    /// Returns the translation of `callee`, which was made by [`CallerEntities::translate`].
    pub(super) fn maps(&self, callee: &Callee<'_>, shares_vmctx: bool) -> &EntityMaps {
        &self.maps[&(callee.tables().facts.id, shares_vmctx)]
    }
}

/// The limit of linear search: both the number of searches before the index is built, and the size
/// of the largest table that is searched linearly. Most callers have few entities, and callees that
/// use few.
const COMPARED: usize = 16;

/// Finds entities of one kind by content, filled when there is much to find.
struct ContentIndex<K> {
    by_hash: FxHashMap<u64, K>,
    /// The number of the caller's entities that were indexed.
    indexed: usize,
    /// The number of linear searches.
    compared: usize,
}

impl<K> Default for ContentIndex<K> {
    fn default() -> Self {
        ContentIndex {
            by_hash: FxHashMap::default(),
            indexed: 0,
            compared: 0,
        }
    }
}

impl<K: EntityRef> ContentIndex<K> {
    fn clear(&mut self) {
        self.by_hash.clear();
        self.indexed = 0;
        self.compared = 0;
    }

    /// Finds an entity of `map` equal to `data`, or adds it.
    ///
    /// Two contents with the same hash are rare enough that the second is
    /// simply not shared.
    fn find_or_add<V>(
        &mut self,
        map: &mut PrimaryMap<K, V>,
        data: &V,
        hash: impl Fn(&V) -> u64,
        same: impl Fn(&V, &V) -> bool,
        add: impl FnOnce() -> V,
    ) -> K {
        if self.compared < COMPARED && map.len() <= COMPARED {
            self.compared += 1;
            let equal = map.iter().find(|(_, other)| same(other, data));
            return match equal.map(|(key, _)| key) {
                Some(key) => key,
                None => map.push(add()),
            };
        }
        while self.indexed < map.len() {
            let key = K::new(self.indexed);
            self.by_hash.entry(hash(&map[key])).or_insert(key);
            self.indexed += 1;
        }
        if let Some(&key) = self.by_hash.get(&hash(data))
            && same(&map[key], data)
        {
            return key;
        }
        map.push(add())
    }
}

fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = FxHasher::default();
    value.hash(&mut hasher);
    hasher.finish()
}

struct Translation<'a> {
    caller: &'a mut ir::Function,
    callee: &'a ir::Function,
    tables: &'a Tables,
    signatures: &'a mut ContentIndex<ir::SigRef>,
    functions: &'a mut ContentIndex<ir::FuncRef>,
    globals: &'a mut ContentIndex<ir::GlobalValue>,
    immediates: &'a mut ContentIndex<ir::Immediate>,
    promises: &'a CallerPromises,
    /// Whether the caller's table was too full for some flags.
    is_full: bool,
    maps: EntityMaps,
}

impl Translation<'_> {
    fn run(&mut self, shares_vmctx: bool) {
        let used = &self.tables.used;
        self.maps.mem_flags = self.map_used(&self.tables.facts.mem_flags, Self::mem_flags);
        self.maps.signatures = self.map_used(&used.signatures.list, Self::signature);
        self.maps.functions = self.map_used(&used.functions.list, Self::function);
        self.maps.constants = self.map_used(&used.constants.list, |this, constant| {
            let data = this.callee.dfg.constants.get(constant).clone();
            this.caller.dfg.constants.insert(data)
        });
        self.maps.immediates = self.map_used(&used.immediates.list, |this, immediate| {
            let data = &this.callee.dfg.immediates[immediate];
            this.immediates.find_or_add(
                &mut this.caller.stencil.dfg.immediates,
                data,
                |data| hash_of(data),
                |a, b| a == b,
                || data.clone(),
            )
        });
        self.maps.globals =
            smallvec![ir::GlobalValue::reserved_value(); self.callee.global_values.len()];
        for &global in &used.globals.list {
            self.global(global, shares_vmctx);
        }
        for ty in self.callee.dfg.dynamic_types.keys() {
            let translated = self.dynamic_type(ty);
            self.maps.dynamic_types.push(translated);
        }
    }

    fn map_used<K: EntityRef + ReservedValue>(
        &mut self,
        used: &[K],
        mut translate: impl FnMut(&mut Self, K) -> K,
    ) -> Map<K> {
        let len = used.iter().map(|k| k.index() + 1).max().unwrap_or(0);
        let mut map = smallvec![K::reserved_value(); len];
        for &entity in used {
            map[entity.index()] = translate(self, entity);
        }
        map
    }

    fn mem_flags(&mut self, flags: ir::MemFlags) -> ir::MemFlags {
        let data = self.callee.dfg.mem_flags[flags];
        let mut data = self.promises.flags_in_copy(data);
        if let Some(region) = data.alias_region() {
            let region = &self.callee.dfg.alias_regions[region];
            let regions = &mut self.caller.dfg.alias_regions;
            // Only a new region needs a copy of its description.
            let existing = regions.get(region.user_id);
            let translated = existing.unwrap_or_else(|| regions.insert(region.clone()));
            data.set_alias_region(Some(translated));
        }
        let translated = self.caller.dfg.mem_flags.insert(data);
        self.is_full |= translated.is_err();
        translated.unwrap_or(ir::MemFlags::reserved_value())
    }

    fn signature(&mut self, sig_ref: ir::SigRef) -> ir::SigRef {
        let data = &self.callee.dfg.signatures[sig_ref];
        self.signatures.find_or_add(
            &mut self.caller.stencil.dfg.signatures,
            data,
            |sig| hash_of(sig),
            |a, b| a == b,
            || data.clone(),
        )
    }

    fn name(&mut self, name: &ExternalName) -> ExternalName {
        match name {
            ExternalName::User(name_ref) => {
                let name = self.callee.params.user_named_funcs()[*name_ref].clone();
                ExternalName::User(self.caller.declare_imported_user_function(name))
            }
            other => other.clone(),
        }
    }

    fn function(&mut self, func_ref: ir::FuncRef) -> ir::FuncRef {
        let data = &self.callee.dfg.ext_funcs[func_ref];
        let translated = ir::ExtFuncData {
            name: self.name(&data.name),
            signature: self.maps.signatures[data.signature.index()],
            colocated: data.colocated,
            patchable: data.patchable,
        };
        // Several references may have equal signatures of their own.
        let dfg = &mut self.caller.stencil.dfg;
        let signatures = &dfg.signatures;
        let signature_of = |func: &ir::ExtFuncData| signatures.get(func.signature);
        self.functions.find_or_add(
            &mut dfg.ext_funcs,
            &translated,
            |func| {
                hash_of((
                    &func.name,
                    func.colocated,
                    func.patchable,
                    signature_of(func),
                ))
            },
            |a, b| {
                a.name == b.name
                    && a.colocated == b.colocated
                    && a.patchable == b.patchable
                    && signature_of(a) == signature_of(b)
            },
            || translated.clone(),
        )
    }

    fn global(&mut self, global: ir::GlobalValue, shares_vmctx: bool) {
        if self.tables.from_vmctx[global.index()] && !shares_vmctx {
            return;
        }
        // From the root outwards, so that each base is translated first.
        let mut chain: SmallVec<[ir::GlobalValue; 8]> = SmallVec::new();
        let mut current = global;
        while self.maps.globals[current.index()].is_reserved_value() {
            chain.push(current);
            match &self.callee.global_values[current] {
                GlobalValueData::Load { base, .. } | GlobalValueData::IAddImm { base, .. } => {
                    current = *base;
                }
                _ => break,
            }
        }
        for global in chain.into_iter().rev() {
            let mut data = self.callee.global_values[global].clone();
            match &mut data {
                GlobalValueData::Load { base, flags, .. } => {
                    *base = self.maps.globals[base.index()];
                    let wanted = self.callee.dfg.mem_flags[*flags];
                    *flags = self.maps.mem_flags[flags.index()];
                    let promised = self.promises.globals();
                    if is_promising(wanted)
                        && let Some(same) = same_promise(self.caller, promised, wanted, &data)
                    {
                        self.maps.globals[global.index()] = same;
                        continue;
                    }
                }
                GlobalValueData::IAddImm { base, .. } => {
                    *base = self.maps.globals[base.index()];
                }
                GlobalValueData::Symbol { name, .. } => *name = self.name(&name.clone()),
                GlobalValueData::VMContext | GlobalValueData::DynScaleTargetConst { .. } => {}
            }
            self.maps.globals[global.index()] = self.globals.find_or_add(
                &mut self.caller.stencil.global_values,
                &data,
                |data| hash_of(data),
                |a, b| a == b,
                || data.clone(),
            );
        }
    }

    /// Translates a dynamic type. There are few, so they are compared one by one.
    fn dynamic_type(&mut self, ty: ir::DynamicType) -> ir::DynamicType {
        let data = &self.callee.dfg.dynamic_types[ty];
        let translated = ir::DynamicTypeData {
            base_vector_ty: data.base_vector_ty,
            dynamic_scale: self.maps.globals[data.dynamic_scale.index()],
        };
        let types = &mut self.caller.stencil.dfg.dynamic_types;
        let existing = types.iter().find(|(_, data)| **data == translated);
        match existing.map(|(ty, _)| ty) {
            Some(existing) => existing,
            None => types.push(translated),
        }
    }
}

/// Checks the scales of dynamic types. A value has only its type, not the entity that declares the
/// scale, so one type cannot have two scales in a function.
fn check_dynamic_types(
    caller: &ir::Function,
    callee: CalleeView<'_>,
    shares_vmctx: bool,
) -> Result<(), Refusal> {
    let scale_of =
        |func: &ir::Function, global: ir::GlobalValue| match func.global_values.get(global) {
            Some(GlobalValueData::DynScaleTargetConst { vector_type }) => Some(*vector_type),
            _ => None,
        };
    for (ty, data) in callee.func.dfg.dynamic_types.iter() {
        if !shares_vmctx && callee.facts.vmctx_scales.contains(&data.dynamic_scale) {
            return Err(Refusal::VmctxGlobal(data.dynamic_scale));
        }
        let scale = scale_of(callee.func, data.dynamic_scale);
        let conflicts = caller.dfg.dynamic_types.values().any(|other| {
            other.base_vector_ty == data.base_vector_ty
                && (scale.is_none() || scale_of(caller, other.dynamic_scale) != scale)
        });
        if conflicts {
            return Err(Refusal::DynamicType(ty));
        }
    }
    Ok(())
}
