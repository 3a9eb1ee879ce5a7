//! The tool's `report`, as far as the page is the same without scripts.

use crate::support::{COUNTED, Workplace, command};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roxmltree::{Document, Node};
use serde_json::Value;
use std::collections::BTreeMap;

fn section<'a>(page: &'a str, id: &str) -> &'a str {
    let start = page.find(&format!("<section id=\"{id}\">")).unwrap();
    let rest = &page[start..];
    &rest[..rest.find("</section>").unwrap()]
}

/// Returns the rows of a table, each the texts of its cells.
fn rows(section: &str) -> Vec<Vec<String>> {
    let body = section.split("<tbody>").nth(1).unwrap();
    let body = body.split("</tbody>").next().unwrap();
    let cell = |cell: &str| {
        let text = cell.split('<').flat_map(|part| part.split('>').nth(1));
        text.collect::<String>()
    };
    body.split("<tr")
        .skip(1)
        .map(|row| {
            let cells = row.split("</td>").flat_map(|part| part.split("</th>"));
            cells
                .map(|part| cell(&format!("<x{part}")))
                .filter(|text| !text.is_empty())
                .collect()
        })
        .collect()
}

#[test]
fn the_overview_counts_promoted_slots_and_resolved_calls() {
    let text = "\
function %leaf(i64) -> i64 {
block0(v0: i64):
    v1 = imul v0, v0
    return v1
}
function %apply(i64, i64) -> i64 {
    ss0 = explicit_slot 8
    sig0 = (i64) -> i64
block0(v0: i64, v1: i64):
    v2 = stack_addr.i64 ss0
    store notrap v0, v2
    v3 = load.i64 notrap v2
    v4 = call_indirect sig0, v3(v1)
    return v4
}
function %main(i64) -> i64 {
    fn0 = colocated %apply(i64, i64) -> i64
    fn1 = colocated %leaf(i64) -> i64
block0(v0: i64):
    v1 = func_addr.i64 fn1
    v2 = call fn0(v1, v0)
    return v2
}
";
    let place = Workplace::with(&[("m.clif", text)]);
    place.run("report m.clif --policy always").ok();
    let page = place.read("m.html");
    let overview = section(&page, "overview");
    let table = overview.split("Changes of functions after inlining");
    let told = rows(table.last().unwrap());
    let has = |row: [&str; 2]| told.iter().any(|told| told[..] == row);
    assert!(has(["slots promoted", "1"]), "{told:?}");
    assert!(has(["indirect calls resolved", "1"]), "{told:?}");
    let none = "report m.clif --policy always --optimize none -o none.html";
    place.run(none).ok();
    let page = place.read("none.html");
    assert!(!section(&page, "overview").contains("indirect calls resolved"));
}

#[test]
fn tables_and_trees_are_there_without_scripts() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    let ran = place.run("report m.clif --policy always --export main");
    assert!(
        ran.err.starts_with("wrote m.html (")
            && ran.err.contains(" kB), to be opened in a browser"),
        "{}",
        ran.err
    );
    assert_eq!(ran.ok(), "");
    let page = place.read("m.html");
    assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"));

    let totals = rows(section(&page, "overview"));
    assert_eq!(totals[0], ["Functions", "3", "2", "-1 (-33.3\u{a0}%)"]);
    assert_eq!(totals[1], ["Instructions", "8", "6", "-2 (-25.0\u{a0}%)"]);
    assert_eq!(totals[2], ["Call sites", "4", "3", "-1 (-25.0\u{a0}%)"]);
    let functions = rows(section(&page, "functions"));
    assert_eq!(functions.len(), 3);
    // Changed functions come first.
    assert_eq!(functions[1], ["%main", "exported", "4", "4", "0", "2", "0"]);
    assert_eq!(
        functions[0],
        [
            "%double",
            "local",
            "2",
            "dropped",
            "-2 (-100.0\u{a0}%)",
            "0",
            "1"
        ]
    );
    let sites = rows(section(&page, "sites"));
    assert_eq!(sites.len(), 5);
    let double = [
        "%main",
        "%double",
        "inlined",
        "policy always",
        "2",
        "4",
        // Neither counts nor a threshold: a call outside of loops.
        "0",
        "call inst0",
    ];
    assert!(
        sites.contains(&double.map(str::to_owned).to_vec()),
        "{sites:?}"
    );
    let through = ["%main through %again", "%again", "refused", "recursion"];
    assert!(sites.iter().any(|site| site[..4] == through), "{sites:?}");
    for head in ["overview", "functions", "sites"] {
        let section = section(&page, head);
        assert!(
            section.contains("<caption>") && section.contains("<th scope=\"col\">"),
            "{head}"
        );
    }
    let trees = section(&page, "trees");
    assert_eq!(trees.matches("<details class=\"function\">").count(), 3);
    let main = trees
        .split("</details><details class=\"function\">")
        .next()
        .unwrap();
    let below = main.split("<ul class=\"tree\">").nth(1).unwrap();
    assert_eq!(below.matches("<li").count(), 4, "{below}");
    assert_eq!(
        below.matches("<ul>").count(),
        1,
        "one has a call below it: {below}"
    );
    // Every link inside the page leads somewhere.
    for link in page
        .split("href=\"#")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
    {
        assert!(page.contains(&format!("id=\"{link}\"")), "{link}");
    }
}

