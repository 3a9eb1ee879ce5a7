//! One program of many builds, run in a debugger.

use super::lldb;
use super::programs::Subject;
use cranelift_inliner::backtrace::BacktraceTable;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

/// A frame as a debugger shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) function: String,
    pub(crate) line: u64,
    /// `n` for a frame of the machine, `i` for an inlined one, `t` for that of a tail call.
    pub(crate) kind: String,
    pub(crate) pc: u64,
    /// The frame pointer.
    pub(crate) fp: u64,
    /// The bits of its variables that have a place.
    pub(crate) variables: BTreeMap<String, String>,
}

/// A stop at a call of the host or at a trap.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) signal: String,
    /// Innermost first, without the entry.
    pub(crate) frames: Vec<Frame>,
    /// Whether the entry was reached.
    pub(crate) is_complete: bool,
}

/// The machine on which a host runs, and the debugger that runs it there.
pub(crate) struct Machine {
    pub(crate) target: &'static str,
    pub(crate) compiler: &'static str,
    pub(crate) options: &'static [&'static str],
    pub(crate) debugger: &'static str,
    pub(crate) emulator: Option<&'static str>,
    /// Whether `stacks.txt` gets the bytes of the stack at each stop.
    pub(crate) keeps_stacks: bool,
}

pub(crate) const NATIVE: Machine = Machine {
    target: "x64",
    compiler: "cc",
    options: &[],
    debugger: "gdb",
    emulator: None,
    keeps_stacks: false,
};

pub(crate) const LLDB: Machine = Machine {
    debugger: "lldb",
    ..NATIVE
};

pub(crate) const AARCH64: Machine = Machine {
    target: "aarch64",
    compiler: "aarch64-linux-gnu-gcc",
    options: &["-static"],
    debugger: "gdb-multiarch",
    emulator: Some("qemu-aarch64"),
    keeps_stacks: false,
};

impl Machine {
    /// Returns whether all its programs are installed.
    pub(crate) fn is_here(&self) -> bool {
        let programs = [self.compiler, self.debugger]
            .into_iter()
            .chain(self.emulator);
        programs.into_iter().all(has) && (self.debugger != "lldb" || lldb::has_python())
    }
}

/// The entries of a host.
pub(crate) struct Host {
    /// The number of calls of a run at each of which it stops. Later it stops only at some.
    stopping_first: u64,
    /// The program that runs the entries, in C.
    program: &'static str,
    /// The arguments of the linker after the object files.
    libraries: Vec<String>,
    /// The arguments of the program.
    arguments: Vec<String>,
    /// The bytes behind the program in which its memory may be.
    memory_behind: u64,
    declarations: String,
    rows: String,
    count: usize,
}

impl Default for Host {
    fn default() -> Self {
        Host::stopping_first(1000)
    }
}

impl Host {
    /// Returns a host whose runs stop at each of the first `count` calls, and then at one call in
    /// each doubling of their number.
    pub(crate) fn stopping_first(count: u64) -> Self {
        Host {
            stopping_first: count,
            program: include_str!("host.c"),
            libraries: vec!["-lm".to_owned()],
            arguments: Vec::new(),
            memory_behind: 0,
            declarations: String::new(),
            rows: String::new(),
            count: 0,
        }
    }

    /// Returns a host that runs WebAssembly programs with the static library `runtime`. The program
    /// gets `arguments`.
    pub(crate) fn of_wasm(count: u64, runtime: &Path, arguments: &[&str]) -> Self {
        let table = BacktraceTable::link([]).unwrap();
        let runtime = runtime.display().to_string();
        let mut libraries = vec![runtime];
        libraries.extend(["-lpthread", "-ldl", "-lm", "-lgcc_s"].map(str::to_owned));
        Host {
            program: include_str!("wasm_host.c"),
            libraries,
            arguments: arguments.iter().copied().map(str::to_owned).collect(),
            memory_behind: 1 << 30,
            declarations: format!(
                "const uint8_t backtraces[] = {{{}}};\nconst uint64_t backtraces_size = {};\n",
                bytes(table.bytes()),
                table.bytes().len()
            ),
            ..Host::stopping_first(count)
        }
    }

    /// Adds a run as the host's program declares it, and returns its number.
    pub(crate) fn add_run(&mut self, declarations: &str, row: &str) -> usize {
        self.declarations.push_str(declarations);
        writeln!(self.rows, "{{{row}}},").unwrap();
        self.count += 1;
        self.count - 1
    }

    /// Adds the invocations of a program whose entries are `prefixN`, and returns their numbers.
    pub(crate) fn add_all(&mut self, subject: &Subject, prefix: &str) -> Vec<usize> {
        let invocations = subject.invocations.iter().zip(subject.entries());
        let runs = invocations
            .enumerate()
            .map(|(run, (invocation, (_, signature)))| {
                let values = invocation.arguments.iter().map(|argument| {
                    let mut bytes = [0; 16];
                    argument.write_to_slice_le(&mut bytes);
                    bytes
                });
                let values: Vec<[u8; 16]> = values.collect();
                let count = signature.params.len().max(signature.returns.len());
                self.add(&format!("{prefix}{run}"), &values, count)
            });
        runs.collect()
    }

