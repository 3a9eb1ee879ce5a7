//! [`InliningModule`]: crate::module::InliningModule
//! [`Program`]: crate::program::Program
//! [`Inliner::stream`]: crate::pass::Inliner::stream
//! [`Inline::rules_out`]: crate::decide::Inline::rules_out
//! [`InliningModule::start`]: crate::module::InliningModule::start
//! [`OptimizeOptions`]: crate::cleanup::OptimizeOptions
//! [`BacktraceTable`]: crate::backtrace::BacktraceTable
//! [`BacktraceWalker`]: crate::backtrace::BacktraceWalker
//! [`inline_calls`]: crate::splice::inline_calls
//! [`inline_calls_with`]: crate::splice::inline_calls_with
//! [`Session`]: crate::splice::Session
//! [`CostModel`]: crate::decide::CostModel
//! [`LocationTable`]: crate::locations::LocationTable
//! [`SiteRecord`]: crate::pass::SiteRecord
//! [`RecordLevel`]: crate::pass::RecordLevel
//! [`Refusal`]: crate::splice::Refusal
//! [`Reason`]: crate::pass::Reason
//! [`Limits`]: crate::decide::Limits
//! [testing]: https://docs.rs/cranelift-inliner-testing
//! [profiles]: crate::profile
//! [plans]: crate::plan
//! [metadata]: crate::splice
//! [frames]: crate::frames
//! [performance]: https://docs.rs/crate/cranelift-inliner/latest/source/docs/PERFORMANCE.md
//! [modules]: https://docs.rs/crate/cranelift-inliner/latest/source/examples/modules/
//! [defects]: crate::splice::inline_calls
//!
// Where a link is defined twice the first one counts. So links lead to items here, and to files
// where the page is read as a file.
#![doc = include_str!("../docs/GUIDE.md")]
