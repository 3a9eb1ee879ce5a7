//! The checker on random functions of mostly branches: it accepts the results of clean-up, and
//! accepted results behave the same.

use cranelift_codegen::data_value::DataValue;
use cranelift_codegen::ir::Function;
use cranelift_codegen::settings::{Flags, builder};
use cranelift_codegen::verify_function;
use cranelift_inliner::check::{CheckError, CopyTree, check};
use cranelift_inliner::cleanup::{CleanupContext, clean_up};
use cranelift_inliner::program::Program;
use cranelift_inliner_testing::execute::{Invocation, Observation, interpret};

fn parse(text: &str) -> Function {
    cranelift_reader::parse_functions(text).unwrap().remove(0)
}

/// Numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn chance(&mut self, of_100: usize) -> bool {
        self.below(100) < of_100
    }
}

/// Returns a function of a few blocks, most of which do nothing but branch, often on the same
/// value.
fn branching(numbers: &mut Numbers) -> String {
    let blocks = 2 + numbers.below(8);
    let params: Vec<usize> = (0..=blocks).map(|_| numbers.below(3)).collect();
    let calls = 10 + numbers.below(40);
    let param = |block: usize, index: usize| format!("v{}", 10 + 10 * block + index);
    let mut text =
        "function %f(i32, i32, i32) -> i32 fast {\n    fn0 = %host(i32) fast\n".to_owned();
    for block in 0..=blocks {
        let own: Vec<String> = match block {
            0 => (0..3).map(|index| format!("v{index}")).collect(),
            _ => (0..params[block])
                .map(|index| param(block, index))
                .collect(),
        };
        let list: Vec<String> = own.iter().map(|value| format!("{value}: i32")).collect();
        text += &match list.is_empty() {
            true => format!("block{block}:\n"),
            false => format!("block{block}({}):\n", list.join(", ")),
        };
        if block == 0 {
            text += "    v3 = iconst.i32 0\n    v4 = iconst.i32 7\n";
        }
        let value = |numbers: &mut Numbers| match numbers.below(8) {
            0..=2 if !own.is_empty() => own[numbers.below(own.len())].clone(),
            3 => format!("v{}", 3 + numbers.below(2)),
            4 => "v1".to_owned(),
            5 => "v2".to_owned(),
            _ => "v0".to_owned(),
        };
        if numbers.chance(calls) {
            text += &format!("    call fn0({})\n", value(numbers));
        }
        let edge = |numbers: &mut Numbers| {
            let target = match numbers.chance(12) {
                true => 1 + numbers.below(blocks),
                false => block + 1 + numbers.below(3),
            };
            let target = target.min(blocks);
            let args: Vec<String> = (0..params[target]).map(|_| value(numbers)).collect();
            match args.is_empty() {
                true => format!("block{target}"),
                false => format!("block{target}({})", args.join(", ")),
            }
        };
        if block == blocks {
            text += &format!("    return {}\n", value(numbers));
        } else if numbers.chance(20) {
            text += &format!("    jump {}\n", edge(numbers));
        } else {
            let one = edge(numbers);
            let other = match numbers.chance(15) {
                true => one.clone(),
                false => edge(numbers),
            };
            text += &format!("    brif {}, {one}, {other}\n", value(numbers));
        }
    }
    text + "}\n"
}

fn cleaned_up(before: &Function) -> Function {
    let mut after = before.clone();
    clean_up(&mut after, &mut CleanupContext::new());
    after
}

/// All but a few, which have loops of branches on one value that do nothing.
#[test]
fn branches_after_clean_up_are_accepted() {
    let mut numbers = Numbers(5);
    let (mut dropped, mut undecided, mut wrong) = (0, 0, 0);
    for _ in 0..4000 {
        let before = parse(&branching(&mut numbers));
        let after = cleaned_up(&before);
        dropped += before.dfg.num_blocks() - after.layout.blocks().count();
        match check(&CopyTree::new(&before), &after) {
            Ok(()) => {}
            Err(CheckError::Undecided(_)) => undecided += 1,
            Err(_) => wrong += 1,
        }
    }
    assert!(dropped > 4000, "{dropped}");
    assert!(undecided <= 8 && wrong <= 4, "{undecided}, {wrong}");
}

/// Returns the results of a function for some arguments, if it ends.
fn behaviour(function: &Function) -> Vec<Option<Observation>> {
    let mut program = Program::new();
    program.add(function.clone()).unwrap();
    let values = [0, 1, 7];
    let triples = values
        .iter()
        .flat_map(|&a| values.iter().map(move |&b| (a, b)));
    triples
        .flat_map(|(a, b)| values.iter().map(move |&c| [a, b, c]))
        .map(|arguments| {
            let arguments = arguments.into_iter().map(DataValue::I32).collect();
            let function = "f".parse().unwrap();
            interpret(
                &program,
                &Invocation {
                    function,
                    arguments,
                },
                400,
            )
            .ok()
        })
        .collect()
}

/// Changes one thing in the text of a function.
fn changed(text: &str, numbers: &mut Numbers) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let starts = ["brif", "jump", "call", "return"];
    let last_word = |line: &str| {
        starts
            .iter()
            .any(|start| line.trim_start().starts_with(start))
    };
    let places: Vec<usize> = (0..lines.len())
        .filter(|&line| last_word(&lines[line]))
        .collect();
    let line = &mut lines[places[numbers.below(places.len())]];
    // The words of a line are those between brackets and commas.
    let words: Vec<(usize, &str)> = line.match_indices(['v', 'b']).collect();
    let (at, _) = words[numbers.below(words.len())];
    let end = line[at..]
        .find(|c: char| !c.is_ascii_alphanumeric())
        .map_or(line.len(), |end| at + end);
    let word = &line[at..end];
    let others: Vec<String> = match word.starts_with("block") {
        true => text
            .matches("block")
            .zip(0..10)
            .map(|(_, index)| format!("block{index}"))
            .collect(),
        false => (0..5)
            .chain(10..100)
            .map(|index| format!("v{index}"))
            .collect(),
    };
    let other = others[numbers.below(others.len())].clone();
    line.replace_range(at..end, &other);
    lines.join("\n")
}

/// Results that the checker accepts behave the same; otherwise a wrong result was accepted.
#[test]
fn accepted_programs_behave_the_same() {
    let flags = Flags::new(builder());
    let mut numbers = Numbers(9);
    let (mut accepted, mut rejected, mut undecided) = (0, 0, 0);
    for _ in 0..1500 {
        let text = branching(&mut numbers);
        let before = parse(&text);
        let behaves = behaviour(&before);
        let base = match numbers.chance(50) {
            true => text.clone(),
            false => cleaned_up(&before).to_string(),
        };
        for _ in 0..8 {
            let wrong = changed(&base, &mut numbers);
            let Ok(mut functions) = cranelift_reader::parse_functions(&wrong) else {
                continue;
            };
            let after = functions.remove(0);
            if verify_function(&after, &flags).is_err() {
                continue;
            }
            match check(&CopyTree::new(&before), &after) {
                Ok(()) => {
                    assert_eq!(behaviour(&after), behaves, "{text}\n{wrong}");
                    accepted += 1;
                }
                Err(CheckError::Difference(_)) => rejected += 1,
                Err(_) => undecided += 1,
            }
        }
    }
    assert!(accepted > 300 && rejected > 300, "{accepted}, {rejected}");
    assert!(undecided < rejected / 10, "{undecided}");
}
