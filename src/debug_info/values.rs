//! Variables of the compilation unit.

use super::labels::{LabelVariable, Places};
use super::scopes::Scopes;
use super::sections::Placed;
use super::unit::UnitWriter;
use super::variables::VariableType;
use gimli::write::{AttributeValue, Expression, Location, LocationList, UnitEntryId};

impl UnitWriter<'_> {
    /// Adds the variables of value labels, each to the body that it belongs to. `entries` has the
    /// entry of each scope.
    pub(super) fn add_labels<'f>(
        &mut self,
        placed: &Placed<'f>,
        scopes: &Scopes<'f>,
        entries: &[UnitEntryId],
    ) {
        let function = placed.function;
        let (Some(schema), Some(labels)) = (self.info.labels, function.labels) else {
            return;
        };
        if labels.is_empty() {
            return;
        }
        let places = Places::new(self.info.isa, function);
        let mut variables: Vec<(usize, u32, &_, LabelVariable)> = Vec::new();
        for labelled in labels.iter() {
            let scope = scopes.of_location(function.locations, labelled.body);
            let (Some(scope), Some(ty)) = (scope, labelled.ty) else {
                continue;
            };
            let name = scopes.scopes[scope].function;
            if let Some(variable) = schema.variable(name, labelled.label, ty) {
                variables.push((scope, labelled.label.as_u32(), labelled, variable));
            }
        }
        // Debuggers show parameters in the order of their entries.
        variables.sort_by_key(|(scope, label, ..)| (*scope, *label));
        for (scope, _, labelled, variable) in variables {
            let Some(&scope) = entries.get(scope) else {
                continue;
            };
            let tag = match variable.is_parameter {
                true => gimli::DW_TAG_formal_parameter,
                false => gimli::DW_TAG_variable,
            };
            let entry = self.dwarf.unit.add(scope, tag);
            self.set_string(entry, gimli::DW_AT_name, &variable.name);
            let ty = AttributeValue::UnitRef(self.ty(&variable.ty));
            self.set(entry, gimli::DW_AT_type, ty);
            let pieces = places
                .of(labelled)
                .into_iter()
                .map(|piece| Location::StartLength {
                    begin: placed.address(piece.range.start),
                    length: u64::from(piece.range.end - piece.range.start),
                    data: piece.place,
                });
            let pieces: Vec<Location> = pieces.collect();
            if !pieces.is_empty() {
                let list = self.dwarf.unit.locations.add(LocationList(pieces));
                let list = AttributeValue::LocationListRef(list);
                self.set(entry, gimli::DW_AT_location, list);
            }
        }
    }

    /// Adds the variables in keyed stack slots.
    pub(super) fn add_variables<'f>(
        &mut self,
        placed: &Placed<'f>,
        scopes: &mut Scopes<'f>,
        entries: &[UnitEntryId],
    ) {
        let compiled = placed.function.compiled;
        let (Some(schema), Some(top)) = (self.info.variables, compiled.frame_to_fp_offset()) else {
            return;
        };
        for slot in compiled.frame_slots() {
            for variable in slot
                .key
                .map(|key| schema.variables(key))
                .unwrap_or_default()
            {
                let from_pointer =
                    i64::from(slot.offset) + i64::from(variable.offset) - i64::from(top);
                let ty = AttributeValue::UnitRef(self.ty(&variable.ty));
                let scopes = scopes.of_variable(&placed.function, &slot, &variable);
                for &scope in scopes.iter().filter_map(|&scope| entries.get(scope)) {
                    let entry = self.dwarf.unit.add(scope, gimli::DW_TAG_variable);
                    self.set_string(entry, gimli::DW_AT_name, &variable.name);
                    self.set(entry, gimli::DW_AT_type, ty.clone());
                    let mut place = Expression::new();
                    place.op_fbreg(from_pointer);
                    self.set(entry, gimli::DW_AT_location, AttributeValue::Exprloc(place));
                }
            }
        }
    }

    fn ty(&mut self, ty: &VariableType) -> UnitEntryId {
        if let Some(&entry) = self.types.get(ty) {
            return entry;
        }
        let root = self.dwarf.unit.root();
        let entry = self.dwarf.unit.add(root, gimli::DW_TAG_base_type);
        self.set_string(entry, gimli::DW_AT_name, &ty.name);
        let encoding = AttributeValue::Encoding(ty.encoding.dwarf());
        self.set(entry, gimli::DW_AT_encoding, encoding);
        self.set(
            entry,
            gimli::DW_AT_byte_size,
            AttributeValue::Data1(ty.size),
        );
        self.types.insert(ty.clone(), entry);
        entry
    }
}
