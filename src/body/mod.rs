//! Small facts about one function body, shared by the modules that edit bodies.

mod alias;
mod cold;
mod common_formats;
mod definitions;
mod exceptions;
mod handler_addresses;
mod labels;
mod mentions;
mod signature;
mod size;
mod slot_overrun;
mod srcloc;
mod structure;
mod successors;
mod unreachable;

pub(crate) use alias::resolve_alias;
pub use cold::spread_cold;
pub(crate) use common_formats::{map_common, operands};
pub(crate) use definitions::{check_definitions, check_definitions_before};
pub(crate) use exceptions::{catches_all, has_default};
pub(crate) use handler_addresses::{HandlerAddresses, null_address};
pub(crate) use labels::{copy_labels, copy_labels_within, labels_of, move_labels};
pub(crate) use mentions::{Mention, for_each_mention};
pub(crate) use signature::has_signature;
pub(crate) use size::{ENTRIES_IN_ONE, code_size, frame_bytes, handler_copies_size, slot_bytes};
pub(crate) use slot_overrun::slot_overrun;
pub(crate) use srcloc::{for_each_label_srcloc, rebase_srclocs, relative_srcloc, set_srcloc};
pub(crate) use structure::{check_edges, check_params, check_structure};
pub(crate) use successors::{branches, branches_mut};
pub(crate) use unreachable::drop_unreachable_blocks;
