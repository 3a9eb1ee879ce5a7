//! Descriptions of code: source locations, frame tables, DWARF, and the object files that hold
//! them.

#[cfg(feature = "all-arch")]
mod backtrace;
mod backtrace_registry;
#[cfg(feature = "dwarf")]
mod dwarf;
mod frames;
mod frames_by_hand;
mod frames_limits;
mod frames_model;
#[cfg(all(feature = "all-arch", feature = "object"))]
mod frames_object;
mod frames_walk;
#[cfg(feature = "all-arch")]
mod locations;
#[cfg(feature = "all-arch")]
mod locations_metadata;
#[cfg(all(feature = "object", feature = "all-arch"))]
mod object_file;
#[cfg(all(feature = "all-arch", feature = "dwarf"))]
mod slot_variables;
#[cfg(all(feature = "all-arch", feature = "dwarf"))]
mod unwinding;
#[cfg(all(feature = "all-arch", feature = "dwarf"))]
mod value_places;
