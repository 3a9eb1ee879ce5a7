//! A picture: run time against code, each way to compile a point.

use plotters::prelude::*;
use std::path::Path;

/// A way to compile, with its code and its run time against no inlining.
pub(crate) struct Point {
    pub(crate) name: String,
    pub(crate) code: f64,
    pub(crate) run: f64,
}

/// Where the names of points with about the code of no inlining stand, in terms of code.
const NAMES_AT: f64 = 1.35;

/// The distance between two names, in terms of run time.
const NAME_HEIGHT: f64 = 0.05;

pub(crate) fn draw(points: &[Point], path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let most = points.iter().map(|point| point.code).fold(1.0, f64::max);
    let area = SVGBackend::new(path, (720, 400)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(14)
        .x_label_area_size(46)
        .y_label_area_size(56)
        .build_cartesian_2d((0.7..most * 1.6).log_scale(), 0.0..1.1)?;
    chart
        .configure_mesh()
        .x_desc("code, against no inlining")
        .y_desc("run time, against no inlining")
        .x_labels(10)
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 15))
        .light_line_style(WHITE)
        .draw()?;
    // Names stand in a column beside the points, apart from each other, and lines lead to them.
    let mut sorted: Vec<&Point> = points.iter().collect();
    sorted.sort_by(|a, b| b.run.total_cmp(&a.run));
    let mut lowest = f64::INFINITY;
    for point in sorted {
        // The variants of this crate stand out.
        let ours = point.name.contains("default");
        let color = match ours {
            true => RGBColor(0, 90, 160),
            false => RGBColor(110, 110, 110),
        };
        let at = (point.code, point.run);
        let name = match point.code < NAMES_AT {
            true => (NAMES_AT, point.run.min(lowest - NAME_HEIGHT)),
            false => (point.code * 1.05, point.run),
        };
        if point.code < NAMES_AT {
            lowest = name.1;
        }
        chart.draw_series([PathElement::new([at, name], color.mix(0.5))])?;
        chart.draw_series([Circle::new(at, if ours { 5 } else { 4 }, color.filled())])?;
        let style = ("sans-serif", 14).into_font().color(&color);
        let text = Text::new(point.name.clone(), (4, -7), style);
        chart.draw_series([EmptyElement::at(name) + text])?;
    }
    area.present()?;
    Ok(())
}
