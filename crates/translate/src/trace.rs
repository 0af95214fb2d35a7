//! The way of a packet through the tables, recorded.

use flow::{FlowKey, FlowMask, OfPort};
use openflow::action::Action;

use crate::view::{BridgeConfig, Rule};

/// Kind of a line, which decides how it is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeKind {
    /// Entry into a bridge: `bridge("br0")`.
    Bridge,
    /// A table and the rule that matched in it: ` 0. ip, priority 10`.
    Table,
    /// A bucket of a group.
    Bucket,
    /// State that is taken up again.
    Thaw,
    /// An action.
    Action,
    /// Something worth knowing: `-> learned that …`.
    Detail,
    /// Something wrong with the configuration: `>> …`.
    Warning,
    /// The end of the translation: `>>>> … <<<<`.
    Error,
}

impl NodeKind {
    /// Has nothing below it and always stands to the right.
    const fn is_leaf(self) -> bool {
        matches!(self, NodeKind::Action | NodeKind::Detail | NodeKind::Warning | NodeKind::Error)
    }

    /// Name in the structured form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            NodeKind::Bridge => "bridge",
            NodeKind::Table => "table",
            NodeKind::Bucket => "bucket",
            NodeKind::Thaw => "thaw",
            NodeKind::Action => "action",
            NodeKind::Detail => "detail",
            NodeKind::Warning => "warning",
            NodeKind::Error => "error",
        }
    }
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
        print(&mut out, &self.nodes, 0);
        out
    }
}

/// What stands last in its list takes no room to the right, so that a chain of resubmissions stays on the left.
fn print(out: &mut String, nodes: &[Node], level: usize) {
    for (i, node) in nodes.iter().enumerate() {
        let stays = node.kind.is_leaf() || node.kind == NodeKind::Bucket;
        let step = usize::from(stays || i + 1 < nodes.len());
        let indent = " ".repeat((level + step) * 4);
        let text = &node.text;
        match node.kind {
            NodeKind::Bridge => {
                out.push_str(&format!("\n{indent}{text}\n{indent}{}\n", "-".repeat(text.len())));
            }
            NodeKind::Table | NodeKind::Bucket | NodeKind::Thaw | NodeKind::Action => {
                out.push_str(&format!("{indent}{text}\n"));
            }
            NodeKind::Detail => out.push_str(&format!("{indent} -> {text}\n")),
            NodeKind::Warning => out.push_str(&format!("{indent} >> {text}\n")),
            NodeKind::Error => out.push_str(&format!("{indent} >>>> {text} <<<<\n")),
        }
        print(out, &node.children, level + 2 * step);
    }
}

/// How things are called in a trace.
pub trait Describe: Sync {
    /// A rule: match, priority, cookie: `tcp,in_port=1, priority 10`.
    fn rule(&self, bridge: &BridgeConfig, rule: &Rule) -> String;
    /// A table by number or name, right-aligned to two columns.
    fn table(&self, bridge: &BridgeConfig, table: u8) -> String {
        let _ = bridge;
        format!("{table:2}")
    }
    /// A list of actions.
    fn actions(&self, bridge: &BridgeConfig, actions: &[Action]) -> String;
    /// Whether the trace is to say why tables answer as they do.
    fn explains(&self) -> bool {
        false
    }
    /// The fields of a packet that a mask names.
    fn matching(&self, bridge: &BridgeConfig, key: &FlowKey, mask: &FlowMask) -> String {
        let _ = (bridge, key, mask);
        String::new()
    }
    /// A list of actions with numbers of ports and tables, never their names.
    fn numbered_actions(&self, bridge: &BridgeConfig, actions: &[Action]) -> String {
        self.actions(bridge, actions)
    }
    /// A port.
    fn port(&self, bridge: &BridgeConfig, port: OfPort) -> String {
        let _ = bridge;
        port.reserved_name().map_or_else(|| port.0.to_string(), str::to_owned)
    }
}

/// Records a trace while it grows: the open nodes, outermost first.
pub(crate) struct Recorder<'a> {
    pub describe: &'a dyn Describe,
    open: Vec<Node>,
    done: Vec<Node>,
}

impl<'a> Recorder<'a> {
    pub fn new(describe: &'a dyn Describe) -> Self {
        Recorder { describe, open: Vec::new(), done: Vec::new() }
    }

    pub fn add(&mut self, kind: NodeKind, text: String) {
        let node = Node { kind, text, children: Vec::new() };
        match self.open.last_mut() {
            Some(parent) => parent.children.push(node),
            None => self.done.push(node),
        }
    }

    pub fn enter(&mut self, kind: NodeKind, text: String) {
        self.open.push(Node { kind, text, children: Vec::new() });
    }

    pub fn leave(&mut self) {
        if let Some(node) = self.open.pop() {
            match self.open.last_mut() {
                Some(parent) => parent.children.push(node),
                None => self.done.push(node),
            }
        }
    }

    pub fn finish(mut self) -> Trace {
        while !self.open.is_empty() {
            self.leave();
        }
        Trace { nodes: self.done }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_stay_left() {
        let leaf = |kind, text: &str| Node { kind, text: text.into(), children: vec![] };
        let table = |text: &str, children| Node { kind: NodeKind::Table, text: text.into(), children };
        let one = table(" 1. priority 32768", vec![leaf(NodeKind::Action, "output:3")]);
        let set = table("--. Executing action set:", vec![leaf(NodeKind::Action, "output:2")]);
        let zero = table(
            " 0. tcp, priority 10",
            vec![
                leaf(NodeKind::Action, "write_actions(output:2)"),
                leaf(NodeKind::Detail, "action set is: output:2"),
                leaf(NodeKind::Action, "goto_table:1"),
                one,
                set,
            ],
        );
        let bridge = Node { kind: NodeKind::Bridge, text: "bridge(\"br0\")".into(), children: vec![zero] };
        let expect = "\nbridge(\"br0\")\n-------------\n 0. tcp, priority 10\n    write_actions(output:2)\n     -> action set is: output:2\n    goto_table:1\n     1. priority 32768\n            output:3\n--. Executing action set:\n    output:2\n";
        assert_eq!(Trace { nodes: vec![bridge] }.text(), expect);
    }
}
