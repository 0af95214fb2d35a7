//! The way of a packet through the tables, recorded.

/// Kind of a line, which decides how it is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeKind {
    /// Entry into a bridge: `bridge("br0")`.
    Bridge,
    /// A table and the rule that matched in it: ` 0. ip, priority 10`.
    Table,
    /// An action.
    Action,
    /// Something worth knowing: `-> learned that …`.
    Detail,
    /// Something wrong with the configuration: `>> …`.
    Warning,
    /// The end of the translation: `>>>> … <<<<`.
    Error,
    /// A bucket of a group.
    Bucket,
    /// State that is taken up again.
    Thaw,
}

/// A line, and what happened under it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Kind.
    pub kind: NodeKind,
    /// Text without indentation and marks.
    pub text: String,
    /// What follows from it.
    pub children: Vec<Node>,
}

/// The whole way.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trace {
    /// Entries into bridges.
    pub nodes: Vec<Node>,
}

impl Trace {
    /// The text of `ofproto/trace`, without the lines before and after it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        print(&mut out, &self.nodes, 0, true);
        out
    }
}

fn line(out: &mut String, indent: usize, text: &str) {
    for _ in 0..indent {
        out.push(' ');
    }
    out.push_str(text);
    out.push('\n');
}

/// Prints a list of nodes. A table whose node is the last of its list continues its parent's numbering, so that a
/// chain of resubmissions does not move further and further to the right.
fn print(out: &mut String, nodes: &[Node], level: usize, top: bool) {
    for (i, node) in nodes.iter().enumerate() {
        let last = i + 1 == nodes.len();
        match node.kind {
            NodeKind::Bridge => {
                out.push('\n');
                line(out, level, &node.text);
                line(out, level, &"-".repeat(node.text.len()));
                print(out, &node.children, level, true);
            }
            NodeKind::Table | NodeKind::Thaw if node.kind == NodeKind::Thaw => {
                line(out, level + 4, &node.text);
                print(out, &node.children, level + 4, false);
            }
            NodeKind::Table => {
                let shift = if top || last { 0 } else { 4 };
                line(out, (level + shift).saturating_sub(if top { 0 } else { 4 }), &node.text);
                print(out, &node.children, level + shift + if top { 4 } else { 0 }, false);
            }
            NodeKind::Action | NodeKind::Thaw => {
                line(out, level, &node.text);
                print(out, &node.children, level, false);
            }
            NodeKind::Bucket => {
                line(out, level, &node.text);
                print(out, &node.children, level + 4, false);
            }
            NodeKind::Detail => line(out, level, &format!(" -> {}", node.text)),
            NodeKind::Warning => line(out, level, &format!(" >> {}", node.text)),
            NodeKind::Error => line(out, level, &format!(" >>>> {} <<<<", node.text)),
        }
    }
}
