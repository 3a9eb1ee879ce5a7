//! Bazel's remote execution with three workers, of which a job and a worker are lost.
//!
//! The server is BuildGrid's, on loopback, with `examples/shards/buildgrid.yml`, and the workers
//! are `examples/shards/bazel_worker.py`. The Python is that of `BUILDGRID_PYTHON`, or `python3`;
//! without the package `buildgrid`, the test is passed over.

use super::shards::{SHARDS, expected, has, importers_of, prepared};
use super::shards_bazel::{BUILD, Bazel, assert_same_objects, edited, named, result, thin};
use super::shards_cluster::{Process, WORKERS, noted, python, wait_for, write_noting_tool};
use super::support::Workplace;
use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

/// A program that notes its worker, with the tool as a file that goes along with it.
const TOOLS: &str = r#"
load(":noting.bzl", "noting")

noting(
    name = "clif-inline",
    script = "noting.sh",
    tool = "real",
    visibility = ["//visibility:public"],
)
"#;
const NOTING: &str = r#"
def _noting(ctx):
    program = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = program, target_file = ctx.file.script, is_executable = True)
    return [DefaultInfo(executable = program, runfiles = ctx.runfiles(files = [ctx.file.tool]))]

noting = rule(
    implementation = _noting,
    executable = True,
    attrs = {
        "script": attr.label(allow_single_file = True),
        "tool": attr.label(allow_single_file = True),
    },
)
"#;

fn example(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shards");
    folder.join(file).to_str().unwrap().to_owned()
}

struct Server {
    address: String,
    _process: Process,
}

impl Server {
    fn start(place: &Workplace, python: &str) -> Self {
        // Another program may take the port before the server does.
        let started = (0..5).find_map(|_| Self::start_at(place, python, free_port()));
        started.unwrap_or_else(|| panic!("no server\n{}", place.read("scheduler.log")))
    }

    fn start_at(place: &Workplace, python: &str, port: u16) -> Option<Self> {
        let address = format!("127.0.0.1:{port}");
        let settings = fs::read_to_string(example("buildgrid.yml")).unwrap();
        let settings = settings.replace("127.0.0.1:50051", &address);
        place.write("buildgrid.yml", &settings);
        let mut command = Command::new(python);
        command
            .args(["-c", "from buildgrid.server.app import cli; cli()"])
            .args(["server", "start", "buildgrid.yml"])
            .env("TMPDIR", place.path("temporary"));
        let mut process = Process::of(place, &mut command, "scheduler.log");
        let listens = wait_for("server", place, || {
            let ended = process.0.try_wait().unwrap().is_some();
            let listens = TcpStream::connect(&address).is_ok();
            (ended || listens).then_some(!ended)
        });
        listens.then_some(Self {
            address,
            _process: process,
        })
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn worker(place: &Workplace, python: &str, server: &Server, number: usize) -> Process {
    let mut command = Command::new(python);
    command
        .args([&example("bazel_worker.py"), &server.address])
        .arg(format!("worker{number}"))
        .env("TMPDIR", place.path("temporary"));
    Process::of(place, &mut command, &format!("worker{number}.log"))
}

#[test]
fn bazel_builds_on_three_workers_although_a_job_and_a_worker_are_lost() {
    if !cfg!(target_arch = "x86_64") || !has("cc") {
        return;
    }
    let (Some(bazel), Some(elsewhere)) = (Bazel::installed(), Bazel::installed()) else {
        return;
    };
    let Some(python) = python("BUILDGRID_PYTHON", "buildgrid.server") else {
        return;
    };
    let place = prepared();
    place.write("WORKSPACE", "");
    place.write("BUILD", BUILD);
    place.write("tools/BUILD", TOOLS);
    place.write("tools/noting.bzl", NOTING);
    write_noting_tool(&place, "tools/noting.sh", "$0.runfiles/__main__/tools/real");
    let tool = env!("CARGO_BIN_EXE_clif-inline");
    fs::copy(tool, place.path("tools/real")).unwrap();
    fs::create_dir(place.path("temporary")).unwrap();
    fs::create_dir(place.path("cas")).unwrap();

    let server = Server::start(&place, &python);
    let workers = 0..WORKERS;
    let mut workers: Vec<Process> = workers
        .map(|number| worker(&place, &python, &server, number))
        .collect();
    let executor = format!("--remote_executor=grpc://{}", server.address);
    // More than there are workers, and nothing runs here.
    let options = [&*executor, "--jobs=8", "--spawn_strategy=remote"];
    let mut command = bazel.command(&place, "//:link", &options);
    let mut building = Process::of(&place, &mut command, "jobs.log");
    // Every worker has done one job, and waits in another.
    let waiting = wait_for("second job of each worker", &place, || {
        let waiting = noted(&place, "waiting");
        let workers: BTreeSet<u32> = waiting.iter().map(|noted| noted.worker).collect();
        (workers.len() == WORKERS).then_some(waiting)
    });
    let second = workers[1].0.id();
    let job = waiting.iter().find(|noted| noted.worker == second).unwrap();
    let kill = ["-9", &job.job.to_string()];
    assert!(Command::new("kill").args(kill).status().unwrap().success());
    workers[0].kill();
    fs::remove_file(place.path("hold")).unwrap();
    let status = wait_for("end of the build", &place, || {
        building.0.try_wait().unwrap()
    });
    assert!(status.success(), "{}", place.read("jobs.log"));
    let built = bazel.built(place.read("jobs.log"));
    assert_eq!(built.objects, named(0..SHARDS), "{}", built.errors);
    assert_eq!(built.processes, SHARDS + 1, "{}", built.errors);
    let remote = format!("{} remote.", SHARDS + 1);
    assert!(built.errors.contains(&remote), "{}", built.errors);
    let all = noted(&place, "begun").len();
    assert!(all >= SHARDS + 2, "both ran again: {all}");
    assert_eq!(result(&place), expected());
    assert_same_objects(&place);

    let built = bazel.build(&place, "//:link", &options);
    assert_eq!(built.processes, 0, "{}", built.errors);
    // Another machine finds all results on the server.
    let built = elsewhere.build(&place, "//:link", &options);
    assert_eq!(built.processes, 0, "{}", built.errors);
    let cached = format!("{} remote cache hit", SHARDS + 1);
    assert!(built.errors.contains(&cached), "{}", built.errors);
    assert_eq!(noted(&place, "begun").len(), all);

    let changed = edited(&place, 64);
    thin(&place);
    let importers = importers_of(&place, 5);
    assert_eq!(importers, BTreeSet::from([0, 4, 5, 14]));
    let built = bazel.build(&place, "//:link", &options);
    assert_eq!(built.processes, importers.len() + 1, "{}", built.errors);
    assert_eq!(built.objects, named(importers), "{}", built.errors);
    assert_eq!(result(&place), changed);
}
