//! What the demonstration prints.

use crate::demo::hosts::Host;
use io::dirs;
use std::sync::Arc;
use std::time::Duration;

/// One ordered pair of hosts.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Round-trip time, if an answer came.
    pub rtt: Option<Duration>,
    /// Whether one was expected.
    pub expected: bool,
}

impl Cell {
    fn is_good(&self) -> bool {
        self.rtt.is_some() == self.expected
    }

    fn text(&self) -> String {
        let seen = match self.rtt {
            Some(t) => format!("{:.3} ms", t.as_secs_f64() * 1000.0),
            None => "-".into(),
        };
        match (self.is_good(), self.expected) {
            (true, _) => seen,
            (false, true) => format!("{seen} !expected an answer"),
            (false, false) => format!("{seen} !expected none"),
        }
    }
}

/// A title with a line under it.
pub fn heading(text: &str) {
    println!("\n{text}\n{}", "-".repeat(text.chars().count()));
}

/// Prints who reaches whom; true if every cell is as expected.
pub fn matrix(names: &[&str], cells: &[Vec<Option<Cell>>]) -> bool {
    print!("{}", matrix_text(names, cells));
    cells.iter().flatten().flatten().all(Cell::is_good)
}

fn matrix_text(names: &[&str], cells: &[Vec<Option<Cell>>]) -> String {
    let text = |c: &Option<Cell>| c.as_ref().map_or(String::new(), Cell::text);
    let widest = cells.iter().flatten().map(|c| text(c).len()).max().unwrap_or(0).max(8);
    let row = |first: &str, rest: Vec<String>| {
        let rest: String = rest.iter().map(|s| format!("  {s:>widest$}")).collect();
        format!("{first:>9}{rest}\n")
    };
    let mut out = row("from \\ to", names.iter().map(|n| n.to_string()).collect());
    for (name, line) in names.iter().zip(cells) {
        out.push_str(&row(name, line.iter().map(text).collect()));
    }
    let good = cells.iter().flatten().flatten().filter(|c| c.is_good()).count();
    let all = cells.iter().flatten().flatten().count();
    out.push_str(&format!("Round-trip times of ICMP echo; \"-\": no answer. As expected: {good} of {all}.\n"));
    out
}

/// Commands to try while the demonstration is kept running.
pub fn how_to_look_further(hosts: &[Arc<Host>]) {
    let pid = std::process::id();
    let user = if rustix::process::geteuid().is_root() && std::env::var_os("USER").is_some_and(|u| u != "root") {
        "-U --preserve-credentials "
    } else {
        ""
    };
    let exe = std::env::current_exe().map_or_else(|_| "ferrovs".into(), |p| p.display().to_string());
    heading("Still running. In another terminal");
    println!("    export OVS_RUNDIR={}", dirs::rundir().display());
    println!("    {exe} ovs-vsctl show");
    println!("    {exe} ovs-ofctl dump-flows br0");
    println!("    {exe} ovs-ofctl add-flow br0 priority=200,icmp,in_port=1,actions=drop");
    println!("    {exe} ovs-appctl fdb/show br0");
    println!("    {exe} ovs-appctl dpif/show");
    for h in hosts.iter().take(1) {
        println!("    nsenter {user}-t {pid} --net={} ping 10.0.0.2      # from {}", h.ns_path(), h.plan.name);
    }
    println!("\nCtrl-C ends it and leaves nothing behind.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_cell_is_marked() {
        let rtt = Some(Duration::from_micros(1500));
        let cells =
            vec![vec![None, Some(Cell { rtt, expected: true })], vec![Some(Cell { rtt, expected: false }), None]];
        let text = matrix_text(&["a", "b"], &cells);
        assert!(text.contains("1.500 ms !expected none"), "{text}");
        assert!(text.contains("As expected: 1 of 2."), "{text}");
    }
}
