//! Help, completions and manual pages.

use crate::support::Workplace;

#[test]
fn help_teaches_by_examples() {
    let place = Workplace::new();
    assert!(
        place
            .run("--help")
            .ok()
            .contains("clif-inline compile module.clif")
    );
    for command in ["opt", "compile", "run", "graph"] {
        let help = place.run(&format!("{command} --help")).ok();
        assert!(help.contains("Examples:"), "{help}");
        assert!(help.contains(&format!("clif-inline {command} ")), "{help}");
        assert!(!help.contains('\u{1b}'), "no colours in a pipe");
    }
}

#[test]
fn help_has_the_options_of_a_command_and_the_shared_ones_where_they_are_asked_for() {
    let place = Workplace::new();
    let commands = [
        "opt", "compile", "run", "graph", "explain", "report", "bisect",
    ];
    for command in commands {
        for flag in ["-h", "--help"] {
            let help = place.run(&format!("{command} {flag}")).ok();
            assert!(
                help.lines().count() < 75,
                "{command} {flag}: {}",
                help.lines().count()
            );
            assert!(!help.contains("--max-function-growth"), "{help}");
            assert!(help.contains("--help-shared"), "{help}");
            let more = format!("clif-inline {command} --help-shared");
            assert!(help.contains(&more), "{help}");
        }
        // Without the arguments that the command must have, wherever it stands.
        for asked in [
            format!("{command} --help-shared"),
            format!("{command} x --help-shared"),
        ] {
            let shared = place.run(&asked).ok();
            for option in [
                "--max-function-growth",
                "--policy",
                "--threads",
                "--check",
                "--stats",
            ] {
                assert!(shared.contains(option), "{option}: {shared}");
            }
            assert!(
                !shared.contains("--output") && !shared.contains("Examples"),
                "{shared}"
            );
        }
    }
    assert!(place.run("compile --help").ok().contains("--debug-info"));
    assert!(place.run("opt --help-shared").ok().contains("--target"));
    assert!(!place.run("run --help-shared").ok().contains("--target"));
    place.run("--help-shared").misused();
    place.run("completions --help-shared").misused();
}

#[test]
fn completions_and_manual_pages_have_every_option() {
    let place = Workplace::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = place.run(&format!("completions {shell}")).ok();
        for word in [
            "clif-inline",
            "bisect",
            "max-function-growth",
            "help-shared",
        ] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    place.run("completions cmd").misused();

    std::fs::create_dir(place.path("man1")).unwrap();
    place.run("man man1").ok();
    let mut pages: Vec<_> = std::fs::read_dir(place.path("man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    let commands = [
        "backend",
        "bisect",
        "compile",
        "completions",
        "explain",
        "graph",
        "man",
        "opt",
        "report",
        "run",
        "summarize",
        "thin",
    ];
    let mut expected: Vec<_> = commands
        .map(|name| format!("clif-inline-{name}.1"))
        .to_vec();
    expected.insert(0, "clif-inline.1".to_owned());
    expected.sort();
    assert_eq!(pages, expected);
    let opt = place.read("man1/clif-inline-opt.1");
    assert!(opt.contains(".TH clif-inline-opt 1"), "{opt}");
    assert!(opt.contains("max\\-function\\-growth"), "{opt}");
    assert_eq!(place.run("man -").ok(), place.read("man1/clif-inline.1"));
    place.run("man missing").failed();
}
