//! Programs in shards against the same programs as a whole: the inlined calls, the costs, and their
//! growth.
//!
//! ```text
//! cargo bench --all-features --bench shards -- [--functions N] [--large N,N] [--emit DIR] [FILE.clif ...]
//! ```
//!
//! Without files, the program is generated. The functions of a file are dealt out to 24 shards in
//! runs, in their order. All shares of time are of CPU time, with reading and parsing, on one
//! thread. Of the large programs only some shards are compiled, and their cost stands for the
//! others. `--emit` writes object files of the generated program, whole and in shards, with and
//! without imports, for runs of it.

use cpu_time::ProcessTime;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_inliner::backend::{
    ObjectFunction, ObjectLinkage, TargetSettings, target, write_object,
};
use cranelift_inliner::decide::CostModel;
use cranelift_inliner::pass::{CompiledProgram, Inliner};
use cranelift_inliner::program::{FunctionName, Linkage, Program, function_text};
use cranelift_inliner::shard::{
    ShardFunctions, ShardPlan, ShardSummary, SummarizeOptions, thin_each,
};
use peak_alloc::PeakAlloc;
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

/// The shards of the programs that are compiled as a whole as well.
const SHARDS: usize = 24;

/// The functions of a shard of the large programs.
const PER_SHARD: usize = 100;

/// The shards of large programs that are compiled.
const SAMPLE: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut functions = 2400;
    let (mut emit, mut files, mut large) = (None, Vec::new(), vec![10_000, 30_000, 100_000]);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match &*argument {
            "--functions" => functions = arguments.next().unwrap_or_default().parse()?,
            "--emit" => emit = arguments.next().map(PathBuf::from),
            "--large" => {
                let counts = arguments.next().unwrap_or_default();
                let counts = counts.split(',').filter(|count| !count.is_empty());
                large = counts.map(str::parse).collect::<Result<_, _>>()?;
            }
            // Cargo passes it to every bench.
            "--bench" => {}
            _ => files.push(argument),
        }
    }
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1);
    one_thread.use_current_thread().build_global()?;
    let isa = target("host", &TargetSettings::new())?;
    println!("{SHARDS} shards, relative to the whole program");
    println!(
        "{:28} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "sites", "code", "CPU:", "summarize", "thin", "read", "whole:read"
    );
    for file in &files {
        let program = Program::from_clif(&fs::read_to_string(file)?, file)?;
        let name = Path::new(file)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        compare(&name, &dealt(&program)?, None, &isa, None)?;
    }
    let shards: Vec<String> = (0..SHARDS)
        .map(|shard| generated(shard, SHARDS, functions / SHARDS))
        .collect();
    let name = format!("{functions} generated");
    let exported: FxHashSet<FunctionName> = std::iter::once("start".parse()?).collect();
    compare(&name, &shards, None, &isa, None)?;
    let name = format!("{name}, one exported");
    compare(&name, &shards, Some(&exported), &isa, emit.as_deref())?;
    if !large.is_empty() {
        println!("\nlarge programs, {PER_SHARD} functions in a shard");
        println!(
            "{:>9} {:>9} {:>14} {:>14} {:>16} {:>12}",
            "functions", "sites", "thin, share", "bytes a site", "thin/function", "plans/site"
        );
        let mut first = None;
        for count in large {
            scale(count, &isa, &mut first)?;
        }
    }
    Ok(())
}

fn inliner() -> Inliner<'static> {
    Inliner::new(CostModel::default())
}

/// Deals the functions of a program out to shards, as text.
fn dealt(program: &Program) -> Result<Vec<String>, Box<dyn Error>> {
    let mut shards = vec![String::new(); SHARDS];
    let per_shard = program.len().div_ceil(SHARDS).max(1);
    for (id, function) in program.iter() {
        let shard = id.as_u32() as usize / per_shard;
        let text = function_text(function.body())?;
        writeln!(shards[shard], "{text}")?;
    }
    shards.retain(|shard| !shard.is_empty());
    Ok(shards)
}

