//! Plans of shards, and summaries, as text.

use super::lines::{self, quoted};
use super::names::NameRef;
use super::shard_plan::ShardPlan;
use super::summary::{
    FunctionSummary, Hint, Kind, Passed, ShardLinkage, ShardSummary, SiteSummary, function_flags,
    site_flags,
};
use crate::plan::plan_name;
use std::fmt;

impl fmt::Display for ShardPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        lines::begin(&mut text, &self.shard);
        for (name, change) in &self.changes {
            let new = change.name.as_ref().map(NameRef::of);
            lines::change(&mut text, change.visibility, NameRef::of(name), new);
        }
        for name in &self.never_throw {
            lines::never_throws(&mut text, NameRef::of(name));
        }
        for (shard, imports) in &self.imports {
            lines::from(&mut text, shard);
            for (name, import) in &imports.functions {
                let new = NameRef::of(&import.name);
                lines::import(
                    &mut text,
                    import.is_copy,
                    NameRef::of(name),
                    new,
                    import.hash,
                );
            }
            for (name, new) in &imports.names {
                lines::name(&mut text, NameRef::of(name), NameRef::of(new));
            }
        }
        write!(f, "{text}\n{}", self.plan)
    }
}

/// Writes the whole summary, for people.
impl fmt::Display for ShardSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "shard {}", quoted(&self.shard))?;
        for function in &self.functions {
            self.write_function(f, function)?;
            for (number, site) in (function.first_site..).zip(self.sites_of(function)) {
                self.write_site(f, number, site)?;
            }
        }
        Ok(())
    }
}

impl ShardSummary {
    fn text_of(&self, name: u32) -> String {
        let name = self.name(name).map(NameRef::function_name);
        name.map_or_else(String::new, |name| plan_name(&name))
    }

    fn write_function(
        &self,
        f: &mut fmt::Formatter<'_>,
        function: &FunctionSummary,
    ) -> fmt::Result {
        let signature = self.signatures.get(function.signature as usize);
        let linkage = match function.linkage {
            ShardLinkage::Exported => "exported",
            ShardLinkage::Local => "local",
            ShardLinkage::Interposable => "interposable",
            ShardLinkage::AvailableExternally => "available externally",
            ShardLinkage::Once => "kept once",
        };
        writeln!(
            f,
            "\nfunction {}{}\n  {linkage}, hash {:032x}",
            self.text_of(function.name),
            signature.map_or("", |signature| signature),
            function.hash
        )?;
        writeln!(
            f,
            "  {} instructions, {} blocks, {} loops, {} returns, {} calls, {} of them indirect",
            function.insts,
            function.blocks,
            function.loops,
            function.returns,
            function.calls,
            function.indirect_calls
        )?;
        if function.frame_bytes > 0 {
            let (slots, frame) = (function.slot_bytes, function.frame_bytes);
            writeln!(f, "  {slots} bytes of slots, {frame} in a caller's frame")?;
        }
        if function.own_slot_bytes > 0 {
            let (bytes, insts) = (function.own_slot_bytes, function.own_slot_insts);
            writeln!(
                f,
                "  {bytes} bytes of slots are its own, used by {insts} instructions"
            )?;
        }
        let attributes: Vec<&str> = [
            (function.inline == 1, "always inlined"),
            (function.inline == 2, "never inlined"),
            (function.has(function_flags::COLD), "cold"),
            (function.has(function_flags::FLATTEN), "flatten"),
            (function.has(function_flags::NO_COPIES), "cannot be copied"),
            (
                function.has(function_flags::NOT_WITH_HANDLERS),
                "not below handlers",
            ),
            (
                function.has(function_flags::NOT_AT_SAFEPOINTS),
                "not at safepoints",
            ),
            (
                function.has(function_flags::HAS_STACK_LIMIT),
                "has a stack limit",
            ),
            (
                function.has(function_flags::SWITCHES_STACKS),
                "switches stacks",
            ),
        ]
        .into_iter()
        .filter_map(|(on, text)| on.then_some(text))
        .collect();
        if !attributes.is_empty() {
            writeln!(f, "  {}", attributes.join(", "))?;
        }
        for (index, parameter) in self.parameters_of(function).iter().enumerate() {
            let uses = parameter.uses();
            writeln!(
                f,
                "  parameter {index}: {} uses; {} instructions, {} branches and {} indirect calls \
                 depend on it; its address is {:?}, {} accesses",
                uses.uses,
                uses.folded_insts,
                uses.folded_branches,
                uses.indirect_calls,
                uses.address,
                uses.accesses
            )?;
        }
        for (index, (constant, all)) in self.results_of(function).iter().enumerate() {
            writeln!(f, "  result {index}: constant on {constant} of {all} ways")?;
        }
        for &address in self.addresses_of(function) {
            writeln!(f, "  takes the address of {}", self.text_of(address))?;
        }
        Ok(())
    }

    fn write_site(
        &self,
        f: &mut fmt::Formatter<'_>,
        number: u32,
        site: &SiteSummary,
    ) -> fmt::Result {
        let kind = match site.kind {
            Kind::Call => "call",
            Kind::ReturnCall => "return_call",
            Kind::TryCall => "try_call",
        };
        write!(f, "  {kind} {}", self.text_of(site.callee))?;
        let passed: Vec<String> = self.passed_by(site).iter().map(passed_text).collect();
        write!(f, "({})", passed.join(", "))?;
        if site.loop_depth > 0 {
            write!(f, ", in {} loops", site.loop_depth)?;
        }
        for (flag, text) in [
            (site_flags::COLD_BLOCK, "cold"),
            (site_flags::FIRST_BLOCK, "in the first block"),
            (site_flags::HANDLERS, "with handlers"),
            (site_flags::CATCHES_ALL, "catches all"),
            (site_flags::SAFEPOINT, "safepoint"),
            (site_flags::PATCHABLE, "patchable"),
        ] {
            if site.has(flag) {
                write!(f, ", {text}")?;
            }
        }
        match site.hint {
            Hint::None => {}
            Hint::Always => write!(f, ", hint always")?,
            Hint::Never => write!(f, ", hint never")?,
            Hint::Cold => write!(f, ", hint cold")?,
            Hint::Flatten => write!(f, ", hint flatten")?,
        }
        let branches: u32 = self.branches_of(site).iter().sum();
        if branches > 0 {
            write!(f, ", decides {branches} branches")?;
        }
        let count = self.counts.binary_search_by_key(&number, |&(site, _)| site);
        if let Some(&(_, count)) = count.ok().and_then(|index| self.counts.get(index)) {
            write!(f, ", executed {count} times")?;
        }
        writeln!(f)
    }
}

fn passed_text(value: &Passed) -> String {
    match value {
        Passed::Unknown => "_".to_owned(),
        Passed::Int(bits) => bits.to_string(),
        Passed::Constant => "constant".to_owned(),
        Passed::FunctionAddress => "function".to_owned(),
        Passed::Address => "address".to_owned(),
        Passed::Parameter(index) => format!("parameter {index}"),
        Passed::Slot { slot, .. } => format!("slot {slot}"),
    }
}
