//! Disks that are full, readers that go away, a tool that is killed: old outputs stay, and the user
//! is told.

use crate::support::{COUNTED, Workplace, command};
use std::ffi::OsStr;
use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// The old content that every output of these tests replaces.
const OLD: &str = "the old text";

/// Returns a module so large that each output of the tool takes more than one write.
fn large_module(functions: usize) -> String {
    let mut text = String::new();
    for index in 0..functions {
        let callee = index.saturating_sub(1);
        text += &format!(
            "function u0:{index}(i64) -> i64 {{
    fn0 = u0:{callee}(i64) -> i64
block0(v0: i64):
    v1 = imul v0, v0
    v2 = call fn0(v1)
    return v2
}}
"
        );
    }
    text
}

/// Returns a module, its text, and an old output.
fn place(functions: usize) -> (Workplace, String) {
    let text = large_module(functions);
    (Workplace::with(&[("m.clif", &text), ("out", OLD)]), text)
}

/// Runs the tool where no file may become longer than a few blocks. A process that does not ignore
/// the signal for that is killed by it.
fn run_on_full_disk(place: &Workplace, arguments: &str, ignores_signal: bool) -> Output {
    let ignored = if ignores_signal { "trap '' XFSZ;" } else { "" };
    Command::new("sh")
        .arg("-c")
        .arg(format!(
            "{ignored} ulimit -c 0; ulimit -f 4; exec \"$0\" \"$@\""
        ))
        .arg(env!("CARGO_BIN_EXE_clif-inline"))
        .args(arguments.split_whitespace())
        .current_dir(place.path(""))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_full_disk_is_an_error_that_names_the_file_and_leaves_the_old_one() {
    let (place, text) = place(100);
    for arguments in [
        "opt m.clif -o out",
        "compile m.clif -o out",
        "compile m.clif -g -o out",
        "graph m.clif -o out",
        "opt m.clif --remarks out",
    ] {
        let output = run_on_full_disk(&place, arguments, true);
        assert_eq!(output.status.code(), Some(1), "{arguments}: {output:?}");
        let error = said(&output);
        assert!(
            error.contains("error: out: File too large"),
            "{arguments}: {error}"
        );
        assert_eq!(place.read("out"), OLD, "{arguments}");
        assert_eq!(place.read("m.clif"), text);
        assert_eq!(place.files(), ["m.clif", "out"], "{arguments}");
    }
}

#[test]
fn an_input_that_cannot_be_replaced_stays_as_it_was() {
    let (place, text) = place(100);
    let output = run_on_full_disk(&place, "opt m.clif -o m.clif", true);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(place.read("m.clif"), text);
    assert_eq!(place.files(), ["m.clif", "out"]);
}

#[test]
fn a_new_file_that_does_not_fit_is_not_made() {
    let (place, _) = place(100);
    let output = run_on_full_disk(&place, "opt m.clif -o new.clif", true);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(place.files(), ["m.clif", "out"]);
}

/// Returns whether a file is the old output, by its length, which is faster to get than the text.
fn is_old(path: &Path) -> bool {
    fs::metadata(path).unwrap().len() == OLD.len() as u64
}

/// Returns the files that an interrupted run left, by the name that tells them apart.
fn leftovers(place: &Workplace) -> Vec<String> {
    let mut files = place.files();
    files.retain(|name| name.starts_with(".clif-inline-"));
    files
}

#[test]
fn a_signal_in_the_middle_of_a_write_leaves_the_old_file() {
    let (place, text) = place(100);
    let output = run_on_full_disk(&place, "opt m.clif -o out", false);
    assert!(output.status.signal().is_some(), "{output:?}");
    assert_eq!(place.read("out"), OLD);
    assert_eq!(place.read("m.clif"), text);
    assert_eq!(leftovers(&place).len(), 1);
    assert_eq!(place.files().len(), 3);

    // The leftover hinders no later run, even if the folder is the input.
    let alone = place.run("opt m.clif").ok();
    fs::remove_file(place.path("out")).unwrap();
    assert_eq!(place.run("opt .").ok(), alone);
    place.run("opt m.clif -o out").ok();
    assert_eq!(place.read("out"), alone);
}

#[test]
fn a_tool_that_is_killed_leaves_the_old_file_or_the_whole_new_one() {
    let (place, text) = place(1000);
    let complete = place.run("opt m.clif --policy never").ok();
    let mut interrupted = 0;
    // A run may be over before it is killed, or killed before it writes.
    for _ in 0..100 {
        fs::write(place.path("out"), OLD).unwrap();
        let mut child = command(&place.path(""))
            .args(["opt", "m.clif", "--policy", "never", "-o", "out"])
            .spawn()
            .unwrap();
        let untouched = || leftovers(&place).is_empty() && is_old(&place.path("out"));
        while untouched() && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        let found = place.read("out");
        assert_eq!(place.read("m.clif"), text);
        if found == OLD {
            assert_eq!(output.status.signal(), Some(9), "{output:?}");
        } else {
            assert!(found == complete, "the file is torn");
        }
        let left = leftovers(&place);
        for name in &left {
            fs::remove_file(place.path(name)).unwrap();
        }
        assert_eq!(place.files(), ["m.clif", "out"]);
        interrupted += usize::from(found == OLD && !left.is_empty());
        if interrupted == 3 {
            return;
        }
    }
    panic!("only {interrupted} of 100 runs were killed while they wrote");
}

/// Starts a run that writes `out`, and waits until its temporary file is there, or the run over.
fn writing(place: &Workplace, mut tool: Command) -> Child {
    fs::write(place.path("out"), OLD).unwrap();
    let mut child = tool
        .args(["opt", "m.clif", "--policy", "never", "-o", "out"])
        .spawn()
        .unwrap();
    while leftovers(place).is_empty() && child.try_wait().unwrap().is_none() {
        std::hint::spin_loop();
    }
    child
}

/// Returns the command with the signals of [`send`] as a terminal leaves them, even where this
/// process was started in the background by a shell, with some of them ignored.
fn with_default_signals(mut tool: Command) -> Command {
    // SAFETY: `signal` may be called between `fork` and `exec`, and the closure allocates nothing.
    unsafe {
        tool.pre_exec(|| {
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        });
    }
    tool
}

fn send(child: &Child, signal: i32) {
    // SAFETY: the child has not been waited for, so its number is still its own.
    unsafe { libc::kill(child.id() as i32, signal) };
}

#[test]
fn a_signal_that_users_send_leaves_no_temporary_file() {
    let (place, text) = place(1000);
    let complete = place.run("opt m.clif --policy never").ok();
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let mut interrupted = 0;
        // A run may be over before the signal arrives.
        for _ in 0..100 {
            let child = writing(&place, with_default_signals(command(&place.path(""))));
            send(&child, signal);
            let output = child.wait_with_output().unwrap();
            assert_eq!(place.files(), ["m.clif", "out"], "{output:?}");
            assert_eq!(place.read("m.clif"), text);
            let found = place.read("out");
            if output.status.signal() == Some(signal) {
                interrupted += usize::from(found == OLD);
            } else {
                assert_eq!(output.status.code(), Some(0), "{output:?}");
            }
            assert!(found == OLD || found == complete, "the file is torn");
            if interrupted == 3 {
                break;
            }
        }
        assert_eq!(
            interrupted, 3,
            "runs that signal {signal} met while they wrote"
        );
    }
}

