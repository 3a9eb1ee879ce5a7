//! The tool's `report`, looked at with a real browser. Passed over where there is none.

use crate::browser::Browser;
use crate::corpus;
use crate::support::Workplace;
use serde_json::json;
use std::env;

/// Returns `count` functions. Most call two before them.
fn many_functions(count: usize) -> String {
    let mut text = String::new();
    for index in 0..count {
        let mut callees = vec![index / 3, index / 2];
        callees.retain(|&callee| callee < index);
        callees.dedup();
        text += &format!("function %f{index}(i64) -> i64 {{\n");
        for callee in &callees {
            text += &format!("    fn{callee} = %f{callee}(i64) -> i64\n");
        }
        text += "block0(v0: i64):\n    v1 = imul v0, v0\n";
        let mut last = 1;
        // The larger, the less is inlined.
        for _ in 0..index % 40 {
            text += &format!("    v{} = iadd v{last}, v0\n", last + 1);
            last += 1;
        }
        for callee in &callees {
            text += &format!("    v{} = call fn{callee}(v{last})\n", last + 1);
            last += 1;
        }
        text += &format!("    return v{last}\n}}\n");
    }
    text
}

/// Returns the text of a function in a module.
fn function<'a>(module: &'a str, name: &str) -> &'a str {
    let start = module.find(&format!("function {name}(")).unwrap();
    let rest = &module[start..];
    &rest[..rest.find("\n}").unwrap() + 2]
}

fn assert_no_complaint(browser: &Browser) {
    assert_eq!(browser.complaints(), [""; 0]);
    let loaded = browser.run("return performance.getEntriesByType('resource').map((e) => e.name)");
    assert_eq!(loaded, json!([]), "the page needs nothing from anywhere");
}

/// Returns the numbers in a column of a table, from top to bottom.
fn column(browser: &Browser, table: &str, number: usize) -> Vec<f64> {
    let cells = browser.run(&format!(
        "return [...document.querySelectorAll('{table} tbody tr > :nth-child({number})')]
            .map((cell) => parseFloat(cell.textContent) || 0)"
    ));
    serde_json::from_value(cells).unwrap()
}

/// Opens, sorts, filters, and shows a function's tree and texts.
fn look_at(browser: &Browser, place: &Workplace, input: &str, name: &str) {
    browser.open(&place.path("report.html"));
    browser.wait_for("document.body.classList.contains('js')");

    browser.click("nav a[href='#sites']");
    browser.wait_for("!document.querySelector('#sites').hidden");
    let before = column(browser, "#sites", 5);
    browser.click("#sites thead th:nth-child(5) button");
    let descending = column(browser, "#sites", 5);
    assert!(descending.is_sorted_by(|a, b| a >= b), "the greatest first");
    browser.click("#sites thead th:nth-child(5) button");
    let ascending = column(browser, "#sites", 5);
    assert!(ascending.is_sorted() && ascending != before);
    assert_eq!(ascending.len(), before.len());
    let state = "return document.querySelector('#sites th:nth-child(5)').getAttribute('aria-sort')";
    assert_eq!(browser.run(state), json!("ascending"));

    let shown = "return document.querySelectorAll('#sites tbody tr:not([hidden])').length";
    let inlined = browser.run("return document.querySelectorAll('#sites tbody tr.inlined').length");
    for kind in ["kept", "refused", "external"] {
        browser.click(&format!("#sites .tools input[value={kind}]"));
    }
    assert_eq!(browser.run(shown), inlined);
    browser.fill("#sites .tools input[type=search]", "no such words");
    assert_eq!(browser.run(shown), json!(0));

    // A function is found by its name and the key Enter; the panel has its
    // tree, as `explain` tells it.
    let search = "header input[type=search]";
    browser.fill(search, &format!("{name}\u{e007}"));
    browser.wait_for(&format!(
        "document.querySelector('aside h2')?.textContent === '{name}'"
    ));
    let told = place
        .run(&format!("explain {input} --no-verify --function {name}"))
        .ok();
    let sites = told.lines().count() - 1;
    assert!(sites > 1, "{told}");
    let items = browser.run("return document.querySelectorAll('aside .tree li').length");
    assert_eq!(items, json!(sites));
    let first = browser.run("return document.querySelector('aside .tree li').textContent");
    let first = first.as_str().unwrap();
    let line = told.lines().nth(1).unwrap();
    let (verdict, rest) = line.trim_start_matches("├─ ").split_once(' ').unwrap();
    let (callee, rest) = rest.split_once(", ").unwrap();
    let (_, reason) = rest.split_once(": ").unwrap();
    let (reason, _) = reason.rsplit_once(" (").unwrap();
    assert!(
        first.starts_with(&format!("{verdict} {callee} ")),
        "{first}\n{line}"
    );
    assert!(first.contains(reason), "{first}\n{line}");

    // The texts are those that `opt` reads and writes.
    let pressed = |number: usize| {
        browser.click(&format!("aside .views button:nth-child({number})"));
        browser.wait_for(&format!(
            "document.querySelector('aside .views button:nth-child({number})')
                .getAttribute('aria-pressed') === 'true' && document.querySelector('aside pre')"
        ));
        browser.run("return document.querySelector('aside pre').textContent")
    };
    place
        .run(&format!(
            "opt {input} --no-verify --policy never -o before.clif"
        ))
        .ok();
    place
        .run(&format!("opt {input} --no-verify -o after.clif"))
        .ok();
    let (before, after) = (place.read("before.clif"), place.read("after.clif"));
    let text = pressed(2);
    assert_eq!(text.as_str().unwrap().trim_end(), function(&before, name));
    browser.run("document.querySelector('aside pre').remove()");
    let text = pressed(3);
    assert_eq!(text.as_str().unwrap().trim_end(), function(&after, name));
    browser.run("document.querySelector('aside pre').remove()");
    pressed(4);
    let new = browser.run("return document.querySelectorAll('aside pre ins').length");
    assert!(new.as_u64() > Some(0));

    // The picture marks the function, and a click on a disc leads to another.
    let chosen = browser.run("return document.querySelector('#graph .chosen title').textContent");
    assert!(chosen.as_str().unwrap().starts_with(&format!("{name}: ")));
    browser.click("aside .close");
    browser.wait_for("document.querySelector('aside').hidden");
    assert_eq!(browser.run("return location.hash"), json!("#sites"));
    browser.click("nav a[href='#overview']");
    browser.click("#graph .discs a");
    browser.wait_for("!document.querySelector('aside').hidden");
    let disc = browser.run("return document.querySelector('#graph .discs a title').textContent");
    let head = browser.run("return document.querySelector('aside h2').textContent");
    assert!(
        disc.as_str()
            .unwrap()
            .starts_with(&format!("{}: ", head.as_str().unwrap()))
    );
    assert_no_complaint(browser);
}

