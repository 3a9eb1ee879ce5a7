//! The loops of functions in which each loop has one entry, without a dominator tree.
//!
//! This is the test for reducible graphs of Tarjan (1974): from each source of an edge back to a
//! header, blocks are followed backward. If that leaves the header's descendants in the tree of a
//! depth-first search, the loop has another entry, and the header does not dominate the source.

use crate::body::branches;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Block, Function};

const NONE: u32 = u32::MAX;

/// A tree of a depth-first search from the entry block, with all edges between its blocks.
pub(super) struct SearchTree {
    /// The blocks in preorder. A block's place is its number.
    blocks: Vec<Block>,
    /// The number behind that of the last descendant of each block.
    ends: Vec<u32>,
    /// The sources of edges, by the block that they lead to.
    into: Vec<u32>,
    /// The index at which the edges into each block begin.
    starts: Vec<u32>,
    pub(super) has_back_edges: bool,
}

impl SearchTree {
    pub(super) fn new(func: &Function) -> Self {
        let mut numbers: SecondaryMap<Block, u32> = SecondaryMap::with_default(NONE);
        let mut tree = SearchTree {
            blocks: Vec::new(),
            ends: Vec::new(),
            into: Vec::new(),
            starts: Vec::new(),
            has_back_edges: false,
        };
        let mut edges: Vec<(u32, u32)> = Vec::new();
        let mut stack: Vec<(u32, usize)> = Vec::new();
        if let Some(entry) = func.layout.entry_block() {
            stack.push((tree.add(entry, &mut numbers), 0));
        }
        let pool = &func.dfg.value_lists;
        while let Some((number, next)) = stack.last_mut() {
            let number = *number;
            let last = func.layout.last_inst(tree.blocks[number as usize]);
            let calls = last.map_or(&[][..], |last| branches(func, last));
            let Some(call) = calls.get(*next) else {
                tree.ends[number as usize] = tree.len();
                stack.pop();
                continue;
            };
            *next += 1;
            let target = call.block(pool);
            if numbers[target] == NONE {
                stack.push((tree.add(target, &mut numbers), 0));
            }
            let to = numbers[target];
            // Its descendants are not all known yet if it is on the stack.
            tree.has_back_edges |= tree.ends[to as usize] == NONE && to <= number;
            edges.push((number, to));
        }
        tree.sort(&edges);
        tree
    }

    fn len(&self) -> u32 {
        u32::try_from(self.blocks.len()).unwrap_or(NONE)
    }

    fn add(&mut self, block: Block, numbers: &mut SecondaryMap<Block, u32>) -> u32 {
        let number = self.len();
        numbers[block] = number;
        self.blocks.push(block);
        self.ends.push(NONE);
        number
    }

    fn sort(&mut self, edges: &[(u32, u32)]) {
        self.starts = vec![0; self.blocks.len() + 1];
        for &(_, to) in edges {
            self.starts[to as usize + 1] += 1;
        }
        for index in 0..self.blocks.len() {
            self.starts[index + 1] += self.starts[index];
        }
        let mut next = self.starts.clone();
        self.into = vec![0; edges.len()];
        for &(from, to) in edges {
            let next = &mut next[to as usize];
            self.into[*next as usize] = from;
            *next += 1;
        }
    }

    fn edges_into(&self, number: u32) -> &[u32] {
        let start = self.starts[number as usize] as usize;
        let end = self.starts[number as usize + 1] as usize;
        &self.into[start..end]
    }

    /// Returns whether `number` is `of` or below it.
    fn descends(&self, number: u32, of: u32) -> bool {
        (of..self.ends[of as usize]).contains(&number)
    }

    /// Returns the number of loops around each block; `None` where a loop has several entries.
    pub(super) fn depths(&self) -> Option<SecondaryMap<Block, u32>> {
        let count = self.len();
        // The header of the innermost loop around each block; of a header, that of the next loop.
        let mut parent: Vec<u32> = vec![NONE; self.blocks.len()];
        // A block nearer to the outermost header so far, or that header.
        let mut shortcut: Vec<u32> = (0..count).collect();
        let mut is_header = vec![false; self.blocks.len()];
        let mut work = Vec::new();
        // Inner loops come before those around them.
        for header in (0..count).rev() {
            let sources = self.edges_into(header).iter().copied();
            work.extend(sources.filter(|&from| self.descends(from, header)));
            is_header[header as usize] = !work.is_empty();
            while let Some(block) = work.pop() {
                let outermost = outermost(&mut shortcut, block);
                if outermost == header {
                    continue;
                }
                if !self.descends(outermost, header) {
                    return None;
                }
                parent[outermost as usize] = header;
                shortcut[outermost as usize] = header;
                work.extend(self.edges_into(outermost));
            }
        }
        let mut depths: SecondaryMap<Block, u32> = SecondaryMap::new();
        // A header comes before the blocks of its loop.
        for (&block, (&header, &is_header)) in self.blocks.iter().zip(parent.iter().zip(&is_header))
        {
            let around = self.blocks.get(header as usize);
            depths[block] = around.map_or(0, |&header| depths[header]) + u32::from(is_header);
        }
        Some(depths)
    }
}

/// Returns the header of the outermost loop around `block` so far; itself, where there is none.
fn outermost(shortcut: &mut [u32], block: u32) -> u32 {
    let mut found = block;
    while shortcut[found as usize] != found {
        found = shortcut[found as usize];
    }
    let mut current = block;
    while current != found {
        current = std::mem::replace(&mut shortcut[current as usize], found);
    }
    found
}
