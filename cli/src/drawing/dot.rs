//! The graph for Graphviz.

use super::Look;
use super::picture::Picture;
use crate::verdict::Verdict;
use cranelift_inliner::graph::dot_quoted;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};
use std::thread;

/// Returns the graph in the DOT language: one arrow per call site, sizes before and after in the
/// nodes, and a legend.
pub(crate) fn text(picture: &Picture<'_>) -> String {
    let graph = picture.inlined.graph();
    let graph = graph.to_dot_with(|site| {
        let (verdict, reason) = picture.verdict(site);
        let Look { color, style, .. } = Look::of(verdict);
        let tooltip = dot_quoted(&format!("{verdict}: {reason}"));
        format!(
            "color={} style={style} tooltip={tooltip}",
            dot_quoted(color)
        )
    });
    // Later attributes of a node replace earlier ones.
    let mut text = String::with_capacity(graph.len());
    for line in graph.lines().filter(|line| *line != "}") {
        if is_shown(picture, line) {
            text.push_str(line);
            text.push('\n');
        }
    }
    // Writing to a string does not fail.
    let nodes = 0..picture.inlined.graph().node_count();
    let shown = nodes.filter(|&index| picture.shows(index));
    for (index, node) in shown.zip(picture.nodes(ToString::to_string)) {
        if node.linkage.is_some() {
            let label = dot_quoted(&format!("{}\n{}", node.name, node.size));
            let color = if node.dropped {
                " color=gray60 fontcolor=gray60"
            } else {
                ""
            };
            let _ = writeln!(text, "    {index} [ label={label}{color} ]");
        }
    }
    text.push_str(&legend());
    text.push_str("}\n");
    text
}

/// Returns whether the nodes of a line are shown; the line begins with `0 [` or `0 -> 1 [`.
fn is_shown(picture: &Picture<'_>, line: &str) -> bool {
    let before = line.split('[').next().unwrap_or_default();
    let nodes = before
        .split_whitespace()
        .filter_map(|word| word.parse().ok());
    nodes.into_iter().all(|node| picture.shows(node))
}

/// Returns the legend as a table in one node: its edges would be laid out like those of the graph.
fn legend() -> String {
    let mut rows = String::new();
    for verdict in Verdict::ALL {
        let Look {
            color,
            style,
            meaning,
            ..
        } = Look::of(verdict);
        // Writing to a string does not fail.
        let _ = write!(
            rows,
            "<TR><TD ALIGN=\"LEFT\"><FONT COLOR=\"{color}\">{style}: {meaning}</FONT></TD></TR>"
        );
    }
    for note in [
        "in each box: instructions before → after",
        "bold: exported; dashed: interposable",
    ] {
        let _ = write!(rows, "<TR><TD ALIGN=\"LEFT\">{note}</TD></TR>");
    }
    format!("    legend [ shape=none label=<<TABLE CELLBORDER=\"0\">{rows}</TABLE>> ]\n")
}

/// Draws `text` as SVG with Graphviz's program `dot`.
///
/// # Errors
///
/// Returns the error of the system, or the error output of `dot`.
pub(crate) fn graphviz(text: String) -> io::Result<Vec<u8>> {
    let mut child = Command::new("dot")
        .arg("-Tsvg")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let writer = child.stdin.take().map(|mut stdin| {
        // `dot` may end early; its own error is then more useful than the error of the write.
        thread::spawn(move || drop(stdin.write_all(text.as_bytes())))
    });
    let output = child.wait_with_output()?;
    if let Some(writer) = writer {
        let _ = writer.join();
    }
    if output.status.success() {
        Ok(output.stdout)
    } else {
        let message = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(message.trim().to_owned()))
    }
}
