//! The limits of a table, and small answers of its builder.

use cranelift_codegen::ir::{Function, StackSlotKey};
use cranelift_inliner::backend::{
    CompileScratch, CompiledFunction, TargetSettings, compile_function, target,
};
use cranelift_inliner::frames::{
    BuildError, CountedFrames, FixedFrames, FrameTableBuilder, FrameTableReader, TablePart,
};

fn compile(text: &str) -> (Function, CompiledFunction) {
    let isa = target("host", &TargetSettings::new()).unwrap();
    let function = cranelift_reader::parse_functions(text).unwrap().remove(0);
    let compiled = compile_function(&*isa, &function, &mut CompileScratch::new()).unwrap();
    (function, compiled)
}

/// Returns a call in `depth` virtual frames without tags of their own.
fn nested(depth: usize) -> CompiledFunction {
    let tags = vec!["0"; depth].join(", ");
    let text = format!(
        "function u3:4() fast {{
             fn0 = colocated %g() fast
         block0:
             <{tags}> call fn0()
             return
         }}"
    );
    compile(&text).1
}

#[test]
fn frames_do_not_nest_beyond_the_limit() {
    let limit = 1 << 16;
    let mut builder = FrameTableBuilder::new(CountedFrames);
    builder.add(0, &nested(limit)).unwrap();
    let table = builder.link(|_| Some(0)).unwrap();
    let read = FrameTableReader::new(table.bytes()).unwrap();
    assert_eq!(read.max_depth(), limit as u32);

    let error = builder.add(1, &nested(limit + 1)).unwrap_err();
    let BuildError::TooDeep {
        function,
        limit: told,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(function.to_string(), "u3:4");
    assert_eq!(*told, limit as u32);
    assert_eq!(builder.len(), 1);
    assert_eq!(
        builder.link(|_| Some(0)).unwrap().into_bytes(),
        table.bytes()
    );
}

#[test]
fn a_function_with_one_key_twice_has_one_descriptor_for_it() {
    let (source, _) = compile(
        "function %f() fast {
             ss0 = explicit_slot 8, key = 5
             ss1 = explicit_slot 8, key = 6
             ss2 = explicit_slot 8
             ss3 = explicit_slot 8, key = 5
         block0:
             return
         }",
    );
    let mut builder = FrameTableBuilder::new(FixedFrames::new(1));
    assert!(builder.is_empty());
    let mut described = Vec::new();
    builder
        .describe_slots(&source, |slot, data| {
            let key = data.key.unwrap().bits();
            described.push((slot.as_u32(), key));
            (key == 5).then(|| vec![key as u8])
        })
        .unwrap();
    assert_eq!(described, [(0, 5), (1, 6), (3, 5)]);
    let table = builder.link(|_| Some(0)).unwrap();
    let descriptor = |key| {
        table
            .reader()
            .descriptor(StackSlotKey::new(key))
            .unwrap()
            .map(<[u8]>::to_vec)
    };
    assert_eq!(descriptor(5), Some(vec![5]));
    assert_eq!(descriptor(6), None);

    let conflict = builder.describe_slots(&source, |slot, _| Some(vec![slot.as_u32() as u8]));
    assert_eq!(conflict, Err(BuildError::DescriptorConflict { key: 5 }));
    let other = builder.describe_slots(&source, |_, data| {
        Some(vec![if data.key == Some(StackSlotKey::new(5)) {
            7
        } else {
            6
        }])
    });
    assert_eq!(other, Err(BuildError::DescriptorConflict { key: 5 }));
    assert_eq!(builder.link(|_| Some(0)).unwrap().bytes(), table.bytes());
}

#[test]
fn code_ends_where_32_bits_do() {
    let mut builder = FrameTableBuilder::new(CountedFrames);
    let compiled = nested(1);
    builder.add(7, &compiled).unwrap();
    let last = u64::from(u32::MAX) - compiled.code().len() as u64;
    let table = builder.link(|_| Some(last)).unwrap();
    assert_eq!(table.reader().validate(), Ok(()));
    let function = table.reader().function_at(u32::MAX - 1).unwrap().unwrap();
    assert_eq!(function.end(), u64::from(u32::MAX));
    for beyond in [last + 1, last + 2, u64::from(u32::MAX) + 1, u64::MAX] {
        let error = builder.link(|_| Some(beyond)).unwrap_err();
        assert!(matches!(error, BuildError::TooLarge { .. }), "{error}");
    }
}

#[test]
fn a_builder_with_a_function_is_not_empty() {
    let mut builder = FrameTableBuilder::new(CountedFrames);
    assert!(builder.is_empty());
    assert_eq!(builder.len(), 0);
    builder.add(7, &nested(1)).unwrap();
    assert!(!builder.is_empty());
    assert_eq!(builder.len(), 1);
}

#[test]
fn columns_have_names() {
    for (part, name) in [
        (TablePart::Function, "function"),
        (TablePart::Point, "point"),
        (TablePart::Frame, "frame"),
        (TablePart::Slot, "slot"),
        (TablePart::Key, "key"),
    ] {
        assert_eq!(part.to_string(), name);
    }
}