/// Returns a shard of a program with functions in layers: one calls three of lower layers, of which
/// one in four is in another shard. Each shard has a small local function.
fn generated(shard: usize, shards: usize, per_shard: usize) -> String {
    let count = shards * per_shard;
    let mut text = String::from(
        "function %mix(i64, i64) -> i64 system_v {\nblock0(v0: i64, v1: i64):\n v2 = rotl v0, v1\n \
         v3 = bxor v2, v1\n return v3\n}\n",
    );
    for own in 0..per_shard {
        let id = shard * per_shard + own;
        // As many layers as fit into a walk that ends soon.
        let layer = id % 8;
        let callee = |n: usize| {
            let mixed = (id * 31 + n * 7919 + 13) * 2_654_435_761;
            let place = match mixed / 7 % 4 {
                0 => mixed / 64 % count,
                _ => shard * per_shard + mixed / 64 % per_shard,
            };
            let below = place - place % 8 + layer.saturating_sub(1 + n % 2).min(7);
            below % count
        };
        let _ = writeln!(text, "function %f{id}(i64) -> i64 system_v {{");
        let _ = writeln!(text, "    fn0 = %mix(i64, i64) -> i64 system_v");
        if layer > 0 {
            for n in 0..3 {
                let _ = writeln!(
                    text,
                    "    fn{} = %f{}(i64) -> i64 system_v",
                    n + 1,
                    callee(n)
                );
            }
        }
        let seed = id * 97 % 61;
        let _ = writeln!(
            text,
            "block0(v0: i64):\n    v1 = iconst.i64 {seed}\n    v2 = call fn0(v0, v1)"
        );
        if layer == 0 {
            let _ = writeln!(text, "    v3 = imul v2, v0\n    return v3\n}}");
            continue;
        }
        // About 90 instructions on average; real functions have more.
        let length = if own % 3 == 0 {
            4 + id % 7
        } else {
            100 + id % 61
        };
        let _ = writeln!(
            text,
            "    v3 = iconst.i64 1\n    v4 = band v2, v3\n    brif v4, block1, block2\n\
             block1:\n    v5 = call fn1(v2)\n    jump block3(v5)\n\
             block2:\n    v6 = call fn2(v2)\n    v7 = call fn3(v6)\n    jump block3(v7)\n\
             block3(v8: i64):"
        );
        let mut last = 8;
        for n in 0..length {
            let op = ["iadd", "imul", "bxor", "isub"][(id + n) % 4];
            let _ = writeln!(
                text,
                "    v{} = {op} v{last}, v{}",
                10 + n,
                [0, 1, 2][n % 3]
            );
            last = 10 + n;
        }
        let _ = writeln!(text, "    return v{last}\n}}");
    }
    if shard == 0 {
        let _ = writeln!(text, "function %start(i64) -> i64 system_v {{");
        let tops: Vec<usize> = (0..count).filter(|id| id % 8 == 7).take(40).collect();
        for (n, top) in tops.iter().enumerate() {
            let _ = writeln!(text, "    fn{n} = %f{top}(i64) -> i64 system_v");
        }
        let _ = writeln!(text, "block0(v0: i64):");
        for n in 0..tops.len() {
            let _ = writeln!(text, "    v{} = call fn{n}(v{n})", n + 1);
        }
        let _ = writeln!(text, "    return v{}\n}}", tops.len());
    }
    text
}

/// The results of building a program in one way.
#[derive(Default)]
struct Built {
    sites: usize,
    code: usize,
    cpu: Duration,
    summarize: Duration,
    thin: Duration,
    /// Reading and parsing in the backend.
    read: Duration,
}

fn compare(
    name: &str,
    shards: &[String],
    exported: Option<&FxHashSet<FunctionName>>,
    isa: &OwnedTargetIsa,
    emit: Option<&Path>,
) -> Result<(), Box<dyn Error>> {
    let mut best: [Option<Built>; 2] = [None, None];
    for _ in 0..3 {
        let built = [
            whole(shards, exported, isa, emit)?,
            in_shards(shards, exported, isa, emit)?,
        ];
        for (best, built) in best.iter_mut().zip(built) {
            if best.as_ref().is_none_or(|best| built.cpu < best.cpu) {
                *best = Some(built);
            }
        }
    }
    let [whole, parts] = best.map(Option::unwrap_or_default);
    let ratio = |part: f64, whole: f64| part / whole.max(1e-9);
    println!(
        "{name:28} {:9.3} {:9.3} {:9.3} {:9.3} {:9.4} {:9.3} {:9.3}",
        ratio(parts.sites as f64, whole.sites as f64),
        ratio(parts.code as f64, whole.code as f64),
        ratio(parts.cpu.as_secs_f64(), whole.cpu.as_secs_f64()),
        ratio(parts.summarize.as_secs_f64(), whole.cpu.as_secs_f64()),
        ratio(parts.thin.as_secs_f64(), whole.cpu.as_secs_f64()),
        ratio(parts.read.as_secs_f64(), whole.cpu.as_secs_f64()),
        ratio(whole.read.as_secs_f64(), whole.cpu.as_secs_f64()),
    );
    Ok(())
}

/// Local functions have the same name in each shard, so in the whole program they get others.
fn unique_locals(shard: usize, text: &str) -> String {
    text.replace("%mix(", &format!("%mix_{shard}("))
}

