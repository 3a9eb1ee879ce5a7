//! The checker where the source takes several silent steps: branches that decide nothing, chains
//! of them, and loops that are entered on the way.

use cranelift_codegen::ir::Function;
use cranelift_inliner::check::{CheckError, CopyTree, check};

fn parse(text: &str) -> Function {
    cranelift_reader::parse_functions(text).unwrap().remove(0)
}

/// Returns a chain of branches on the first parameter; each passes the second one, by its own name
/// or by the parameter that was passed before. Only the last `kept` of them are there.
fn chain(length: usize, kept: usize) -> String {
    let mut text = "function %f(i32, i32) -> i32 fast {\nblock0(v0: i32, v1: i32):\n".to_owned();
    let first = length - kept;
    text += &format!("    jump block{}(v1)\n", first + 1);
    for block in first + 1..=length {
        let (param, next) = (block + 1, block + 1);
        text += &format!(
            "block{block}(v{param}: i32):\n    brif v0, block{next}(v1), block{next}(v{param})\n"
        );
    }
    let (end, param) = (length + 1, length + 2);
    text + &format!("block{end}(v{param}: i32):\n    return v{param}\n}}")
}

/// Returns a branch to many blocks, each of which calls and then goes into one chain of branches
/// that decide nothing.
fn fan(ways: usize, length: usize) -> String {
    let targets: Vec<String> = (1..=ways).map(|way| format!("block{way}")).collect();
    let targets = targets.join(", ");
    let mut text = format!(
        "function %f(i32, i32) -> i32 fast {{\n    fn0 = %host(i32) fast\nblock0(v0: i32, v1: i32):\n    \
         br_table v0, block1, [{targets}]\n"
    );
    let first = ways + 1;
    for way in 1..=ways {
        text += &format!("block{way}:\n    call fn0(v1)\n    jump block{first}\n");
    }
    for block in first..first + length {
        let next = block + 1;
        text += &format!("block{block}:\n    brif v1, block{next}, block{next}\n");
    }
    text + &format!("block{}:\n    return v1\n}}", first + length)
}

/// Returns whether `after` is `before` with nothing replaced, says the checker.
fn accepts(before: &str, after: &str) -> Result<(), String> {
    let before = parse(before);
    check(&CopyTree::new(&before), &parse(after)).map_err(|difference| difference.to_string())
}

const LOOP_INVARIANT: &str = "
function %f(i32) -> i32 fast {
    fn0 = %g(i32) fast
block0(v0: i32):
    jump block1(v0)
block1(v1: i32):
    jump block2(v1)
block2(v2: i32):
    v3 = iadd v2, v2
    call fn0(v1)
    brif v3, block2(v3), block3
block3:
    return v1
}";

/// On the way into the loop both are the same, and later they are not.
#[test]
fn the_parameter_of_a_loop_is_not_its_value_at_the_entry() {
    assert_eq!(accepts(LOOP_INVARIANT, LOOP_INVARIANT), Ok(()));
    let known = LOOP_INVARIANT.replace("fn0(v1)", "fn0(v0)");
    assert_eq!(accepts(LOOP_INVARIANT, &known), Ok(()));
    let wrong = LOOP_INVARIANT.replace("fn0(v1)", "fn0(v2)");
    let difference = accepts(LOOP_INVARIANT, &wrong).unwrap_err();
    assert!(difference.contains("other arguments"), "{difference}");
    let wrong = LOOP_INVARIANT.replace("return v1", "return v2");
    let difference = accepts(LOOP_INVARIANT, &wrong).unwrap_err();
    assert!(difference.contains("another operand"), "{difference}");
}

#[test]
fn chains_of_branches_that_decide_nothing_are_accepted_however_many_are_left() {
    let length = 40;
    for kept in 0..=length {
        assert_eq!(
            accepts(&chain(length, length), &chain(length, kept)),
            Ok(()),
            "{kept}"
        );
    }
}

/// The chain is followed again from each of many places, until that takes too much work.
#[test]
fn functions_that_take_too_much_work_are_not_called_wrong() {
    assert_eq!(accepts(&fan(20, 20), &fan(20, 0)), Ok(()));
    let (before, after) = (parse(&fan(300, 300)), parse(&fan(300, 0)));
    let error = check(&CopyTree::new(&before), &after).unwrap_err();
    assert!(matches!(error, CheckError::Undecided(_)), "{error}");
    assert_eq!(error.difference(), None);
    let message = error.to_string();
    assert!(message.starts_with("the checker cannot tell"), "{message}");
}

/// These would take for ever if each branch were followed both ways.
#[test]
fn long_chains_are_accepted() {
    let length = 3000;
    for kept in [0, 3, length / 2, length - 1, length] {
        assert_eq!(
            accepts(&chain(length, length), &chain(length, kept)),
            Ok(()),
            "{kept}"
        );
    }
}

/// Behind a branch on a constant that a block was passed, the way that is never taken contradicts
/// it. Clean-up folds by the constant there.
#[test]
fn constants_count_where_a_way_contradicts_them() {
    let before = "
function %f(i32, i32) -> i32 fast {
    fn0 = %g(i32) fast
block0(v0: i32, v9: i32):
    v1 = iconst.i8 32
    jump block6(v9)
block6(v7: i32):
    v8 = iadd v7, v7
    brif v0, block6(v8), block1(v8, v1)
block1(v3: i32, v2: i8):
    v4 = iadd v3, v8
    brif v2, block2(v3), block3
block3:
    brif v1, block4, block5
block4:
    call fn0(v4)
    jump block2(v8)
block5:
    jump block2(v4)
block2(v5: i32):
    call fn0(v5)
    return v0
}";
    let folded = before.replace("brif v1, block4, block5", "jump block4");
    assert_eq!(accepts(before, &folded), Ok(()));
    let wrong = before.replace("brif v2, block2(v3), block3", "brif v2, block3, block2(v3)");
    assert!(accepts(before, &wrong).is_err());
    let dropped = before.replace("brif v2, block2(v3), block3", "jump block4");
    assert!(accepts(before, &dropped).is_err());
}
