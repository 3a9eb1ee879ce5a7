//! The comparison of traces notices possible mistakes of an inliner: a body with everything inlined
//! is changed in one place, and the trace must not be the same.

use super::builds::{Order, by_order, isa};
use super::programs::{CASES, Case, cases};
use super::recording;
use super::recording::{Build, Trace, compile, parse};
use cranelift_codegen::ir::{DebugTag, Function, Inst, StackSlot, StackSlotKey};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::OptLevel;
use cranelift_inliner::frames::split_frames;
use cranelift_inliner::program::Program;
use std::collections::BTreeMap;

/// The frames of an instruction, without their counts.
type Frames = Vec<Vec<DebugTag>>;

/// A way to change the frames of one instruction, if it applies.
type Mutation = fn(Frames, &Function) -> Option<Frames>;

const MUTATIONS: [(&str, Mutation); 7] = [
    ("drop every tag", |frames, _| {
        (!frames.concat().is_empty()).then(Vec::new)
    }),
    ("drop the outermost frame", |mut frames, _| {
        let at = frames.iter().position(|frame| !frame.is_empty())?;
        frames.remove(at);
        Some(frames)
    }),
    ("drop the innermost frame", |mut frames, _| {
        let at = frames.iter().rposition(|frame| !frame.is_empty())?;
        frames.remove(at);
        Some(frames)
    }),
    ("drop one tag", |mut frames, _| {
        frames.iter_mut().find(|frame| !frame.is_empty())?.pop();
        Some(frames)
    }),
    ("reorder two frames", |mut frames, _| {
        let mut full = (0..frames.len()).filter(|&at| !frames[at].is_empty());
        let (one, other) = (full.next()?, full.next()?);
        frames.swap(one, other);
        Some(frames)
    }),
    ("another slot", |mut frames, body| {
        let tags = frames.iter_mut().flatten();
        for tag in tags {
            if let DebugTag::StackSlot(slot) = tag {
                let next = (slot.as_u32() + 1) % body.sized_stack_slots.len() as u32;
                *slot = StackSlot::from_u32(next);
                return (next != 0 || body.sized_stack_slots.len() > 1).then_some(frames);
            }
        }
        None
    }),
    ("the slots of two frames swapped", |mut frames, _| {
        let mut slots = Vec::new();
        for (frame, tags) in frames.iter().enumerate() {
            let at = tags
                .iter()
                .position(|tag| matches!(tag, DebugTag::StackSlot(_)));
            slots.extend(at.map(|at| (frame, at)));
        }
        let (&one, &other) = (slots.first()?, slots.last()?);
        let kept = frames[one.0][one.1].clone();
        frames[one.0][one.1] = frames[other.0][other.1].clone();
        frames[other.0][other.1] = kept;
        (one != other).then_some(frames)
    }),
];

fn frames_of(case: &Case, body: &Function, inst: Inst) -> Frames {
    let schema = case.schema();
    let frames = split_frames(&schema, body.debug_tags.get(inst));
    frames.map(|frame| frame.unwrap().to_vec()).collect()
}

fn set_frames(case: &Case, body: &mut Function, inst: Inst, frames: Frames) {
    let tags = frames.into_iter().flat_map(|frame| {
        let count = DebugTag::User(frame.len() as u32);
        let count = (!case.is_guest).then_some(count);
        count.into_iter().chain(frame)
    });
    body.debug_tags.set(inst, tags);
}

fn insts(body: &Function) -> Vec<Inst> {
    let blocks = body.layout.blocks();
    blocks
        .flat_map(|block| body.layout.block_insts(block))
        .collect()
}

/// A program with everything inlined into its main function.
struct Subject {
    case: &'static Case,
    program: Program,
    isa: OwnedTargetIsa,
    main: u64,
    body: Function,
    rest: Build,
    expected: Vec<Trace>,
}

