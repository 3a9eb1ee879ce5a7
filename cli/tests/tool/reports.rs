//! The tool's statistics and remarks.

use crate::support::{COUNTED, Workplace, command};
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::json;
use std::collections::BTreeMap;

#[test]
fn statistics_equal_counts_by_hand() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    let mut stats = place
        .run("opt m.clif -o out.clif --policy always --stats=json")
        .json();
    let times = stats["microseconds"].take();
    let transforms = stats["transforms"].take();
    let transforms = transforms.as_object().unwrap();
    assert!(
        transforms.values().all(|count| *count == 0),
        "{transforms:?}"
    );
    assert!(transforms.contains_key("blocks_merged"));
    // %main gets %double and %again, and with the latter a call that is a fifth decision. Two calls
    // go away and two instructions come for them; each of the three functions keeps its size.
    assert_eq!(
        stats,
        json!({
            "functions": 3,
            "functions_dropped": 0,
            "call_sites_before": 4,
            "call_sites_after": 3,
            "decisions": 5,
            "inlined": 2,
            "kept": {},
            "refused": { "recursion": 2 },
            "external": 1,
            "instructions_before": 8,
            "instructions_after": 8,
            "stack_bytes_before": 0,
            "stack_bytes_after": 0,
            "transforms": null,
            "flags_dropped": 0,
            "regions_dropped": 0,
            "code_bytes_before": null,
            "code_bytes": null,
            "fallbacks": 0,
            "directives": null,
            "microseconds": null,
        })
    );
    let times: BTreeMap<String, u64> = serde_json::from_value(times).unwrap();
    let phases = [
        "cleanup",
        "compile",
        "compile_before",
        "execute",
        "graph",
        "inline",
        "read",
        "total",
        "verify",
        "verify_input",
        "write",
    ];
    assert!(times.keys().eq(phases), "{times:?}");
    assert_eq!((times["compile"], times["execute"]), (0, 0));
    assert!(
        times["total"] >= times["read"] + times["write"],
        "{times:?}"
    );

    let local = "compile m.clif -o m.o --policy always --export main --stats=json";
    let stats = place.run(local).json();
    assert_eq!(stats["functions_dropped"], 1);
    assert_eq!(stats["instructions_after"], 6);
    assert!(stats["code_bytes"].as_u64() > Some(6));
    assert!(stats["microseconds"]["compile"].as_u64() > Some(0));
}

#[test]
fn stack_slots_are_counted_in_bytes() {
    let module = "function %f() -> i64 {\n    ss0 = explicit_slot 16\n    fn0 = %g() -> i64\n\
                  block0:\n    v0 = call fn0()\n    v1 = stack_addr.i64 ss0\n    \
                  store v0, v1\n    v2 = load.i64 v1\n    return v2\n}\n\
                  function %g() -> i64 {\n    ss0 = explicit_slot 8\nblock0:\n    \
                  v0 = stack_addr.i64 ss0\n    v1 = load.i64 v0\n    return v1\n}\n";
    let place = Workplace::with(&[("m.clif", module)]);
    for (options, after, promoted) in [
        ("--optimize none", 32, 0),
        ("--no-promote-slots", 32, 0),
        ("", 8, 2),
        ("--optimize all", 0, 2),
    ] {
        let command = format!("opt m.clif -o o.clif --stats=json {options}");
        let stats = place.run(&command).json();
        assert_eq!(stats["stack_bytes_before"], 24);
        assert_eq!(stats["stack_bytes_after"], after, "{options}");
        assert_eq!(stats["transforms"]["slots_promoted"], promoted, "{options}");
    }
}

#[test]
fn decided_branches_are_counted() {
    let module = "function %f(i64) -> i64 {\n    fn0 = %is_small(i64) -> i8\n\
                  block0(v0: i64):\n    v1 = call fn0(v0)\n    brif v1, block1, block2\n\
                  block1:\n    return v0\nblock2:\n    v2 = iconst.i64 9\n    return v2\n}\n\
                  function %is_small(i64) -> i8 {\nblock0(v0: i64):\n    v1 = iconst.i64 9\n    \
                  v2 = icmp ult v0, v1\n    brif v2, block1, block2\nblock1:\n    \
                  v3 = iconst.i8 1\n    return v3\nblock2:\n    v4 = iconst.i8 0\n    return v4\n}\n";
    let place = Workplace::with(&[("m.clif", module)]);
    for (options, decided) in [("", 2), ("--no-thread-branches", 0), ("--optimize none", 0)] {
        let command = format!("opt m.clif -o o.clif --policy always --stats=json {options}");
        let stats = place.run(&command).json();
        assert_eq!(
            stats["transforms"]["branches_decided"], decided,
            "{options}"
        );
    }
}

#[test]
fn json_never_shares_its_stream_with_an_output() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    // To standard error where standard output holds something, to standard output otherwise.
    for arguments in [
        "opt m.clif --stats=json",
        "opt m.clif -o - --stats=json",
        "opt m.clif -o out.clif --remarks - --stats=json",
        "compile m.clif -o - --stats=json",
        "graph m.clif --stats=json",
    ] {
        let ran = place.run(arguments);
        let stats: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
        assert_eq!(stats["functions"], 3, "{arguments}");
        assert!(!ran.out.is_empty(), "{arguments}");
    }
    for arguments in [
        "opt m.clif -o out.clif --stats=json",
        "compile m.clif -o out.o --stats=json",
        "graph m.clif -o out.dot --stats=json",
    ] {
        assert_eq!(place.run(arguments).json()["fallbacks"], 0, "{arguments}");
    }
}