/// `nohup` has the signal ignored that a terminal sends when it goes away.
#[test]
fn a_signal_that_is_to_be_ignored_is() {
    let (place, _) = place(1000);
    let complete = place.run("opt m.clif --policy never").ok();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_clif-inline"))
        .current_dir(place.path(""));
    let child = writing(&place, shell);
    send(&child, libc::SIGHUP);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    assert!(place.read("out") == complete);
}

#[test]
fn the_folder_of_a_bisection_goes_with_a_signal() {
    let module = "function %f() {\n    fn0 = %g()\nblock0:\n    call fn0()\n    return\n}\n\
                  function %g() {\nblock0:\n    return\n}\n";
    let place = Workplace::with(&[("m.clif", module)]);
    place.run("opt m.clif -o out --plan-out m.plan").ok();
    fs::create_dir(place.path("temporary")).unwrap();
    // The command that is bisected sends the signal to the tool.
    let mut script = String::from("ls temporary/.tmp* > seen; kill -INT $PPID; ");
    script += "for i in $(seq 3000); do kill -0 $PPID || exit; sleep 0.01; done";
    let output = with_default_signals(command(&place.path("")))
        .args(["bisect", "m.clif", "--plan", "m.plan", "--"])
        .args(["sh", "-c", &script])
        .env("TMPDIR", place.path("temporary"))
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(output.signal(), Some(libc::SIGINT), "{output:?}");
    assert!(place.read("seen").contains("inlined.o"));
    assert_eq!(fs::read_dir(place.path("temporary")).unwrap().count(), 0);
}

