//! `clif-inline compile -g`.

use crate::support::Workplace;
use object::{Object, ObjectSection, ObjectSymbol};
use std::process::Command;

const CHECK: &str = "\
function %check(i32) {
block0(v0: i32):
@0001    trapz v0, user7
    return
}
";

const MAIN: &str = "\
function %main(i32) {
    fn0 = %check(i32)
block0(v0: i32):
@0001    call fn0(v0)
    return
}
";

#[test]
fn debug_information_shows_inlined_calls_of_several_files() {
    let place = Workplace::with(&[("check.clif", CHECK), ("main.clif", MAIN)]);
    place
        .run("compile -g check.clif main.clif -o m.o --target x64 --policy always --quiet")
        .ok();
    let bytes = place.bytes("m.o");
    let file = object::File::parse(&*bytes).unwrap();
    for section in [".debug_info", ".debug_line", ".eh_frame"] {
        assert!(file.section_by_name(section).is_some(), "{section}");
    }
    let main = file.symbols().find(|symbol| symbol.name() == Ok("main"));
    let main = main.unwrap();
    // The trap is the only `ud2`.
    let code = file.section_by_name(".text").unwrap();
    let code = &code.data().unwrap()[main.address() as usize..];
    let trap = code.windows(2).position(|bytes| bytes == [0x0f, 0x0b]);
    let address = format!("{:#x}", main.address() + trap.unwrap() as u64);
    let output = Command::new("addr2line")
        .args(["-f", "-i", "-e"])
        .arg(place.path("m.o"))
        .arg(&address)
        .output();
    let Ok(output) = output else {
        eprintln!("passed over: no addr2line");
        return;
    };
    let said = String::from_utf8(output.stdout).unwrap();
    let ends: Vec<_> = said.lines().map(|line| line.rsplit('/').next()).collect();
    let expected = ["check", "check.clif:3", "main", "main.clif:4"];
    assert_eq!(ends, expected.map(Some), "{said}");
}

#[test]
fn without_the_flag_there_is_none() {
    let place = Workplace::with(&[("m.clif", CHECK)]);
    place.run("compile m.clif -o m.o --target x64 --quiet").ok();
    let bytes = place.bytes("m.o");
    let file = object::File::parse(&*bytes).unwrap();
    assert!(file.section_by_name(".debug_info").is_none());
}

#[test]
fn formats_without_sections_for_it_are_an_error() {
    let place = Workplace::with(&[("m.clif", CHECK)]);
    let error = place
        .run("compile -g m.clif -o m.o --target x86_64-apple-darwin")
        .failed();
    assert!(error.contains("ELF"), "{error}");
    assert_eq!(place.files(), ["m.clif"]);
}