#[test]
fn the_table_shows_totals_reasons_changes_and_times() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    let table = place
        .run("opt m.clif -o o.clif --policy always --export main --stats")
        .ok();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with('│'))
        .map(|line| line.trim_matches('│').split('│').map(str::trim).collect())
        .collect();
    for row in [
        &["functions", "3", "2", "-1 (-33.3 %)"][..],
        &["call sites", "4", "3", "-1 (-25.0 %)"],
        &["instructions", "8", "6", "-2 (-25.0 %)"],
        &["inlined", "policy", "2"],
        &["refused", "recursion", "2"],
        &["external", "external", "1"],
        &["%double", "2", "dropped", "-2 (-100.0 %)", "0"],
    ] {
        assert!(rows.iter().any(|found| found == row), "{row:?}\n{table}");
    }
    assert!(rows.iter().any(|row| row[0] == "total"), "{table}");
    assert!(!table.contains('\u{1b}'), "no colours in a pipe");
}

/// A remark: its tag, its fields, and its arguments in order.
struct Remark {
    tag: String,
    fields: BTreeMap<String, String>,
    arguments: Vec<(String, String)>,
}

impl Remark {
    fn argument(&self, key: &str) -> Option<&str> {
        let found = self.arguments.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }
}

fn remarks(text: &str) -> Vec<Remark> {
    let documents = Yaml::load_from_str(text).unwrap();
    documents.iter().map(remark).collect()
}

fn remark(document: &Yaml<'_>) -> Remark {
    let Yaml::Tagged(tag, body) = document else {
        panic!("no tag: {document:?}")
    };
    let mut fields = BTreeMap::new();
    let mut arguments = Vec::new();
    for (key, value) in body.as_mapping().unwrap() {
        let key = key.as_str().unwrap();
        match key {
            "Args" => {
                for argument in value.as_vec().unwrap() {
                    for (key, value) in argument.as_mapping().unwrap() {
                        let text = |node: &Yaml<'_>| node.as_str().unwrap().to_owned();
                        arguments.push((text(key), text(value)));
                    }
                }
            }
            "DebugLoc" => {
                let place = value.as_mapping_get("File").unwrap().as_str().unwrap();
                let line = value.as_mapping_get("Line").unwrap().as_integer().unwrap();
                fields.insert(key.to_owned(), format!("{place}:{line}"));
            }
            _ => {
                fields.insert(key.to_owned(), value.as_str().unwrap().to_owned());
            }
        }
    }
    Remark {
        tag: tag.suffix.clone(),
        fields,
        arguments,
    }
}

#[test]
fn there_is_one_remark_a_site_and_it_reads_as_a_sentence() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    place
        .run("opt m.clif -o o.clif --policy always --remarks r.yaml")
        .ok();
    let remarks = remarks(&place.read("r.yaml"));
    let shown: Vec<_> = remarks
        .iter()
        .map(|remark| {
            let field = |name: &str| remark.fields[name].as_str();
            assert_eq!(field("Pass"), "inline");
            let callee = remark.argument("Callee").unwrap();
            let place = field("DebugLoc");
            (
                remark.tag.as_str(),
                field("Name"),
                place,
                field("Function"),
                callee,
            )
        })
        .collect();
    let mut sorted = shown.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            ("Missed", "NoDefinition", "m.clif:1", "%main", "%ext"),
            ("Missed", "NotInlined", "m.clif:1", "%main", "%again"),
            ("Missed", "NotInlined", "m.clif:18", "%again", "%again"),
            ("Passed", "Inlined", "m.clif:1", "%main", "%again"),
            ("Passed", "Inlined", "m.clif:1", "%main", "%double"),
        ]
    );
    let came_in = remarks
        .iter()
        .find(|remark| remark.argument("Via").is_some());
    let came_in = came_in.unwrap();
    assert_eq!(came_in.argument("Via"), Some("%again"));
    assert_eq!(came_in.argument("ReasonKind"), Some("recursion"));
    let double = remarks
        .iter()
        .find(|r| r.argument("Callee") == Some("%double"));
    let double = double.unwrap();
    assert_eq!(double.argument("CalleeInstructions"), Some("2"));
    assert_eq!(double.argument("CallerInstructions"), Some("4"));
    let sentence: String = double
        .arguments
        .iter()
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(
        sentence,
        "%double inlined into %main: policy always (policy; callee of 2 instructions, caller of \
         4; call inst0)"
    );
}

#[test]
fn attributes_have_names_of_their_own_and_file_names_are_quoted() {
    let place = Workplace::with(&[("it's: \"#1\" {a}.clif", COUNTED)]);
    let run = |flags: &str| {
        let input = place.path("it's: \"#1\" {a}.clif");
        let output = command(&place.path(""))
            .arg("opt")
            .arg(input)
            .args(["-o", "o.clif", "--remarks", "r.yaml"])
            .args(flags.split(' '))
            .output()
            .unwrap();
        assert!(output.status.success());
        remarks(&place.read("r.yaml"))
    };
    let of = |remarks: &[Remark]| {
        let double = remarks
            .iter()
            .find(|r| r.argument("Callee") == Some("%double"));
        let fields = &double.unwrap().fields;
        assert!(fields["DebugLoc"].ends_with("/it's: \"#1\" {a}.clif:1"));
        fields["Name"].clone()
    };
    assert_eq!(of(&run("--policy never --always double")), "AlwaysInline");
    assert_eq!(of(&run("--policy always --never double")), "NeverInline");
}
