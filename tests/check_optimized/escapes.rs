use crate::support::Base;
pub const BASES: &[Base] = &[];
