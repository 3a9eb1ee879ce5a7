//! The tool's `graph`.

use crate::support::{COUNTED, Workplace};
use std::process::Command;

#[test]
fn dot_has_an_arrow_for_each_call_site_with_its_decision() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    let dot = place.run("graph m.clif --policy always --export main").ok();
    assert!(
        dot.starts_with("digraph {\n") && dot.ends_with("}\n"),
        "{dot}"
    );
    let arrows: Vec<_> = dot.lines().filter(|line| line.contains(" -> ")).collect();
    assert_eq!(arrows.len(), 4, "{dot}");
    let arrow = |ends: &str| {
        let mut found = arrows.iter().filter(|line| line.trim().starts_with(ends));
        *found.next().unwrap()
    };
    assert!(
        arrow("0 -> 1 ").contains("color=\"#2e7d32\" style=solid"),
        "{dot}"
    );
    assert!(arrow("0 -> 3 ").contains("tooltip=\"external: "), "{dot}");
    assert!(
        arrow("2 -> 2 ").contains("color=\"#c62828\" style=dotted"),
        "{dot}"
    );
    assert!(dot.contains("label=\"%main\\n4 → 4\""), "{dot}");
    assert!(dot.contains("label=\"%double\\n2 → dropped\""), "{dot}");
    assert!(dot.contains("legend"), "{dot}");
    let kept = place.run("graph m.clif --policy never").ok();
    assert!(kept.contains("color=\"#757575\" style=dashed tooltip=\"kept: policy never\""));
}

#[test]
fn the_file_name_decides_between_dot_and_svg() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    place.run("graph m.clif -o g.dot").ok();
    assert_eq!(place.read("g.dot"), place.run("graph m.clif").ok());
    place.run("graph m.clif -o g.SVG").ok();
    assert!(place.read("g.SVG").starts_with("<?xml"));
}

/// Returns all text inside elements of this name.
fn texts(document: &roxmltree::Document<'_>, name: &str) -> Vec<String> {
    document
        .descendants()
        .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", name)))
        .map(|node| node.text().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn svg_is_well_formed_and_shows_functions_calls_and_a_legend() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    place.run("graph m.clif -o g.svg --policy always").ok();
    let svg = place.read("g.svg");
    let document = roxmltree::Document::parse(&svg).unwrap();
    let shown = texts(&document, "text");
    for expected in [
        "%main", "%double", "%again", "%ext", "4 → 4", "inlined", "external",
    ] {
        assert!(
            shown.iter().any(|text| text == expected),
            "{expected}: {shown:?}"
        );
    }
    let titles = texts(&document, "title");
    for expected in [
        "%main → %double: inlined, 1 call\npolicy always",
        "%again → %again: refused, 1 call\nrecursion",
    ] {
        assert!(
            titles.iter().any(|title| title == expected),
            "{expected}: {titles:?}"
        );
    }
    let markers = document
        .descendants()
        .filter_map(|node| node.attribute("marker-end"))
        .filter(|marker| *marker == "url(#inlined)");
    assert_eq!(markers.count(), 3, "two arrows and the legend's");
}

#[test]
fn several_calls_between_two_functions_are_one_arrow_with_their_number() {
    let module = "function %f() {\n    fn0 = %g()\nblock0:\n    call fn0()\n    call fn0()\n    \
                  call fn0()\n    return\n}\n";
    let place = Workplace::with(&[("m.clif", module)]);
    place.run("graph m.clif -o g.svg").ok();
    let svg = place.read("g.svg");
    let document = roxmltree::Document::parse(&svg).unwrap();
    assert!(texts(&document, "text").contains(&"×3".to_owned()), "{svg}");
    assert_eq!(place.run("graph m.clif").ok().matches(" -> ").count(), 3);
}

/// Returns a module whose `%f0` calls `%f1`, which calls `%f2`, and so on to `%f6`; `%g` calls
/// `%f3` too.
fn chain() -> String {
    let function = |name: &str, callee: &str| {
        format!(
            "function %{name}() {{\n    fn0 = %{callee}()\nblock0:\n    call fn0()\n    return\n}}\n"
        )
    };
    let mut text = function("g", "f3");
    for level in 0..6 {
        text += &function(&format!("f{level}"), &format!("f{}", level + 1));
    }
    text + "function %f6() {\nblock0:\n    return\n}\n"
}

#[test]
fn a_part_of_the_graph_is_a_function_with_its_callers_and_callees() {
    let place = Workplace::with(&[("m.clif", &chain())]);
    let names = |arguments: &str| -> Vec<String> {
        place
            .run(&format!("graph m.clif -o g.svg {arguments}"))
            .ok();
        let svg = place.read("g.svg");
        let document = roxmltree::Document::parse(&svg).unwrap();
        let arrows = texts(&document, "title")
            .iter()
            .filter(|title| title.contains('→'))
            .count();
        let shown = texts(&document, "text");
        let mut names: Vec<_> = shown
            .into_iter()
            .filter(|text| text.starts_with('%'))
            .collect();
        // Along a path there is an arrow less than there are functions.
        assert_eq!(arrows + 1, names.len(), "{names:?}");
        names.sort();

        let dot = place.run(&format!("graph m.clif {arguments}")).ok();
        assert_eq!(dot.matches(" -> ").count(), arrows, "{dot}");
        for name in ["%g", "%f0", "%f1", "%f2", "%f3", "%f4", "%f5", "%f6"] {
            let is_shown = names.iter().any(|shown| shown == name);
            assert_eq!(
                dot.contains(&format!("\"{name}\\n")),
                is_shown,
                "{name}: {dot}"
            );
        }
        assert!(dot.starts_with("digraph {\n") && dot.contains("legend") && dot.ends_with("}\n"));
        names
    };
    assert_eq!(names("--around f3 --depth 1"), ["%f2", "%f3", "%f4", "%g"]);
    assert_eq!(
        names("--around f3"),
        ["%f1", "%f2", "%f3", "%f4", "%f5", "%g"]
    );
    // Not the other callers of its callees.
    assert_eq!(names("--around g --depth 2"), ["%f3", "%f4", "%g"]);
    assert_eq!(
        names("--around f1 --around f2 --depth 1"),
        ["%f0", "%f1", "%f2", "%f3"]
    );
    place.run("graph m.clif --depth 1").misused();
}

#[test]
fn a_picture_that_is_hard_to_read_advises_another() {
    let mut text = String::new();
    for number in 0..1001 {
        text += &format!("function u0:{number}() {{\nblock0:\n    return\n}}\n");
    }
    let place = Workplace::with(&[("m.clif", &text)]);
    let advised = place.run("graph m.clif -o g.svg");
    assert!(
        advised
            .err
            .contains("warning: 1001 boxes are hard to read; `--around"),
        "{}",
        advised.err
    );
    advised.ok();
    for arguments in [
        "graph m.clif -o g.dot",
        "graph m.clif -o g.svg --around u0:1",
    ] {
        let told = place.run(arguments).err;
        assert!(!told.contains("warning"), "{arguments}: {told}");
    }
}

#[test]
fn graphviz_draws_the_output_of_the_tool_where_it_is_installed() {
    if Command::new("dot").arg("-V").output().is_err() {
        eprintln!("passed over: Graphviz is not installed");
        return;
    }
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    place.run("graph m.clif -o g.svg --layout graphviz").ok();
    let svg = place.read("g.svg");
    assert!(svg.contains("double") && svg.contains("<svg"), "{svg}");
}
