//! The graph as text for Graphviz.

use super::{CallGraph, CallKind, CallNode, NodeId, SiteId, SiteRef};
use crate::program::{Linkage, Program};
use cranelift_entity::EntityRef;
use petgraph::dot::{Config, Dot};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

impl CallGraph {
    /// Returns the graph in the DOT language of Graphviz.
    ///
    /// Functions of the program are boxes: with a bold border when exported, a plain one when
    /// local, a dashed one when interposable, and doubled when their address is taken. Names that
    /// the program does not define are dotted ellipses. An arrow is one call site; its label is the
    /// opcode unless that is a plain `call`.
    ///
    /// ```
    /// use cranelift_inliner::graph::CallGraph;
    /// use cranelift_inliner::program::Program;
    ///
    /// let text = "function %f() {\n fn0 = %g()\nblock0:\n return_call fn0()\n}";
    /// let program = Program::from_clif(text, "example")?;
    /// let dot = CallGraph::new(&program).to_dot();
    /// assert!(dot.contains("0 -> 1 [ label=\"return_call\"]"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_dot(&self) -> String {
        self.to_dot_with(|_| String::new())
    }

    /// Like [`to_dot`](Self::to_dot), with more attributes for each arrow.
    ///
    /// `attributes` is called once per call site, in the order of the edges, and returns DOT
    /// attributes such as `color=red tooltip="too large"`; text of unknown content goes through
    /// [`dot_quoted`]. An attribute given here replaces one that the arrow already has.
    pub fn to_dot_with(&self, attributes: impl Fn(SiteRef<'_>) -> String) -> String {
        let program = self.program();
        let edge_attributes = |site: Option<SiteRef<'_>>| {
            let Some(site) = site else {
                return String::new();
            };
            let mut own = match site.edge.kind {
                CallKind::Call => String::new(),
                kind => format!("label={}", dot_quoted(&kind.to_string())),
            };
            let more = attributes(site);
            if !own.is_empty() && !more.is_empty() {
                own.push(' ');
            }
            own + &more
        };
        let mut graph: DiGraph<(), ()> = DiGraph::new();
        self.nodes().for_each(|_| {
            graph.add_node(());
        });
        for caller in self.edges.of.keys() {
            for callee in self.edges.callees_of(caller) {
                let [caller, callee] = [caller.index(), callee.index()];
                graph.add_edge(NodeIndex::new(caller), NodeIndex::new(callee), ());
            }
        }
        format!(
            "{:?}",
            Dot::with_attr_getters(
                &graph,
                &[Config::EdgeNoLabel, Config::NodeNoLabel],
                &|_, edge| edge_attributes(self.site(SiteId::new(edge.id().index()))),
                &|_, (node, ())| self.node_attributes(program, NodeId::new(node.index())),
            )
        )
    }

    fn node_attributes(&self, program: &Program, node: NodeId) -> String {
        let (label, shape) = match self.edges.node(node) {
            Some(CallNode::Function(id)) => match program.get(*id) {
                Some(function) => {
                    let style = match function.linkage() {
                        Linkage::Exported => "bold",
                        Linkage::Local => "solid",
                        Linkage::Interposable | Linkage::AvailableExternally => "dashed",
                    };
                    let shape = format!("shape=box style={style}");
                    (function.name().to_string(), shape)
                }
                None => (id.to_string(), "shape=box".to_string()),
            },
            Some(CallNode::External(name)) => (name.to_string(), "style=dotted".to_string()),
            Some(CallNode::Runtime(name)) => {
                (name.display(None).to_string(), "style=dotted".to_string())
            }
            None => (String::new(), String::new()),
        };
        let doubled = if self.node_address_taken(node) > 0 {
            " peripheries=2"
        } else {
            ""
        };
        format!("label={} {shape}{doubled}", dot_quoted(&label))
    }
}

/// Quotes `text` as a string of the DOT language that is displayed literally: Graphviz would take
/// backslashes for its own escapes and ampersands for entities of HTML.
///
/// ```
/// use cranelift_inliner::graph::dot_quoted;
///
/// assert_eq!(dot_quoted("say \"a\\b\"\n&c"), r#""say \"a\\b\"\n&amp;c""#);
/// ```
pub fn dot_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '&' => quoted.push_str("&amp;"),
            c if c.is_control() => quoted.push('\u{fffd}'),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