#[test]
fn a_report_of_a_thousand_functions_sorts_and_shows_trees_and_texts() {
    let Some(browser) = Browser::start(1400, 1000) else {
        return;
    };
    let place = Workplace::with(&[("m.clif", &many_functions(1000))]);
    place.run("report m.clif -o report.html").ok();
    look_at(&browser, &place, "m.clif", "%f994");
}

#[test]
fn machine_code_is_shown_beside_the_text() {
    let Some(browser) = Browser::start(1400, 1000) else {
        return;
    };
    let place = Workplace::with(&[("m.clif", &many_functions(60))]);
    place
        .run("report m.clif --machine-code --target x64 -o report.html")
        .ok();
    browser.open(&place.path("report.html"));
    browser.run("location.hash = 'f59'");
    browser.wait_for("document.querySelector('aside .views button:nth-child(5)')");
    browser.click("aside .views button:nth-child(5)");
    browser.wait_for("document.querySelectorAll('aside .both pre').length === 2");
    let shown = browser
        .run("return [...document.querySelectorAll('aside .both pre')].map((e) => e.textContent)");
    let texts: [String; 2] = serde_json::from_value(shown).unwrap();
    assert!(texts[0].starts_with("function %f59("), "{}", texts[0]);
    assert!(texts[1].contains("imulq"), "{}", texts[1]);
    assert_no_complaint(&browser);
}

#[test]
fn a_phone_shows_all_without_scrolling_sideways() {
    let Some(browser) = Browser::start(500, 800) else {
        return;
    };
    let place = Workplace::with(&[("m.clif", &many_functions(60))]);
    place.run("report m.clif -o report.html").ok();
    browser.resize(390, 844);
    browser.open(&place.path("report.html"));
    for part in ["overview", "functions", "sites", "trees", "f59"] {
        browser.run(&format!("location.hash = '{part}'"));
        browser.wait_for(&format!("location.hash === '#{part}'"));
        let widths = browser.run("return [document.scrollingElement.scrollWidth, innerWidth]");
        assert!(widths[0].as_u64() <= widths[1].as_u64(), "{part}: {widths}");
        // Nor does a table hide a column beside its box.
        let cut = browser.run(&format!(
            "return [...document.querySelectorAll('#{part} .scroll')]
                .filter((box) => box.scrollWidth > box.clientWidth).length"
        ));
        assert_eq!(cut, json!(0), "{part}");
    }
    // The panel covers all, and the picture is there.
    let panel = browser
        .run("return document.querySelector('aside').offsetWidth >= document.body.clientWidth");
    assert_eq!(panel, json!(true));
    assert_no_complaint(&browser);
}

/// Where the corpus is there, and all of it is asked for.
#[test]
fn a_report_of_a_real_module_is_small_and_works() {
    if env::var_os("CLIF_CORPUS_ALL").is_none() {
        eprintln!("passed over: CLIF_CORPUS_ALL is not set");
        return;
    }
    let Some(text) = corpus::module("gcc-loops-plain") else {
        return;
    };
    let place = Workplace::with(&[("m.clif", &text)]);
    place.run("report m.clif --no-verify -o report.html").ok();
    let size = place.bytes("report.html").len();
    assert!(size < 5_000_000, "{size} bytes");
    if let Some(browser) = Browser::start(1400, 1000) {
        look_at(&browser, &place, "m.clif", "u0:470");
    }
}
