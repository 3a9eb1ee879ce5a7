//! Summaries as bytes: a magic number, a version, the length and the checksum of the rest, and the
//! rest in postcard's format.

use super::hash::checksum;
use super::summary::{Passed, ShardSummary, function_flags, site_flags};
use thiserror::Error;

/// The first bytes of a summary.
const MAGIC: [u8; 8] = *b"clif-sum";

/// The version of the format that is written, and the only one that is read: summaries are remade
/// with the tool.
const VERSION: u32 = 4;

const HEADER_BYTES: usize = MAGIC.len() + 4 + 8 + 8;

/// Why bytes are not a summary.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SummaryError {
    /// They do not begin as a summary does.
    #[error("this is not a summary")]
    NoSummary,
    /// They are a summary of another version.
    #[error("this summary is of version {0}, and only version {VERSION} can be read")]
    Version(u32),
    /// There are fewer or more bytes than the summary should have.
    #[error("the summary should have {expected} bytes, and has {found}")]
    Length {
        /// The bytes that it should have.
        expected: u64,
        /// The bytes that are there.
        found: u64,
    },
    /// The bytes were changed.
    #[error("the summary is damaged: its checksum is wrong")]
    Checksum,
    /// The bytes are not the encoding of a summary.
    #[error("the summary cannot be decoded: {0}")]
    Encoding(String),
    /// The parts of the summary contradict each other.
    #[error("the summary contradicts itself: {0}")]
    Inconsistent(&'static str),
}

