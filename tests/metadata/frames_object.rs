//! The table as a section of an object file, read back with another library.

use cranelift_codegen::MachDebugTagPos;
use cranelift_inliner::backend::{
    CompileScratch, ObjectFunction, ObjectLinkage, TargetSettings, build_object, compile_function,
    default_symbol, target,
};
use cranelift_inliner::backtrace::{
    BACKTRACE_SECTION, BacktraceReader, BacktraceTable, FunctionBacktraces, add_backtrace_section,
};
use cranelift_inliner::frames::{
    FRAME_SECTION, FixedFrames, FrameSectionError, FrameTableBuilder, FrameTableReader,
    add_frame_section, text_offsets,
};
use cranelift_inliner::locations::LocationTable;
use cranelift_module::FuncId;
use object::{Object, ObjectSection, ObjectSymbol};

const PROGRAM: &str = "
function %first(i64) -> i64 fast {
    fn0 = %g(i64) -> i64 fast
block0(v0: i64):
    <1, 2> v1 = call fn0(v0)
    return v1
}
function %second(i64) -> i64 fast {
    fn0 = %g(i64) -> i64 fast
block0(v0: i64):
    v1 = call fn0(v0)
    <3, 4> v2 = call fn0(v1)
    return v2
}";

#[test]
fn the_section_is_read_back_with_offsets_of_the_text() {
    for name in [
        "x64",
        "aarch64",
        "x86_64-apple-darwin",
        "x86_64-pc-windows-msvc",
    ] {
        let isa = target(name, &TargetSettings::new()).unwrap();
        let functions: Vec<_> = cranelift_reader::parse_functions(PROGRAM)
            .unwrap()
            .iter()
            .map(|function| compile_function(&*isa, function, &mut CompileScratch::new()).unwrap())
            .collect();
        let parts: Vec<_> = functions
            .iter()
            .map(|compiled| {
                ObjectFunction::new(
                    default_symbol(compiled.name()),
                    ObjectLinkage::Export,
                    compiled,
                )
            })
            .collect();
        let mut product = build_object(&isa, "frames", &parts, default_symbol).unwrap();
        let ids = [FuncId::from_u32(0), FuncId::from_u32(1)];
        let offsets = text_offsets(&product, ids).unwrap();
        assert_eq!(offsets[0], 0);
        assert!(offsets[1] >= functions[0].code().len() as u64);
        for missing in [FuncId::from_u32(2), FuncId::from_u32(77)] {
            assert_eq!(
                text_offsets(&product, [missing]),
                Err(FrameSectionError::NotDefined { function: missing }),
                "{name}"
            );
        }

        let mut builder = FrameTableBuilder::new(FixedFrames::new(2));
        builder.add(0, &functions[0]).unwrap();
        builder.add(1, &functions[1]).unwrap();
        let table = builder
            .link(|identity| offsets.get(identity as usize).copied())
            .unwrap();
        add_frame_section(&mut product, &table, Some("frame_table")).unwrap();
        let places = functions.iter().map(|compiled| {
            let locations = LocationTable::own(compiled.name().clone().into());
            FunctionBacktraces::of(compiled, &locations).unwrap()
        });
        let places: Vec<_> = places.collect();
        let backtraces = BacktraceTable::link(offsets.iter().copied().zip(&places)).unwrap();
        add_backtrace_section(&mut product, &backtraces, None).unwrap();
        let bytes = product.emit().unwrap();

        let file = object::File::parse(&*bytes).unwrap();
        let section = file.section_by_name(FRAME_SECTION).unwrap();
        let data = section.data().unwrap();
        let section_of_backtraces = file.section_by_name(BACKTRACE_SECTION).unwrap();
        let found = BacktraceReader::new(section_of_backtraces.data().unwrap()).unwrap();
        assert_eq!(found.point_count(), 3, "{name}");
        let call = functions[1].call_sites().next().unwrap().ret_addr;
        let call = u32::try_from(offsets[1]).unwrap() + call;
        let place = found.return_address(call).unwrap().unwrap().next().unwrap();
        assert_eq!(place.unwrap().to_string(), "%second");
        assert!(data.starts_with(table.bytes()), "{name}");
        let symbol = file
            .symbols()
            .find(|symbol| {
                let symbol = symbol.name().unwrap();
                symbol.trim_start_matches('_') == "frame_table"
            })
            .unwrap();
        assert_eq!(symbol.section_index(), Some(section.index()));
        assert!(symbol.is_global());

        if file.format() == object::BinaryFormat::MachO {
            for (section, name) in [
                (&section, "__clif_frames"),
                (&section_of_backtraces, "__clif_backtrace"),
            ] {
                assert_eq!(section.segment_name(), Ok(Some("__TEXT")));
                assert_eq!(section.name(), Ok(name));
            }
            // The linker must not move the second function away from the first.
            let is_moved_alone = |symbol: &str| {
                let flags = file.symbol_by_name(symbol).unwrap().flags();
                let object::SymbolFlags::MachO { n_desc } = flags else {
                    panic!("{flags:?}");
                };
                n_desc & object::macho::N_ALT_ENTRY == 0
            };
            assert!(is_moved_alone("_first") && !is_moved_alone("_second"));
        }

        let reader = FrameTableReader::new(data).unwrap();
        reader.validate().unwrap();
        for (compiled, start) in functions.iter().zip(&offsets) {
            for point in compiled.debug_tags() {
                let offset = u32::try_from(*start).unwrap() + point.offset;
                assert!(
                    reader.lookup(offset, point.position).unwrap().is_some(),
                    "{name}"
                );
            }
            let calls: Vec<u32> = compiled.call_sites().map(|site| site.ret_addr).collect();
            let last = u32::try_from(*start).unwrap() + calls[calls.len() - 1];
            let found = reader.lookup(last, MachDebugTagPos::Post).unwrap();
            assert!(found.is_some());
        }
    }
}
