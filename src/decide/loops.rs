//! The number of loops around each block.
//!
//! A loop is a natural loop: a header that dominates the source of an edge back to it, and all
//! blocks that reach this edge without passing the header. Cranelift's `LoopAnalysis` finds the
//! same loops, but assumes that every block is reachable: an unreachable block that branches into
//! two loops makes it loop forever. A caller has such blocks until clean-up, and the policy decides
//! before that.

use super::search_tree::SearchTree;
use crate::body::branches;
use crate::panics;
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{Block, Function};
use cranelift_codegen::packed_option::PackedOption;

/// The loops of one function.
///
/// ```
/// use cranelift_inliner::decide::Loops;
///
/// let text = "function %f(i32) {
/// block0(v0: i32):
///     jump block1
/// block1:
///     brif v0, block1, block2
/// block2:
///     return
/// }";
/// let func = cranelift_reader::parse_functions(text)?.remove(0);
/// let loops = Loops::of(&func);
/// let depths: Vec<u32> = func.layout.blocks().map(|block| loops.depth(block)).collect();
/// assert_eq!(depths, [0, 1, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Loops {
    depth: SecondaryMap<Block, u32>,
}

impl Loops {
    /// Finds the loops of `func`, in time nearly linear in its edges. Unreachable blocks are in no
    /// loop. A function that is malformed has no loops.
    pub fn of(func: &Function) -> Self {
        panics::catch(|| Self::find(func)).unwrap_or_default()
    }

    /// Panics where Cranelift's accessors do.
    fn find(func: &Function) -> Self {
        // Tables take memory up to the highest number of a block that a branch names.
        if !goes_to_blocks(func) {
            return Loops::default();
        }
        let tree = SearchTree::new(func);
        if !tree.has_back_edges {
            return Loops::default();
        }
        match tree.depths() {
            Some(depth) => Loops { depth },
            None => Self::of_irreducible(func),
        }
    }

    /// Finds the loops with a dominator tree, which costs much more.
    fn of_irreducible(func: &Function) -> Self {
        let cfg = ControlFlowGraph::with_function(func);
        let domtree = DominatorTree::with_function(func, &cfg);
        let mut forest = Forest::default();
        let mut is_header: SecondaryMap<Block, bool> = SecondaryMap::new();
        let mut work = Vec::new();
        // A loop comes before those around it.
        for &header in domtree.cfg_postorder() {
            let sources = predecessors(&cfg, &domtree, header);
            work.extend(sources.filter(|&from| domtree.block_dominates(header, from)));
            is_header[header] = !work.is_empty();
            while let Some(block) = work.pop() {
                let outermost = forest.outermost(block);
                if outermost != header {
                    debug_assert!(domtree.block_dominates(header, outermost));
                    forest.put_into(outermost, header);
                    work.extend(predecessors(&cfg, &domtree, outermost));
                }
            }
        }
        let mut depth: SecondaryMap<Block, u32> = SecondaryMap::new();
        for &block in domtree.cfg_rpo() {
            let around = forest.parent[block].expand();
            depth[block] = around.map_or(0, |header| depth[header]) + u32::from(is_header[block]);
        }
        Loops { depth }
    }

    /// Returns the number of loops around `block`; 0 if it is unreachable.
    pub fn depth(&self, block: Block) -> u32 {
        self.depth[block]
    }
}

/// Returns the reachable predecessors of `block`.
fn predecessors<'a>(
    cfg: &'a ControlFlowGraph,
    domtree: &'a DominatorTree,
    block: Block,
) -> impl Iterator<Item = Block> + 'a {
    let all = cfg.pred_iter(block).map(|from| from.block);
    all.filter(|&from| domtree.is_reachable(from))
}

fn goes_to_blocks(func: &Function) -> bool {
    let ends = func
        .layout
        .blocks()
        .map(|block| func.layout.last_inst(block));
    let mut ends = ends.flatten().filter(|&last| func.dfg.inst_is_valid(last));
    ends.all(|last| {
        let mut calls = branches(func, last).iter();
        calls.all(|call| {
            func.layout
                .is_block_inserted(call.block(&func.dfg.value_lists))
        })
    })
}

