//! Programs in shards: inlining across units of compilation that are built apart.
//!
//! The work has three steps, in the shape of LLVM's ThinLTO. Only the second one sees the whole
//! program, and it reads no body:
//!
//! 1. [`ShardSummary::summarize`] describes the functions and calls of one shard: all that
//!    decisions depend on, and a hash of each body.
//! 2. [`thin`] decides about the calls of all shards, with the same policies as the pass, and gives
//!    each shard a [`ShardPlan`]: the calls to inline, the imports from other shards for that, and
//!    the functions that change their linkage.
//! 3. [`ShardPlan::link`] imports the bodies into a shard, and
//!    [`LinkedShard::run_and_compile`] inlines and compiles it.
//!
//! A summary and a plan have forms for files; `clif-inline` has a command for each step, and
//! `docs/SCALE.md` shows how build systems run them. A compiler with its functions in memory calls
//! the same steps:
//!
//! ```
//! use cranelift_inliner::backend;
//! use cranelift_inliner::decide::CostModel;
//! use cranelift_inliner::pass::Inliner;
//! use cranelift_inliner::program::Program;
//! use cranelift_inliner::shard::{ShardSummary, SummarizeOptions, thin};
//!
//! let main = Program::from_clif("
//! function %main(i32) -> i32 fast {
//!     fn0 = %square(i32) -> i32 fast
//! block0(v0: i32):
//!     v1 = call fn0(v0)
//!     return v1
//! }", "main.clif")?;
//! let square = Program::from_clif("
//! function %square(i32) -> i32 fast {
//! block0(v0: i32):
//!     v1 = imul v0, v0
//!     return v1
//! }", "square.clif")?;
//!
//! // One by one, wherever the shards are.
//! let options = SummarizeOptions::default();
//! let summaries = [
//!     ShardSummary::summarize(&main, "main.clif", &options),
//!     ShardSummary::summarize(&square, "square.clif", &options),
//! ];
//! // Once for the program.
//! let inliner = Inliner::new(CostModel::default());
//! let plans = thin(&summaries, None, &inliner)?.plans;
//! // One by one again.
//! let linked = plans[0].link(&main, |shard| (shard == "square.clif").then(|| square.clone()))?;
//! assert!(linked.missing().is_empty());
//! let isa = backend::target("host", &backend::TargetSettings::new())?;
//! let (inlined, compiled) = linked.run_and_compile(&inliner, &*isa)?;
//! assert!(inlined.sites().all(|site| site.inlined));
//! assert_eq!(compiled.iter().len(), 1, "%square is compiled in its own shard");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Names
//!
//! A function that is local to a shard is another one in each shard. Where another shard has to
//! call one, it becomes visible to the shards, as a hidden symbol, and gets a name with a hash in
//! it: `%helper` becomes `%helper_in_0123456789abcdef`. Where all its calls are inlined, it stays
//! local, and the shard that imports it gets a copy of its own if a call stays against the plan.
//! Data has no linkage in CLIF: a symbol of data must mean the same in all shards.
//!
//! # Differences to the pass
//!
//! A callee's size after its own calls were inlined is estimated, so decisions at the edge of a
//! threshold may differ from those of the pass over the whole program. Indirect calls whose target
//! becomes known are decided in the backend, among the functions that are there.

mod backend;
mod bodies;
mod body;
mod decisions;
mod error;
mod format;
mod hash;
mod index;
mod lines;
mod names;
mod needs;
mod owners;
mod parse;
mod passed;
mod print;
mod shard_plan;
mod stubs;
mod summarize;
mod summary;
mod tables;
mod thin;
mod write;

pub use backend::{LinkedShard, MissingImport, MissingReason};
pub use bodies::{BodiesError, ShardBodies, ShardFunctions};
pub use error::{LinkError, ThinError};
pub use format::SummaryError;
pub use parse::{ParseShardPlanError, ShardPlanProblem};
pub use shard_plan::{PlanText, ShardPlan};
pub use summarize::SummarizeOptions;
pub use summary::ShardSummary;
pub use thin::{Thin, thin, thin_each};
