//! The writes that reach each read of a variable, and the places where several meet.
//!
//! Each variable is looked at in the blocks in which it is live alone: going back from its reads to
//! its writes finds these. There it is assumed that all that reaches a block over edges which go
//! forward is one value; a block where two meet, or into which something else comes back, gets a
//! parameter, and the rest is looked at again. So parameters are pruned, and there is one only
//! where two values meet (of Braun et al., "Simple and Efficient Construction of SSA Form", this
//! has the optimism and not the order of work).

use super::super::flow::Flow;
use std::ops::Range;

/// After this number of phases, each block where ways meet gets a parameter, which is always right.
const MOST_PHASES: usize = 32;

/// One read or write of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cleanup) struct Touch {
    pub(in crate::cleanup) variable: u32,
    /// The number of the block.
    pub(in crate::cleanup) block: u32,
    pub(in crate::cleanup) writes: bool,
}

/// The source of a variable's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cleanup) enum Origin {
    #[default]
    Unknown,
    /// The variable was not written on the way.
    Nothing,
    /// The write with this number among the touches.
    Write(u32),
    /// A parameter of the block with this number.
    Param(u32),
}

/// The definitions that reach each use.
#[derive(Default)]
pub(in crate::cleanup) struct Reaching {
    /// By variable, in the order of instructions.
    touches: Vec<Touch>,
    /// The index at which the touches of each variable begin.
    starts: Vec<u32>,
    /// The blocks in which each variable is live at the begin, in order.
    live: Vec<(u32, Origin)>,
    live_of: Vec<Range<usize>>,

    // Scratch memory, by block, and empty between variables.
    last_write: Vec<Option<u32>>,
    is_live: Vec<bool>,
    origin: Vec<Origin>,
    work: Vec<u32>,
}

impl Reaching {
    /// Takes over `touches`, which are in the order of blocks and instructions, and finds where
    /// each variable is live.
    pub(in crate::cleanup) fn find_live(
        &mut self,
        flow: &Flow,
        variables: usize,
        touches: &[Touch],
    ) {
        let blocks = flow.blocks().len();
        self.starts.clear();
        self.starts.resize(variables + 1, 0);
        for touch in touches {
            self.starts[touch.variable as usize + 1] += 1;
        }
        for index in 0..variables {
            self.starts[index + 1] += self.starts[index];
        }
        let none = Touch {
            variable: 0,
            block: 0,
            writes: false,
        };
        self.touches.clear();
        self.touches.resize(touches.len(), none);
        let mut next = self.starts.clone();
        for &touch in touches {
            let at = &mut next[touch.variable as usize];
            self.touches[*at as usize] = touch;
            *at += 1;
        }
        self.live.clear();
        self.live_of.clear();
        self.last_write.clear();
        self.last_write.resize(blocks, None);
        self.is_live.clear();
        self.is_live.resize(blocks, false);
        self.origin.clear();
        self.origin.resize(blocks, Origin::Unknown);
        for variable in 0..variables {
            self.find_live_of(flow, variable);
        }
    }

    fn find_live_of(&mut self, flow: &Flow, variable: usize) {
        let first = self.live.len();
        let touches = self.touches_of(variable);
        let mut block = None;
        for index in touches.clone() {
            let touch = self.touches[index];
            if block != Some(touch.block) {
                block = Some(touch.block);
                if !touch.writes {
                    self.work.push(touch.block);
                }
            }
            if touch.writes {
                self.last_write[touch.block as usize] = u32::try_from(index).ok();
            }
        }
        for &block in &self.work {
            self.is_live[block as usize] = true;
        }
        while let Some(block) = self.work.pop() {
            self.live.push((block, Origin::Unknown));
            for edge in flow.edges_into(block) {
                let from = edge.from as usize;
                if self.last_write[from].is_none()
                    && !std::mem::replace(&mut self.is_live[from], true)
                {
                    self.work.push(edge.from);
                }
            }
        }
        let live = first..self.live.len();
        self.live[live.clone()].sort_unstable_by_key(|&(block, _)| block);
        for &(block, _) in &self.live[live.clone()] {
            self.is_live[block as usize] = false;
        }
        for index in touches {
            let block = self.touches[index].block;
            self.last_write[block as usize] = None;
        }
        self.live_of.push(live);
    }

    /// Finds where each live variable has its value from.
    pub(in crate::cleanup) fn find_origins(&mut self, flow: &Flow) {
        for variable in 0..self.live_of.len() {
            let live = self.live_of[variable].clone();
            if live.is_empty() {
                continue;
            }
            for index in self.touches_of(variable) {
                let touch = self.touches[index];
                if touch.writes {
                    self.last_write[touch.block as usize] = u32::try_from(index).ok();
                }
            }
            self.find_origins_of(flow, live.clone());
            for index in live {
                let (block, origin) = &mut self.live[index];
                *origin = std::mem::take(&mut self.origin[*block as usize]);
            }
            for index in self.touches_of(variable) {
                let block = self.touches[index].block;
                self.last_write[block as usize] = None;
            }
        }
    }

