//! The plot of part (e).

use plotters::prelude::*;
use std::path::Path;

/// The cost of a call, in seconds, by the number of calls.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(usize, f64)>,
}

/// Draws all lines, with costs relative to the first of the first line.
pub(crate) fn draw(lines: &[Line], path: &Path) -> Result<(), String> {
    try_draw(lines, path).map_err(|error| error.to_string())
}

fn try_draw(lines: &[Line], path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let base = points().next().ok_or("nothing was measured")?.1;
    let costs = || points().map(|(_, cost)| cost / base);
    let least = costs().fold(f64::INFINITY, f64::min);
    let greatest = costs().fold(0.0, f64::max);
    let largest = points().map(|(size, _)| *size).max().unwrap_or(1);

    let area = SVGBackend::new(path, (860, 520)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(
            (100f64..largest as f64).log_scale(),
            (least * 0.8..greatest * 1.25).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("calls")
        .y_desc("cost of a call, relative")
        .draw()?;
    for (index, line) in lines.iter().enumerate() {
        // Both sides of a shape have the same colour; the peer's line is thinner.
        let color = Palette99::pick(index / 2).to_rgba();
        let width = if index % 2 == 0 { 3 } else { 1 };
        let style = color.stroke_width(width);
        let points = line.points.iter();
        let points = points.map(|&(size, cost)| (size as f64, cost / base));
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK)
        .position(SeriesLabelPosition::UpperLeft)
        .draw()?;
    area.present()?;
    Ok(())
}
