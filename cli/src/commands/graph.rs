//! `clif-inline graph`: draws the call graph.

use crate::arguments::{GraphArguments, LayoutArgument};
use crate::drawing::picture::Picture;
use crate::drawing::{dot, svg};
use crate::failure::{Failure, warn};
use crate::names;
use crate::output::Output;
use crate::progress::Progress;
use crate::records::Records;
use crate::stage;
use crate::statistics::Statistics;
use std::path::Path;
use std::time::Instant;

/// Beyond this number of boxes the tool advises against a picture.
const MOST_BOXES: usize = 1000;

pub(crate) fn graph(arguments: &GraphArguments) -> Result<(), Failure> {
    let started = Instant::now();
    let common = &arguments.common;
    let path = arguments.output.as_deref().unwrap_or(Path::new("-"));
    let output = Output::from_argument(path);
    let records = Records::new(common, &arguments.plan)?;
    let is_svg = path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("svg"));

    let mut statistics = Statistics::default();
    let mut phases = statistics.microseconds;
    let progress = Progress::new();
    let isa = stage::target(&arguments.target)?;
    let program = stage::read(&arguments.inputs.paths, common, &progress, &mut phases)?;
    let find = |name| {
        let id = program.id(name);
        id.ok_or_else(|| names::unknown("--around", name, &program))
    };
    let around: Vec<_> = arguments
        .around
        .iter()
        .map(find)
        .collect::<Result<_, _>>()?;
    stage::verify(&program, &*isa, common, &progress, &mut phases)?;
    let policy = records.policy(common);
    let inlined = stage::inline(&program, &*isa, common, policy, &progress, &mut phases)?;
    records.compare(&program, &inlined, &progress)?;
    statistics.add(&program, &inlined);

    progress.begin("drawing");
    let writing = Instant::now();
    records.write(&program, &inlined)?;
    let mut picture = Picture::new(&program, &inlined);
    if !around.is_empty() {
        picture = picture.around(&around, arguments.depth);
    }
    let bytes = if is_svg {
        draw(&picture, arguments.layout)?
    } else {
        dot::text(&picture).into_bytes()
    };
    output.write_bytes(&bytes)?;
    drop(progress);
    phases.write = writing.elapsed();
    phases.total = started.elapsed();
    statistics.microseconds = phases;
    let boxes = picture.nodes().len();
    if is_svg && boxes > MOST_BOXES {
        warn(&format!(
            "{boxes} boxes are hard to read; `--around NAME --depth N` draws a part, and `report` \
             has tables and pictures of each function"
        ));
    }
    if common.report.stats.is_none() {
        output.tell("");
    }
    let taken = output.is_standard_output() || records.take_standard_output();
    statistics.print(common, taken)
}

fn draw(picture: &Picture<'_>, layout: LayoutArgument) -> Result<Vec<u8>, Failure> {
    match layout {
        LayoutArgument::Builtin => Ok(svg::text(picture).into_bytes()),
        LayoutArgument::Graphviz => {
            dot::graphviz(dot::text(picture)).map_err(|error| Failure::new(format!("dot: {error}")))
        }
    }
}