    fn find_origins_of(&mut self, flow: &Flow, live: Range<usize>) {
        for phase in 0.. {
            // Values over forward edges.
            for index in live.clone() {
                let (block, _) = self.live[index];
                if self.origin[block as usize] == Origin::Param(block) {
                    continue;
                }
                let edges = flow.edges_into(block);
                self.origin[block as usize] = if block == 0 {
                    Origin::Nothing
                } else if phase >= MOST_PHASES && edges.len() > 1 {
                    Origin::Param(block)
                } else {
                    let mut edges = edges.iter().filter(|edge| edge.from < block);
                    let first = edges.next();
                    let first = first.map_or(Origin::Param(block), |edge| self.leaving(edge.from));
                    match edges.all(|edge| self.leaving(edge.from) == first) {
                        true => first,
                        false => Origin::Param(block),
                    }
                };
            }
            // Values over back edges.
            let mut changed = false;
            for index in live.clone() {
                let (block, _) = self.live[index];
                let origin = self.origin[block as usize];
                let back = flow.edges_into(block).iter();
                let mut back = back.filter(|edge| edge.from >= block);
                if origin != Origin::Param(block)
                    && back.any(|edge| self.leaving(edge.from) != origin)
                {
                    self.work.push(block);
                    changed = true;
                }
            }
            for block in self.work.drain(..) {
                self.origin[block as usize] = Origin::Param(block);
            }
            if !changed {
                break;
            }
        }
    }

    /// Returns the source of the current variable's value at the end of a block in which it was
    /// written or is live.
    fn leaving(&self, block: u32) -> Origin {
        match self.last_write[block as usize] {
            Some(write) => Origin::Write(write),
            None => self.origin[block as usize],
        }
    }

    fn touches_of(&self, variable: usize) -> Range<usize> {
        self.starts[variable] as usize..self.starts[variable + 1] as usize
    }

    /// Returns the number of the first touch of a variable.
    pub(in crate::cleanup) fn first_touch(&self, variable: usize) -> u32 {
        self.starts[variable]
    }

    /// Returns the number of all touches.
    pub(in crate::cleanup) fn len(&self) -> usize {
        self.touches.len()
    }

    /// Returns the source of a variable's value at the start of a block in which it is live there.
    pub(in crate::cleanup) fn entering(&self, variable: usize, block: u32) -> Option<Origin> {
        let live = &self.live[self.live_of[variable].clone()];
        let index = live
            .binary_search_by_key(&block, |&(block, _)| block)
            .ok()?;
        Some(live[index].1)
    }

    /// Returns the source of a variable's value at the end of a block.
    pub(in crate::cleanup) fn at_end(&self, variable: usize, block: u32) -> Option<Origin> {
        let touches = &self.touches[self.touches_of(variable)];
        let behind = touches.partition_point(|touch| touch.block <= block);
        let here = touches[..behind].iter().enumerate().rev();
        let mut here = here.take_while(|(_, touch)| touch.block == block);
        match here.find(|(_, touch)| touch.writes) {
            Some((index, _)) => {
                let index = u32::try_from(index).ok()?;
                Some(Origin::Write(self.first_touch(variable) + index))
            }
            None => self.entering(variable, block),
        }
    }

    /// Returns the parameters that blocks get, by variable and then by block.
    pub(in crate::cleanup) fn params(&self) -> impl Iterator<Item = (usize, u32)> {
        let variables = self.live_of.iter().enumerate();
        variables.flat_map(|(variable, live)| {
            let live = self.live[live.clone()].iter();
            let params = live.filter(|&&(block, origin)| origin == Origin::Param(block));
            params.map(move |&(block, _)| (variable, block))
        })
    }

    /// Returns the most parameters that one block gets.
    pub(in crate::cleanup) fn most_params(&self, flow: &Flow) -> usize {
        let mut counts = vec![0; flow.blocks().len()];
        for (_, block) in self.params() {
            counts[block as usize] += 1;
        }
        counts.into_iter().max().unwrap_or(0)
    }

    /// Returns whether a variable is live at the start of a block.
    pub(in crate::cleanup) fn is_live_in(&self, variable: usize, block: u32) -> bool {
        let live = &self.live[self.live_of[variable].clone()];
        live.binary_search_by_key(&block, |&(block, _)| block)
            .is_ok()
    }
}