#[test]
fn areas_in_the_picture_are_sizes_before_and_after() {
    let mut module = String::new();
    for (name, additions) in [("small", 3), ("large", 99)] {
        module += &format!("function %{name}(i32) -> i32 {{\nblock0(v0: i32):\n");
        for value in 0..additions {
            module += &format!("    v{} = iadd v{value}, v0\n", value + 1);
        }
        module += &format!("    return v{additions}\n}}\n");
    }
    module += "function %main(i32) -> i32 {\n    fn0 = %small(i32) -> i32\n    \
               fn1 = %large(i32) -> i32\nblock0(v0: i32):\n    v1 = call fn0(v0)\n    \
               v2 = call fn1(v1)\n    return v2\n}\n";
    let place = Workplace::with(&[("m.clif", &module)]);
    place
        .run("report m.clif --policy always --never large --export main --export large")
        .ok();
    let page = place.read("m.html");
    let start = page.find("<svg id=\"graph\"").unwrap();
    let end = start + page[start..].find("</svg>").unwrap() + "</svg>".len();
    let document = Document::parse(&page[start..end]).unwrap();
    let disc = |name: &str| {
        let named = |node: &Node<'_, '_>| {
            let title = node.children().find(|child| child.has_tag_name("title"));
            let title = title.and_then(|title| title.text());
            title.is_some_and(|title| title.starts_with(&format!("{name}: ")))
        };
        let disc = document
            .descendants()
            .find(|node| node.has_tag_name("a") && named(node));
        let circles = disc
            .unwrap()
            .children()
            .filter(|node| node.has_tag_name("circle"));
        let radius = |node: Node<'_, '_>| node.attribute("r").unwrap().parse::<f64>().unwrap();
        let radii: Vec<f64> = circles.map(radius).collect();
        (radii[1].powi(2), radii[0].powi(2))
    };
    // Of 100 instructions before and after; 4, then gone; and 3, with 3 of %small for a call 5.
    let (large, large_after) = disc("%large");
    let (small, small_after) = disc("%small");
    let (main, main_after) = disc("%main");
    let is = |area: f64, insts: f64| (area / large * 100.0 - insts).abs() < 0.15;
    assert!((large - large_after).abs() < 1e-9);
    assert!(
        is(small, 4.0) && small_after == 0.0,
        "{small} {small_after}"
    );
    assert!(
        is(main, 3.0) && is(main_after, 5.0),
        "{main} {main_after} of {large}"
    );
    let lines = document
        .descendants()
        .filter(|node| node.attribute("data-c").is_some());
    let mut verdicts: Vec<_> = lines.map(|line| line.attribute("class").unwrap()).collect();
    verdicts.sort_unstable();
    assert_eq!(verdicts, ["inlined", "kept"]);
}