impl Subject {
    fn new(case: &'static Case) -> Self {
        let program = parse(case);
        let isa = isa("host", OptLevel::None);
        let mut bodies = by_order(&program, &*isa, Order::BreadthFirst);
        let main = program.id(&"main".parse().unwrap()).unwrap();
        let main = u64::from(main.as_u32());
        let at = bodies.iter().position(|(id, _)| *id == main).unwrap();
        let (_, body) = bodies.remove(at);
        let mut subject = Subject {
            case,
            program,
            main,
            rest: compile(&*isa, &bodies),
            isa,
            body,
            expected: Vec::new(),
        };
        subject.expected = subject.traces(&subject.body).map(Result::unwrap).collect();
        subject
    }

    /// Returns the traces for each argument with `body` as the main function's.
    fn traces<'s>(
        &'s self,
        body: &Function,
    ) -> impl Iterator<Item = Result<Trace, String>> + use<'s> {
        let mut build = self.rest.clone();
        build.extend(compile(&*self.isa, &[(self.main, body.clone())]));
        self.case.arguments.iter().map(move |&argument| {
            let run = recording::run(&self.isa, &self.program, &build, argument);
            recording::trace(self.case, &self.program, &build, &run)
        })
    }

    /// Returns whether one of the traces of `body` is not as it should be.
    fn is_noticed(&self, body: &Function) -> bool {
        let mut pairs = self.traces(body).zip(&self.expected);
        pairs.any(|(actual, expected)| actual.as_ref() != Ok(expected))
    }
}

#[test]
fn every_change_of_tags_is_noticed() {
    let mut applied: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases() {
        let subject = Subject::new(case);
        assert!(!subject.is_noticed(&subject.body), "{}", case.name);
        for inst in insts(&subject.body) {
            if !subject.body.debug_tags.has(inst) {
                continue;
            }
            let frames = frames_of(case, &subject.body, inst);
            for (name, mutation) in MUTATIONS {
                let Some(mutated) = mutation(frames.clone(), &subject.body) else {
                    continue;
                };
                assert_ne!(mutated, frames, "{name}");
                let mut body = subject.body.clone();
                set_frames(case, &mut body, inst, mutated);
                assert!(
                    subject.is_noticed(&body),
                    "{}: nobody notices: {name} at {inst} of\n{}",
                    case.name,
                    subject.body.display()
                );
                *applied.entry(name).or_default() += 1;
            }
        }
    }
    for (name, _) in MUTATIONS {
        assert!(
            applied.get(name).is_some_and(|&count| count >= 10),
            "{name}: {applied:?}"
        );
    }
}

#[test]
fn every_lost_key_and_every_changed_one_is_noticed() {
    for case in cases() {
        let subject = Subject::new(case);
        let tags = insts(&subject.body)
            .into_iter()
            .flat_map(|inst| subject.body.debug_tags.get(inst).to_vec());
        let mut tagged: Vec<StackSlot> = tags
            .filter_map(|tag| match tag {
                DebugTag::StackSlot(slot) => Some(slot),
                DebugTag::User(_) => None,
            })
            .collect();
        tagged.sort();
        tagged.dedup();
        assert!(!tagged.is_empty());
        for slot in tagged {
            let key = subject.body.sized_stack_slots[slot].key.unwrap().bits();
            for other in [None, Some(StackSlotKey::new(key + 1))] {
                let mut body = subject.body.clone();
                body.sized_stack_slots[slot].key = other;
                assert!(
                    subject.is_noticed(&body),
                    "{}: {slot}, {other:?}",
                    case.name
                );
            }
        }
    }
}

#[test]
fn tags_that_are_no_frames_are_an_error() {
    let subject = Subject::new(&CASES[0]);
    let inst = insts(&subject.body)
        .into_iter()
        .find(|&inst| subject.body.debug_tags.has(inst))
        .unwrap();
    let mut body = subject.body.clone();
    let mut tags = body.debug_tags.get(inst).to_vec();
    tags.pop();
    body.debug_tags.set(inst, tags);
    let error = subject.traces(&body).next().unwrap().unwrap_err();
    assert!(error.starts_with("%main, offset 0x"), "{error}");
    assert!(
        error.ends_with("a count of 2 with 1 tags behind it"),
        "{error}"
    );
}