/// Which loop each block is in, with shortcuts to the outermost loop.
#[derive(Default)]
struct Forest {
    /// The header of the innermost loop around a block; of a header, that of the next loop.
    parent: SecondaryMap<Block, PackedOption<Block>>,
    /// A block nearer to the outermost header, or that header.
    shortcut: SecondaryMap<Block, PackedOption<Block>>,
}

impl Forest {
    fn put_into(&mut self, block: Block, header: Block) {
        self.parent[block] = header.into();
        self.shortcut[block] = header.into();
    }

    /// Returns the header of the outermost loop around `block` so far; itself, where there is none.
    fn outermost(&mut self, block: Block) -> Block {
        let mut found = block;
        while let Some(next) = self.shortcut[found].expand() {
            found = next;
        }
        let mut current = block;
        while let Some(next) = self.shortcut[current].expand() {
            self.shortcut[current] = found.into();
            current = next;
        }
        // The outermost header is its own end and has no shortcut.
        self.shortcut[found] = None.into();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelift_codegen::loop_analysis::LoopAnalysis;

    fn parse(text: &str) -> Function {
        cranelift_reader::parse_functions(text).unwrap().remove(0)
    }

    fn depths(func: &Function) -> Vec<u32> {
        let loops = Loops::of(func);
        func.layout
            .blocks()
            .map(|block| loops.depth(block))
            .collect()
    }

    #[test]
    fn unreachable_blocks_are_in_no_loop_and_make_none() {
        let func = parse(
            "function %f(i32) {
             block0(v0: i32):
                 jump block1
             block9:
                 brif v0, block4, block3
             block1:
                 brif v0, block2, block5
             block2:
                 brif v0, block1, block3
             block3:
                 jump block2
             block4:
                 jump block5
             block5:
                 jump block4
             block6:
                 brif v0, block6, block1
             }",
        );
        assert_eq!(depths(&func), [0, 0, 1, 2, 2, 1, 1, 0]);
    }

    #[test]
    fn a_branch_to_no_block_is_no_allocation() {
        let mut func = parse("function %f() {\nblock0:\n    jump block0\n}");
        let entry = func.layout.entry_block().unwrap();
        let jump = func.layout.first_inst(entry).unwrap();
        let pool = &mut func.stencil.dfg.value_lists;
        let far = Block::from_u32(u32::MAX - 1);
        for call in func.stencil.dfg.insts[jump].branch_destination_mut(
            &mut func.stencil.dfg.jump_tables,
            &mut func.stencil.dfg.exception_tables,
        ) {
            call.set_block(far, pool);
        }
        assert_eq!(depths(&func), [0]);
    }

    /// Random graphs, reducible or not, without unreachable blocks.
    #[test]
    fn reachable_loops_are_those_that_cranelift_finds() {
        let mut seed = 1_u32;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize % below
        };
        let mut deepest = 0;
        for _ in 0..500 {
            let blocks = 2 + random(14);
            let mut text = "function %f(i32) {\nblock0(v0: i32):\n".to_owned();
            for block in 1..blocks {
                // Mostly back, so that loops nest.
                let furthest = if random(3) == 0 { blocks - 1 } else { block };
                let target = 1 + random(furthest);
                text += &format!("    brif v0, block{block}, block{target}\nblock{block}:\n");
            }
            let (one, other) = (1 + random(blocks - 1), 1 + random(blocks - 1));
            text += &format!("    brif v0, block{one}, block{other}\n}}");
            let func = parse(&text);
            let cfg = ControlFlowGraph::with_function(&func);
            let domtree = DominatorTree::with_function(&func, &cfg);
            let mut theirs = LoopAnalysis::new();
            // Every block is reachable here.
            #[expect(clippy::disallowed_methods)]
            theirs.compute(&func, &cfg, &domtree);
            let theirs = func
                .layout
                .blocks()
                .map(|block| theirs.loop_level(block).level());
            let theirs: Vec<u32> = theirs.map(|level| u32::try_from(level).unwrap()).collect();
            assert_eq!(depths(&func), theirs, "{text}");
            deepest = theirs.into_iter().fold(deepest, u32::max);
        }
        assert!(deepest > 3);
    }
}