    /// Adds the call of the function `symbol` with the 16 bytes of each argument, and returns its
    /// number.
    pub(crate) fn add(&mut self, symbol: &str, arguments: &[[u8; 16]], values: usize) -> usize {
        let number = self.count;
        let mut words: Vec<String> = arguments
            .iter()
            .flat_map(|bytes| bytes.as_chunks::<8>().0)
            .map(|word| format!("{}u", u64::from_le_bytes(*word)))
            .collect();
        words.resize(2 * values.max(1), "0".to_owned());
        let declarations = format!(
            "extern void {symbol}(uint64_t *);\n\
             static const uint64_t arguments_{number}[] = {{{}}};\n",
            words.join(", ")
        );
        let row = format!("{symbol}, arguments_{number}, {}", values.max(1));
        self.add_run(&declarations, &row)
    }

    /// Returns the source of the host.
    fn source(&self) -> String {
        format!(
            "enum {{ STOPPING_FIRST = {}, MEMORY_BEHIND = {} }};\n{}\n{}\n{}\nconst struct run runs[] = {{{}}};\n\
             const uint64_t run_count = {};\n",
            self.stopping_first,
            self.memory_behind,
            include_str!("probe.c"),
            self.program,
            self.declarations,
            self.rows,
            self.count
        )
    }

    /// Links the host with all object files of `folder` to `folder/host`.
    pub(crate) fn link(&self, compiler: &str, options: &[&str], folder: &Path) {
        fs::write(folder.join("host.c"), self.source()).unwrap();
        let mut objects: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "o"))
            .collect();
        objects.sort();
        let output = Command::new(compiler)
            .args(["-O1", "-w", "-o", "host", "host.c"])
            .args(options)
            .args(objects)
            .args(&self.libraries)
            .current_dir(folder)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
    }

    /// Returns the stops of each run in the machine's debugger; `None` if it may not trace here.
    pub(crate) fn stops_on(&self, machine: &Machine, folder: &Path) -> Option<Vec<Vec<Stop>>> {
        match self.try_stops_on(machine, folder) {
            Ok(stops) => Some(stops),
            Err(error) if error.contains("ptrace") => {
                eprintln!("passed over: {} may not trace: {error}", machine.debugger);
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Returns the stops of each run in the machine's debugger, or its complaint.
    pub(crate) fn try_stops_on(
        &self,
        machine: &Machine,
        folder: &Path,
    ) -> Result<Vec<Vec<Stop>>, String> {
        let file = folder.join("stops.txt");
        // None may be left from a run before.
        let _ = fs::remove_file(&file);
        match machine.debugger {
            "lldb" => lldb::run(folder, &self.arguments)?,
            _ => run_in_gdb(machine, folder, &self.arguments)?,
        }
        let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
        Ok(self.parse(&text))
    }

    fn parse(&self, text: &str) -> Vec<Vec<Stop>> {
        let mut stops = vec![Vec::new(); self.count];
        for line in text.lines() {
            let mut fields = line.split('\t');
            let run: usize = fields.next().unwrap().parse().unwrap();
            let signal = fields.next().unwrap().to_owned();
            let mut frames: Vec<&str> = fields.collect();
            let is_complete = frames.last() == Some(&"entry");
            if is_complete {
                frames.pop();
            }
            let frames = frames.into_iter().map(|frame| parse(frame, line)).collect();
            stops[run].push(Stop {
                signal,
                frames,
                is_complete,
            });
        }
        stops
    }
}

fn run_in_gdb(machine: &Machine, folder: &Path, arguments: &[String]) -> Result<(), String> {
    let mut emulator = None;
    let mut setup =
        String::from("set pagination off;set startup-with-shell off;set backtrace limit unlimited");
    let mut start = format!("run {}", arguments.join(" "));
    if let Some(program) = machine.emulator {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut command = Command::new(program);
        command.args(["-g", &port.to_string(), "./host"]);
        emulator = Some(command.current_dir(folder).spawn().unwrap());
        // The emulator may need a moment until it listens.
        setup += ";set tcp auto-retry on;break stop";
        start = format!("target remote 127.0.0.1:{port};continue");
    }
    fs::write(folder.join("stops.py"), include_str!("stops.py")).unwrap();
    let mut command = Command::new(machine.debugger);
    if machine.keeps_stacks {
        command.env("STOPS_STACKS", "1");
    }
    let output = command
        .args(["--batch", "-nx", "-x", "stops.py", "host"])
        .env("STOPS_OUTPUT", "stops.txt")
        .env("STOPS_SETUP", setup)
        .env("STOPS_START", start)
        .current_dir(folder)
        .output();
    if let Some(mut emulator) = emulator {
        // It has ended with the program, unless the debugger failed.
        let _ = emulator.kill();
        let _ = emulator.wait();
    }
    let output = output.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    match output.status.success() && errors.trim().is_empty() {
        true => Ok(()),
        false => Err(format!("{said}{errors}")),
    }
}

/// Returns bytes as the elements of an array in C.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    numbers.join(", ")
}

/// Returns a number that is written as `0x1f`.
pub(crate) fn number(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

fn parse(frame: &str, line: &str) -> Frame {
    let parts: Vec<&str> = frame.split(' ').collect();
    match parts[..] {
        [function, line, kind, pc, fp, ref variables @ ..] => Frame {
            function: function.to_owned(),
            line: line.parse().unwrap(),
            kind: kind.to_owned(),
            pc: number(pc),
            fp: number(fp),
            variables: variables
                .iter()
                .filter_map(|variable| variable.split_once('='))
                .map(|(name, bits)| (name.to_owned(), bits.to_owned()))
                .collect(),
        },
        _ => panic!("not a frame: {line}"),
    }
}

/// Returns whether `program` can be started.
pub(crate) fn has(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let works = command.status().is_ok_and(|status| status.success());
    if !works {
        eprintln!("passed over: no {program}");
    }
    works
}
