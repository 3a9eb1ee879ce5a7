//! The signatures of all shards.

use super::error::ThinError;
use super::summary::{ShardSummary, number};
use crate::panics;
use cranelift_codegen::ir::Function;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// A function without instructions for each different signature, and the numbers of each shard's
/// signatures.
pub(super) type Stubs = (Vec<Arc<Function>>, Vec<Vec<u32>>);

pub(super) fn stubs(summaries: &[ShardSummary]) -> Result<Stubs, ThinError> {
    let mut known: FxHashMap<&str, u32> = FxHashMap::default();
    let mut stubs = Vec::new();
    let mut numbers = Vec::with_capacity(summaries.len());
    for summary in summaries {
        let mut own = Vec::with_capacity(summary.signatures.len());
        for text in &summary.signatures {
            let number = match known.get(text.as_str()) {
                Some(&number) => number,
                None => {
                    let stub = parse_signature(text).ok_or_else(|| ThinError::Signature {
                        shard: summary.shard.clone(),
                        signature: text.clone(),
                    })?;
                    stubs.push(Arc::new(stub));
                    let number = number(stubs.len() - 1);
                    known.insert(text, number);
                    number
                }
            };
            own.push(number);
        }
        numbers.push(own);
    }
    Ok((stubs, numbers))
}

fn parse_signature(text: &str) -> Option<Function> {
    // A signature has none of these, and text of a summary is not to become more than one.
    if text.contains(['{', '}', '\n', ';', '%']) {
        return None;
    }
    let text = format!("function %s{text} {{\n}}");
    let parsed = panics::catch(|| cranelift_reader::parse_functions(&text)).ok()?;
    let mut functions = parsed.ok()?.into_iter();
    let function = functions.next()?;
    functions.next().is_none().then_some(function)
}