#[test]
fn a_closed_standard_output_is_an_error_where_something_goes_there() {
    let run = "function %one() -> i32 {\nblock0:\n    v0 = iconst.i32 1\n    return v0\n}\n; run: %one() == 1\n";
    let place = Workplace::with(&[("m.clif", COUNTED), ("run.clif", run)]);
    let run = |arguments: &str, redirection: &str| {
        Command::new("sh")
            .args(["-c", &format!("exec \"$0\" \"$@\" {redirection}")])
            .arg(env!("CARGO_BIN_EXE_clif-inline"))
            .args(arguments.split(' '))
            .current_dir(place.path(""))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    for arguments in [
        "opt m.clif",
        "compile m.clif -o -",
        "graph m.clif",
        "explain m.clif --function main",
        "run run.clif",
        "opt m.clif -o out --stats",
    ] {
        let output = run(arguments, ">&-");
        assert_eq!(output.status.code(), Some(1), "{arguments}");
        let error = said(&output);
        assert!(
            error.contains("error: <stdout>: it is closed"),
            "{arguments}: {error}"
        );
        // The replacement of a closed stream by Rust's runtime is not an error if a user closes it.
        for open in [">/dev/null", "1<>/dev/null", "</dev/null >/dev/null 2>&1"] {
            assert_eq!(
                run(arguments, open).status.code(),
                Some(0),
                "{arguments} {open}"
            );
        }
    }
    assert_eq!(run("opt m.clif -o out", ">&-").status.code(), Some(0));
}

#[test]
fn a_full_standard_output_is_an_error() {
    let run = "function %one() -> i32 {\nblock0:\n    v0 = iconst.i32 1\n    return v0\n}\n; run: %one() == 1\n";
    let place = Workplace::with(&[("m.clif", COUNTED), ("run.clif", run)]);
    for arguments in [
        "opt m.clif",
        "compile m.clif -o -",
        "graph m.clif -o -",
        "run run.clif",
        "opt m.clif -o out --stats",
        "opt m.clif -o out --stats=json",
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command(&place.path(""))
            .args(arguments.split_whitespace())
            .stdin(Stdio::null())
            .stdout(full)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments}");
        let error = said(&output);
        assert!(
            error.contains("error: <stdout>: No space left"),
            "{arguments}: {error}"
        );
    }
}

#[test]
fn a_reader_that_goes_away_ends_any_command_without_a_word() {
    let (place, text) = place(100);
    for arguments in [
        "opt m.clif",
        "compile m.clif --quiet -o -",
        "graph m.clif -o -",
        "opt m.clif -o out --stats",
    ] {
        let mut child = command(&place.path(""))
            .args(arguments.split_whitespace())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(said(&output), "", "{arguments}");
        assert_eq!(output.status.code(), Some(1), "{arguments}");
        assert_eq!(place.read("m.clif"), text);
        assert_eq!(leftovers(&place), [""; 0]);
    }
}

/// Returns the tool in `folder` as a user without write permission, unlike root.
fn command_without_privileges(place: &Workplace, folder: &Path) -> Command {
    let probe = folder.join("probe");
    if fs::write(&probe, "").is_err() {
        return command(folder);
    }
    fs::remove_file(&probe).unwrap();
    let tool = place.path("tool");
    // By another process: a file that any thread of this one has open for writing cannot be
    // executed.
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_clif-inline"))
        .arg(&tool)
        .status();
    assert!(copied.unwrap().success());
    fs::set_permissions(&tool, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(place.path(""), Permissions::from_mode(0o755)).unwrap();
    let nobody = 65_534;
    let mut command = Command::new(tool);
    command.current_dir(folder).uid(nobody).gid(nobody);
    command
}

#[test]
fn a_folder_that_is_read_only_is_an_error_and_stays_as_it_is() {
    let place = Workplace::with(&[("read-only/m.clif", COUNTED), ("read-only/out", OLD)]);
    let folder = place.path("read-only");
    // The file itself may be written, but not replaced.
    fs::set_permissions(folder.join("out"), Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o555)).unwrap();
    for (output, arguments) in [
        ("out", ["opt", "m.clif", "-o", "out"]),
        ("new", ["opt", "m.clif", "-o", "new"]),
        ("new.o", ["compile", "m.clif", "-o", "new.o"]),
    ] {
        let mut tool = command_without_privileges(&place, &folder);
        let ran = tool.args(arguments).stdin(Stdio::null()).output().unwrap();
        assert_eq!(ran.status.code(), Some(1), "{ran:?}");
        let error = said(&ran);
        assert!(
            error.contains(&format!("error: {output}: Permission denied")),
            "{error}"
        );
        assert_eq!(fs::read_to_string(folder.join("out")).unwrap(), OLD);
        let mut names: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, [OsStr::new("m.clif"), OsStr::new("out")]);
    }
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
}
