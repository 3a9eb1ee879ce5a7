//! The pass through its public interface: inlined calls, obstacles, and the report; and the result
//! does not depend on threads or on the order of the input.

mod determinism;
mod directives;
mod exhaustion;
mod facts;
mod failures;
mod fallback;
mod frames;
mod guards;
mod kept_calls;
mod limits;
mod linkage;
mod naming;
mod plan;
mod policies;
#[cfg(feature = "profile")]
mod profile;
mod recorded;
mod recursion;
mod report;
mod resolved;
mod result_facts;
mod scope;
mod shapes;
mod shard_bodies;
mod shards;
mod shipped_modules;
mod site_names;
mod sizes;
mod slot_facts;
mod stream;
mod stream_memory;
mod stream_waits;
mod support;
mod throwing;