fn locals(
    program: &mut Program,
    exported: Option<&FxHashSet<FunctionName>>,
) -> Result<(), Box<dyn Error>> {
    let names: Vec<FunctionName> = program
        .iter()
        .map(|(_, function)| function.name().clone())
        .filter(|name| {
            let is_mix = name.to_string().starts_with("%mix");
            exported.map_or(!is_mix, |exported| exported.contains(name))
        })
        .collect();
    program.export_only(&names)?;
    Ok(())
}

fn whole(
    shards: &[String],
    exported: Option<&FxHashSet<FunctionName>>,
    isa: &OwnedTargetIsa,
    emit: Option<&Path>,
) -> Result<Built, Box<dyn Error>> {
    let texts = shards.iter().enumerate();
    let text: String = texts
        .map(|(shard, text)| unique_locals(shard, text))
        .collect();
    let start = ProcessTime::now();
    let mut program = Program::from_clif(&text, "whole")?;
    locals(&mut program, exported)?;
    let read = start.elapsed();
    let (inlined, compiled) = inliner().run_and_compile(&program, &**isa)?;
    let cpu = start.elapsed();
    if let Some(folder) = emit {
        write(
            folder,
            "whole.o",
            &program,
            &compiled,
            isa,
            &FxHashSet::default(),
        )?;
    }
    Ok(Built {
        sites: inlined
            .sites()
            .filter(|site| site.inlined && compiled.get(site.caller).is_some())
            .count(),
        code: compiled.code_bytes(),
        cpu,
        read,
        ..Built::default()
    })
}

/// Returns the bytes of a summary, and those of the functions.
fn summarized(number: usize, text: &str) -> Result<(Vec<u8>, Vec<u8>), Box<dyn Error>> {
    let mut program = Program::from_clif(text, "shard")?;
    locals(&mut program, None)?;
    let options = SummarizeOptions::default();
    let (summary, bodies) =
        ShardSummary::summarize_with_bodies(&program, &number.to_string(), &options);
    Ok((summary.to_bytes(), bodies.to_bytes()))
}

fn in_shards(
    shards: &[String],
    exported: Option<&FxHashSet<FunctionName>>,
    isa: &OwnedTargetIsa,
    emit: Option<&Path>,
) -> Result<Built, Box<dyn Error>> {
    let start = ProcessTime::now();
    let mut built = Built::default();
    let (mut summary_bytes, mut bodies) = (Vec::new(), Vec::new());
    for (number, text) in shards.iter().enumerate() {
        let (summary, functions) = summarized(number, text)?;
        summary_bytes.push(summary);
        bodies.push(functions);
    }
    built.summarize = start.elapsed();
    let inliner = inliner();
    let planning = ProcessTime::now();
    let mut summaries = Vec::new();
    for bytes in &summary_bytes {
        summaries.push(ShardSummary::from_bytes(bytes)?);
    }
    let mut texts = Vec::new();
    thin_each(summaries, exported, &inliner, |plan| {
        texts.push(plan.text.to_owned());
    })?;
    built.thin = planning.elapsed();
    let mut results = Vec::new();
    for text in &texts {
        results.push(compiled(text, &bodies, &inliner, isa, &mut built)?);
    }
    built.cpu = start.elapsed();
    if let Some(folder) = emit {
        for (number, (program, compiled, hidden)) in results.iter().enumerate() {
            write(
                folder,
                &format!("shard{number}.o"),
                program,
                compiled,
                isa,
                hidden,
            )?;
        }
        for (number, text) in shards.iter().enumerate() {
            let mut program = Program::from_clif(text, "alone")?;
            locals(&mut program, None)?;
            let (_, compiled) = inliner.run_and_compile(&program, &**isa)?;
            let name = format!("alone{number}.o");
            write(
                folder,
                &name,
                &program,
                &compiled,
                isa,
                &FxHashSet::default(),
            )?;
        }
    }
    Ok(built)
}

type Compiled = (Program, CompiledProgram, FxHashSet<FunctionName>);