impl ShardSummary {
    /// Returns the summary as bytes, the same ones for the same summary.
    pub fn to_bytes(&self) -> Vec<u8> {
        let encoded = postcard::to_allocvec(self);
        debug_assert!(encoded.is_ok(), "memory has no bound: {encoded:?}");
        let encoded = encoded.unwrap_or_default();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + encoded.len());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((encoded.len() as u64).to_le_bytes());
        bytes.extend(checksum(&encoded).to_le_bytes());
        bytes.extend(encoded);
        bytes
    }

    /// Reads a summary from the bytes of [`to_bytes`](Self::to_bytes). Any bytes are safe.
    ///
    /// # Errors
    ///
    /// See [`SummaryError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SummaryError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(SummaryError::NoSummary)?;
        let short = || SummaryError::Length {
            expected: HEADER_BYTES as u64,
            found: bytes.len() as u64,
        };
        let (version, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(SummaryError::Version(version));
        }
        let (length, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (sum, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let length = u64::from_le_bytes(*length);
        if length != rest.len() as u64 {
            return Err(SummaryError::Length {
                expected: length.saturating_add(HEADER_BYTES as u64),
                found: bytes.len() as u64,
            });
        }
        if u64::from_le_bytes(*sum) != checksum(rest) {
            return Err(SummaryError::Checksum);
        }
        let encoding = |error: postcard::Error| SummaryError::Encoding(error.to_string());
        let (mut summary, behind): (ShardSummary, &[u8]) =
            postcard::take_from_bytes(rest).map_err(encoding)?;
        if !behind.is_empty() {
            return Err(SummaryError::Inconsistent("there are bytes behind its end"));
        }
        summary.complete().map_err(SummaryError::Inconsistent)?;
        Ok(summary)
    }

    /// Checks all numbers in the summary, and finds where the parts of each function and site are.
    pub(super) fn complete(&mut self) -> Result<(), &'static str> {
        if !self.names.are_complete() {
            return Err("a name is not there");
        }
        let names = self.names.len();
        let is_name = |index: u32| (index as usize) < names;
        let is_signature = |index: u32| (index as usize) < self.signatures.len();
        let mut sites = self.sites.iter_mut();
        let (mut site_count, mut passed_count, mut branch_count) = (0u32, 0u32, 0u32);
        let (mut parameter_count, mut result_count, mut address_count) = (0u32, 0u32, 0u32);
        let mut defined = vec![false; names];
        let too_many = "it has too many parts";
        for function in &mut self.functions {
            if !is_name(function.name) {
                return Err("a function has a name that is not there");
            }
            for (first, end, count) in [
                (
                    &mut function.first_parameter,
                    &mut parameter_count,
                    function.parameters,
                ),
                (
                    &mut function.first_result,
                    &mut result_count,
                    function.results,
                ),
                (
                    &mut function.first_address,
                    &mut address_count,
                    function.addresses,
                ),
                (&mut function.first_site, &mut site_count, function.sites),
            ] {
                *first = *end;
                *end = end.checked_add(count).ok_or(too_many)?;
            }
            if !is_signature(function.signature) {
                return Err("a function has a signature that is not there");
            }
            if let Some(defined) = defined.get_mut(function.name as usize)
                && std::mem::replace(defined, true)
            {
                return Err("two functions have the same name");
            }
            if function.inline > 2 || function.flags & !function_flags::ALL != 0 {
                return Err("a function has unknown attributes");
            }
            let parameters = function.parameters;
            for _ in 0..function.sites {
                let site = sites
                    .next()
                    .ok_or("a function has more calls than there are")?;
                if !is_name(site.callee) || !is_signature(site.signature) {
                    return Err("a call has a callee that is not there");
                }
                if site.flags & !site_flags::ALL != 0 {
                    return Err("a call has unknown properties");
                }
                site.first_passed = passed_count;
                passed_count = passed_count
                    .checked_add(site.passed.into())
                    .ok_or(too_many)?;
                site.first_result = branch_count;
                branch_count = branch_count
                    .checked_add(site.results.into())
                    .ok_or(too_many)?;
                let range = site.first_passed as usize..passed_count as usize;
                let passed = self
                    .passed
                    .get(range)
                    .ok_or("a call passes more than there is")?;
                let is_parameter = |value: &Passed| match value {
                    Passed::Parameter(index) => *index < parameters,
                    _ => true,
                };
                if !passed.iter().all(is_parameter) {
                    return Err("a call passes a parameter that is not there");
                }
                // Cranelift has no slot of the last number.
                let is_slot =
                    |value: &Passed| !matches!(value, Passed::Slot { slot: u32::MAX, .. });
                if !passed.iter().all(is_slot) {
                    return Err("a call passes a slot that cannot be there");
                }
            }
        }
        if sites.next().is_some() {
            return Err("there are calls of no function");
        }
        if passed_count as usize != self.passed.len()
            || branch_count as usize != self.branches.len()
        {
            return Err("there are values of no call");
        }
        if parameter_count as usize != self.parameters.len()
            || result_count as usize != self.results.len()
            || address_count as usize != self.addresses.len()
        {
            return Err("there are facts of no function");
        }
        if !self.addresses.iter().all(|&name| is_name(name)) {
            return Err("a function takes an address that is not there");
        }
        if !self.counts.iter().all(|&(site, _)| site < site_count) {
            return Err("a call that is not there was counted");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::{Always, CostModel};
    use crate::pass::Inliner;
    use crate::program::Program;
    use crate::shard::{SummarizeOptions, thin};

    /// Numbers are as large as they can be, in turn.
    #[test]
    fn any_numbers_are_a_summary_or_an_error() {
        let text = "function %main(i64) -> i64 {
            ss0 = explicit_slot 8
            fn0 = %twice(i64) -> i64
            fn1 = %read(i64) -> i64
        block0(v0: i64):
            v1 = iconst.i64 1
            v2 = call fn0(v1)
            v3 = call fn0(v0)
            v4 = stack_addr.i64 ss0
            store v3, v4
            v5 = call fn1(v4)
            return v5
        }
        function %twice(i64) -> i64 {
        block0(v0: i64):
            v1 = iadd v0, v0
            brif v1, block1, block2
        block1:
            return v0
        block2:
            return v1
        }
        function %read(i64) -> i64 {
        block0(v0: i64):
            v1 = load.i64 v0
            return v1
        }";
        let program = Program::from_clif(text, "test").unwrap_or_else(|error| panic!("{error}"));
        let summary = ShardSummary::summarize(&program, "test", &SummarizeOptions::default());
        let bytes = summary.to_bytes();
        let rest = &bytes[HEADER_BYTES..];
        let (mut refused, mut read) = (0, 0);
        for place in 0..rest.len() {
            for number in [
                &[0xff, 0xff, 0xff, 0xff, 0x0f][..],
                &[0xff, 0xff, 0x03],
                &[0x7f],
            ] {
                let changed = [&rest[..place], number, &rest[place + 1..]].concat();
                let mut bytes = bytes[..MAGIC.len() + 4].to_vec();
                bytes.extend((changed.len() as u64).to_le_bytes());
                bytes.extend(checksum(&changed).to_le_bytes());
                bytes.extend(changed);
                let Ok(summary) = ShardSummary::from_bytes(&bytes) else {
                    refused += 1;
                    continue;
                };
                read += 1;
                for inliner in [Inliner::new(Always), Inliner::new(CostModel::default())] {
                    drop(thin(std::slice::from_ref(&summary), None, &inliner));
                }
            }
        }
        assert!(refused > 100 && read > 100, "{refused} and {read}");
    }
}