#[test]
fn words_of_the_input_are_text_and_never_markup() {
    let name = "<script>alert(1)</script>&\"'.clif";
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    let folder = place.path("<b>");
    std::fs::create_dir(&folder).unwrap();
    std::fs::rename(place.path("m.clif"), folder.join(name.replace('/', "_"))).unwrap();
    let mut command = command(&place.path(""));
    command.arg("report").arg(folder).args(["-o", "out.html"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let page = place.read("out.html");
    assert!(
        !page.contains("<b>/") && !page.contains("<script>alert"),
        "{page}"
    );
    assert!(
        page.contains("&lt;script&gt;alert(1)&lt;_script&gt;&amp;"),
        "{page}"
    );
    assert_eq!(
        page.matches("</script>").count(),
        page.matches("<script").count()
    );
}

#[test]
fn the_page_connects_to_nothing() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    place.run("report m.clif").ok();
    let page = place.read("m.html");
    assert!(page.contains("Content-Security-Policy\" content=\"default-src 'none';"));
    // Beside the name of SVG's language there is no address.
    let addresses = page
        .split("http")
        .skip(1)
        .filter(|rest| rest.starts_with([':', 's']));
    for address in addresses {
        assert!(
            address.starts_with("://www.w3.org/2000/svg\""),
            "{}",
            &address[..40]
        );
    }
    for attribute in [" src=", "@import", "url(h", " onclick=", " onload="] {
        assert!(!page.contains(attribute), "{attribute}");
    }
}

#[test]
fn the_same_input_gives_the_same_bytes_and_texts_can_be_left_out() {
    let place = Workplace::with(&[("m.clif", COUNTED)]);
    let page = |arguments: &str| {
        place
            .run(&format!("report m.clif {arguments} -o m.html"))
            .ok();
        place.read("m.html")
    };
    let whole = page("");
    assert_eq!(page("--threads 1"), whole);
    assert!(whole.contains("<script type=\"text/plain\" id=\"t0\">"));
    assert!(!page("--no-clif").contains("text/plain"));
    assert_eq!(place.run("report m.clif -o -").ok(), whole);
    let stats = place.run("report m.clif --stats=json").json();
    assert_eq!(stats["functions"], 3);
    place.run("report m.clif n.clif").misused();
}

/// Each function calls the next one twice: the trees of all together would have a million sites.
#[test]
fn trees_without_end_are_cut() {
    let mut text = String::from("function %f0() {\nblock0:\n    return\n}\n");
    for level in 1..=20 {
        let below = level - 1;
        text += &format!(
            "function %f{level}() {{\n    fn0 = %f{below}()\nblock0:\n    call fn0()\n    \
             call fn0()\n    return\n}}\n"
        );
    }
    let place = Workplace::with(&[("m.clif", &text)]);
    place.run("report m.clif --policy always").ok();
    let page = place.read("m.html");
    assert!(page.contains("clif-inline explain"));
    assert!(page.len() < 4_000_000, "{} bytes", page.len());
}

/// Returns a module of more functions than a page has room for. Those with calls come last, and
/// grow.
fn too_many(count: usize) -> String {
    let name = |index: usize| format!("{}{index}", "a_name_that_takes_room_".repeat(8));
    let mut text = String::new();
    for index in 0..count {
        let callee = (index * 2).checked_sub(count);
        text += &format!("function %{}(i64) -> i64 {{\n", name(index));
        if let Some(callee) = callee {
            text += &format!("    fn0 = %{}(i64) -> i64\n", name(callee));
        }
        text += "block0(v0: i64):\n    v1 = imul v0, v0\n    v2 = imul v1, v0\n";
        text += match callee {
            Some(_) => "    v3 = call fn0(v2)\n    return v3\n}\n",
            None => "    return v2\n}\n",
        };
    }
    text
}

#[test]
fn a_page_stays_below_ten_megabytes_and_names_the_parts_left_out() {
    let count = 8000;
    let place = Workplace::with(&[("m.clif", &too_many(count))]);
    place.run("report m.clif --policy always --no-verify").ok();
    let page = place.read("m.html");
    assert!(page.len() <= 10_000_000, "{} bytes", page.len());
    let functions = section(&page, "functions");
    let shown = functions.matches("<tr").count() - 1;
    assert!(shown > 1000 && shown < count, "{shown}");
    let told =
        format!("The page has room for {shown} of {count} functions: those whose sizes changed");
    assert!(functions.contains(&told), "{}", &functions[..400]);
    // Each one that is shown changed, as there are enough of them.
    assert_eq!(functions.matches("<td>0</td><td>0</td><td>").count(), 0);
    assert_eq!(
        section(&page, "trees")
            .matches("<details class=\"function\">")
            .count(),
        shown
    );
    assert!(section(&page, "sites").contains("The page has room for "));
    let ids: std::collections::HashSet<_> = page
        .split(" id=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    for link in page
        .split("href=\"#")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
    {
        assert!(ids.contains(link), "{link}");
    }
    let data = page.split("id=\"data\">").nth(1).unwrap();
    let data: serde_json::Value =
        serde_json::from_str(data.split("</script>").next().unwrap()).unwrap();
    let length = |member: &str| data[member].as_array().unwrap().len();
    assert_eq!(length("sizes"), shown);
    assert!(length("names") >= shown);
    let texts = data["texts"].as_array().unwrap().iter();
    assert_eq!(
        texts
            .map(|chunk| chunk.as_array().unwrap().len())
            .sum::<usize>(),
        shown
    );
    let of_all = rows(section(&page, "overview"));
    assert_eq!(of_all[0][1], count.to_string());
}

#[test]
fn a_program_without_calls_has_a_report_too() {
    let place = Workplace::with(&[("m.clif", "function %f() {\nblock0:\n    return\n}\n")]);
    place.run("report m.clif").ok();
    let page = place.read("m.html");
    assert!(section(&page, "trees").contains("It has no direct calls."));
    assert!(page.contains("<svg id=\"graph\""));
}

/// `%main` calls `%step` in a loop within a loop as often as it is told, and `%large` once.
const LOOPS: &str = "
function %step(i32) -> i32 {
block0(v0: i32):
    v1 = imul v0, v0
    return v1
}
function %main(i32) -> i32 {
    fn0 = %step(i32) -> i32
block0(v0: i32):
    v1 = call fn0(v0)
    jump block1(v0)
block1(v2: i32):
    jump block2(v2)
block2(v3: i32):
    v4 = call fn0(v3)
    v5 = iconst.i32 1
    v6 = isub v3, v5
    brif v6, block2(v6), block3
block3:
    v7 = isub v2, v5
    brif v7, block1(v7), block4
block4:
    return v1
}
; run: %main(3) == 9
";

#[test]
fn sites_have_their_counts_loops_and_margins_and_the_hottest_comes_first() {
    let place = Workplace::with(&[("m.clif", LOOPS)]);
    place.run("run m.clif --profile-out counts.json").ok();
    let options = "--profile counts.json --cost-threshold -1000 --policy cost";
    place.run(&format!("report m.clif {options}")).ok();
    let page = place.read("m.html");
    let sites = rows(section(&page, "sites"));
    let measures: Vec<_> = sites.iter().map(|site| &site[6..8]).collect();
    assert_eq!(measures, [["6", "2"], ["1", "0"]], "{sites:?}");
    for site in &sites {
        let margin: i64 = site[8].parse().unwrap();
        assert_eq!(margin >= 0, site[2] == "inlined", "{site:?}");
    }
}

/// Returns the texts in a page's chunks of a kind, by the name of their function.
fn texts(page: &str, member: &str, prefix: char) -> BTreeMap<String, Value> {
    let data = page.split("id=\"data\">").nth(1).unwrap();
    let data: Value = serde_json::from_str(data.split("</script>").next().unwrap()).unwrap();
    let mut texts = BTreeMap::new();
    for (chunk, numbers) in data[member].as_array().unwrap().iter().enumerate() {
        let start = format!("<script type=\"text/plain\" id=\"{prefix}{chunk}\">");
        let packed = page.split(&start).nth(1).unwrap();
        let packed = packed.split("</script>").next().unwrap();
        let packed = STANDARD.decode(packed).unwrap();
        let json = miniz_oxide::inflate::decompress_to_vec(&packed).unwrap();
        let of_chunk: Vec<Value> = serde_json::from_slice(&json).unwrap();
        let numbers = numbers.as_array().unwrap();
        assert_eq!(numbers.len(), of_chunk.len());
        for (number, text) in numbers.iter().zip(of_chunk) {
            let index = usize::try_from(number.as_u64().unwrap()).unwrap();
            let name = data["names"][index].as_str().unwrap().to_owned();
            texts.insert(name, text);
        }
    }
    texts
}

#[test]
fn machine_code_is_in_the_page_on_request_for_the_functions_that_have_some() {
    let text = "function %leaf(i64) -> i64 {\nblock0(v0: i64):\n    v1 = imul v0, v0\n    return v1\n}\n\
        function %main(i64) -> i64 {\n    fn0 = %leaf(i64) -> i64\nblock0(v0: i64):\n    \
        v1 = call fn0(v0)\n    return v1\n}\n";
    let place = Workplace::with(&[("m.clif", text)]);
    let page = |arguments: &str| {
        place
            .run(&format!(
                "report m.clif --export main {arguments} -o m.html"
            ))
            .ok();
        place.read("m.html")
    };
    assert_eq!(texts(&page(""), "code", 'c').len(), 0);
    for (target, multiplication) in [("x64", "imulq"), ("aarch64", "madd")] {
        let page = page(&format!("--machine-code --target {target}"));
        let code = texts(&page, "code", 'c');
        // %leaf was dropped, so it has none.
        assert_eq!(code.keys().collect::<Vec<_>>(), ["%main"]);
        let listing = code["%main"].as_str().unwrap();
        assert!(listing.contains(multiplication), "{listing}");
        assert!(!listing.contains("call"), "{listing}");
        // The text is there as well, unless it is left out.
        assert_eq!(texts(&page, "texts", 't').len(), 2);
    }
    let alone = page("--machine-code --no-clif");
    assert_eq!(texts(&alone, "texts", 't').len(), 0);
    assert_eq!(texts(&alone, "code", 'c').len(), 1);
    assert_eq!(page("--machine-code --no-clif --threads 1"), alone);
}