fn compiled(
    plan: &str,
    bodies: &[Vec<u8>],
    inliner: &Inliner<'_>,
    isa: &OwnedTargetIsa,
    built: &mut Built,
) -> Result<Compiled, Box<dyn Error>> {
    let reading = ProcessTime::now();
    let plan: ShardPlan = plan.parse()?;
    let number = |shard: &str| shard.parse::<usize>().unwrap_or(usize::MAX);
    let own = bodies.get(number(plan.shard())).ok_or("no such shard")?;
    let own = ShardFunctions::read(&mut Cursor::new(own))?;
    let program = own.program();
    let wanted: BTreeMap<String, FxHashSet<FunctionName>> = plan
        .imports()
        .map(|(shard, functions)| (shard.to_owned(), functions.cloned().collect()))
        .collect();
    let linked = plan.link(program, |shard| {
        let wanted = wanted.get(shard)?;
        let bytes = bodies.get(number(shard))?;
        ShardFunctions::read_some(&mut Cursor::new(bytes), |name| wanted.contains(name)).ok()
    })?;
    built.read += reading.elapsed();
    let (inlined, compiled) = linked.run_and_compile(inliner, &**isa)?;
    built.sites += inlined
        .sites()
        .filter(|site| {
            let is_own = program.id(inlined_caller(&inlined, site)).is_some();
            site.inlined && is_own && compiled.get(site.caller).is_some()
        })
        .count();
    built.code += compiled.code_bytes();
    let hidden = linked.plan().hidden().cloned().collect();
    Ok((linked.program().clone(), compiled, hidden))
}

/// Sites in imported bodies are those of other shards.
fn inlined_caller<'a>(
    inlined: &'a cranelift_inliner::pass::Inlined,
    site: &cranelift_inliner::pass::SiteRecord,
) -> &'a FunctionName {
    let program = inlined.graph().program();
    program[site.caller].name()
}

fn write(
    folder: &Path,
    name: &str,
    program: &Program,
    compiled: &CompiledProgram,
    isa: &OwnedTargetIsa,
    hidden: &FxHashSet<FunctionName>,
) -> Result<(), Box<dyn Error>> {
    let functions: Vec<ObjectFunction<'_>> = compiled
        .iter()
        .map(|(id, compiled)| {
            let function = &program[id];
            let linkage = match function.linkage() {
                Linkage::Local => ObjectLinkage::Local,
                _ if hidden.contains(function.name()) => ObjectLinkage::Hidden,
                _ => ObjectLinkage::Export,
            };
            ObjectFunction::new(function.name().symbol(), linkage, compiled)
        })
        .collect();
    let symbol_of = |name: &_| FunctionName::from(Clone::clone(name)).symbol();
    let bytes = write_object(isa, name, &functions, symbol_of)?;
    fs::create_dir_all(folder)?;
    fs::write(folder.join(name), bytes)?;
    Ok(())
}

/// Plans a large program, and compiles some of its shards.
fn scale(
    count: usize,
    isa: &OwnedTargetIsa,
    first: &mut Option<f64>,
) -> Result<(), Box<dyn Error>> {
    let shards = count / PER_SHARD;
    let mut texts = Vec::with_capacity(shards);
    for shard in 0..shards {
        texts.push(generated(shard, shards, PER_SHARD));
    }
    // A summary at a time, as bytes, like in files.
    let summarizing = ProcessTime::now();
    let mut bytes = Vec::with_capacity(shards);
    let mut bodies = Vec::with_capacity(shards);
    for (number, text) in texts.iter().enumerate() {
        let (summary, functions) = summarized(number, text)?;
        bytes.push(summary);
        bodies.push(functions);
    }
    let summarizing = summarizing.elapsed();
    let inliner = inliner();
    let before = PEAK.current_usage();
    PEAK.reset_peak_usage();
    let planning = ProcessTime::now();
    let mut summaries = Vec::with_capacity(shards);
    for bytes in &bytes {
        summaries.push(ShardSummary::from_bytes(bytes)?);
    }
    let sites: usize = summaries.iter().map(ShardSummary::sites).sum();
    let mut plans = Vec::with_capacity(shards);
    thin_each(summaries, None, &inliner, |plan| {
        plans.push(plan.text.to_owned())
    })?;
    let planning = planning.elapsed();
    // The texts would be files.
    let plan_bytes: usize = plans.iter().map(String::len).sum();
    let memory = PEAK.peak_usage().saturating_sub(before + plan_bytes);
    let compiling = ProcessTime::now();
    let mut built = Built::default();
    let step = (shards / SAMPLE).max(1);
    let sample: Vec<&String> = plans.iter().step_by(step).collect();
    for plan in &sample {
        compiled(plan, &bodies, &inliner, isa, &mut built)?;
    }
    let compiling = compiling.elapsed().as_secs_f64() * shards as f64 / sample.len() as f64;
    let all = summarizing.as_secs_f64() + planning.as_secs_f64() + compiling;
    let each = planning.as_secs_f64() / count as f64;
    let reference = *first.get_or_insert(each);
    println!(
        "{count:9} {sites:9} {:13.2}% {:14.0} {:16.2} {:12.0}",
        planning.as_secs_f64() / all * 100.0,
        memory as f64 / sites as f64,
        each / reference,
        plan_bytes as f64 / sites as f64,
    );
    Ok(())
}
