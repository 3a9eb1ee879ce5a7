//! The tool's remarks, read by LLVM's own tools. Passed over where these are not installed.

use crate::support::{COUNTED, Workplace};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Returns the output of the first of these programs that starts.
fn first_of(programs: &[String], change: impl Fn(&mut Command)) -> Option<Output> {
    programs.iter().find_map(|program| {
        let mut command = Command::new(program);
        change(&mut command);
        command.output().ok()
    })
}

/// Returns the newest LLVM's folder with the files of `opt-viewer`.
fn opt_viewer() -> Option<PathBuf> {
    (14..40)
        .rev()
        .map(|version| PathBuf::from(format!("/usr/lib/llvm-{version}/share/opt-viewer")))
        .find(|folder| folder.join("opt-viewer.py").exists())
}

fn with_remarks() -> Workplace {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    place
        .run("opt m.clif -o o.clif --policy always --remarks r.yaml")
        .ok();
    place
}

#[test]
fn llvm_remarkutil_reads_every_remark() {
    let place = with_remarks();
    let names = (15..40)
        .rev()
        .map(|version| format!("llvm-remarkutil-{version}"));
    let programs: Vec<_> = std::iter::once("llvm-remarkutil".to_owned())
        .chain(names)
        .collect();
    let run = |arguments: &str| {
        first_of(&programs, |command| {
            command
                .args(arguments.split(' '))
                .current_dir(place.path(""));
        })
    };
    let Some(count) = run("count --parser=yaml r.yaml") else {
        eprintln!("passed over: llvm-remarkutil is not installed");
        return;
    };
    let text = String::from_utf8(count.stdout).unwrap();
    assert!(count.status.success());
    assert_eq!(text.trim(), "Source,Count\nm.clif,5", "{text}");
    // There and back through LLVM's own form, all is still there.
    let there = run("yaml2bitstream r.yaml -o r.bitstream").unwrap();
    assert!(there.status.success());
    let back = run("bitstream2yaml r.bitstream -o -").unwrap();
    let back = String::from_utf8(back.stdout).unwrap();
    assert_eq!(without_style(&back), without_style(&place.read("r.yaml")));
}

/// Returns the lines of YAML without quotes and without spaces that mean nothing.
fn without_style(yaml: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines = yaml.lines().map(words);
    lines
        .map(|line| line.replace('\'', "").trim_end().to_owned())
        .collect()
}

#[test]
fn opt_viewer_makes_a_page_of_them() {
    let place = with_remarks();
    let Some(viewer) = opt_viewer() else {
        eprintln!("passed over: LLVM's opt-viewer is not installed");
        return;
    };
    let python = |script: &str, arguments: &[&str]| {
        let output = Command::new("python3")
            .arg(viewer.join(script))
            .args(arguments)
            .current_dir(place.path(""))
            .output();
        output.ok().filter(|output| {
            let missing = String::from_utf8_lossy(&output.stderr).contains("ModuleNotFoundError");
            if missing {
                eprintln!("passed over: opt-viewer needs Python's yaml and pygments");
            }
            !missing
        })
    };
    let Some(stats) = python("opt-stats.py", &["r.yaml"]) else {
        return;
    };
    let stats = String::from_utf8(stats.stdout).unwrap();
    let total = stats
        .lines()
        .find(|line| line.starts_with("Total number of remarks"));
    assert!(total.unwrap().ends_with(" 5"), "{stats}");
    if let Some(made) = python("opt-viewer.py", &["-s", ".", "r.yaml", "-o", "pages"]) {
        assert!(made.status.success(), "{made:?}");
        let page = fs::read_to_string(place.path("pages/m.clif.html")).unwrap();
        assert!(page.contains("policy always"), "{page}");
    }
}
