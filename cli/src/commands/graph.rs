//! `clif-inline graph`: draws the call graph.

use super::job::Job;
use crate::arguments::{GraphArguments, LayoutArgument};
use crate::drawing::picture::Picture;
use crate::drawing::{dot, svg};
use crate::failure::{Failure, warn};
use crate::names;
use crate::output::Output;
use std::path::Path;

/// Beyond this number of boxes the tool advises against a picture.
const MOST_BOXES: usize = 1000;

pub(crate) fn graph(arguments: &GraphArguments) -> Result<(), Failure> {
    let path = arguments.output.as_deref().unwrap_or(Path::new("-"));
    let output = Output::from_argument(path);
    output.is_none_of(&arguments.inputs.paths)?;
    let is_svg = path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("svg"));
    let mut job = Job::begin(&arguments.common, &arguments.plan, &arguments.target)?;
    let program = job.read(&arguments.inputs.paths, &[("--output", &output)])?;
    let find = |name| {
        let id = program.id(name);
        id.ok_or_else(|| names::unknown("--around", name, &program))
    };
    let around: Vec<_> = arguments
        .around
        .iter()
        .map(find)
        .collect::<Result<_, _>>()?;
    let inlined = job.inline(&program)?;
    let (finished, boxes) = job.write("drawing", &program, &inlined, |_| {
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
        Ok(picture.nodes(ToString::to_string).len())
    })?;
    if is_svg && boxes > MOST_BOXES {
        warn(&format!(
            "{boxes} boxes are hard to read; `--around NAME --depth N` draws a part, and `report` \
             has tables and pictures of each function"
        ));
    }
    finished.tell(&output, "");
    finished.print(&output)
}

fn draw(picture: &Picture<'_>, layout: LayoutArgument) -> Result<Vec<u8>, Failure> {
    match layout {
        LayoutArgument::Builtin => Ok(svg::text(picture).into_bytes()),
        LayoutArgument::Graphviz => dot::graphviz(dot::text(picture))
            .map_err(|error| Failure::new(format!("Graphviz's program dot: {error}"))),
    }
}
