//! The programs that the executable holds.

use io::Invocation;
use std::process::ExitCode;

/// One program.
pub struct Program {
    /// The name that it answers to.
    pub name: &'static str,
    /// One line for `--help`.
    pub summary: &'static str,
    /// Its entry.
    pub main: fn(&Invocation) -> ExitCode,
    /// Whether `ferrovs links` makes a link for it.
    pub linked: bool,
}

/// All of them.
pub const PROGRAMS: &[Program] = &[
    Program {
        name: "ovs-appctl",
        summary: "query and control a running daemon",
        main: tools::ovs_appctl::main,
        linked: true,
    },
    Program {
        name: "ovs-vsctl",
        summary: "configure the switch through its database",
        main: tools::ovs_vsctl::main,
        linked: true,
    },
    Program {
        name: "vtep-ctl",
        summary: "manage the database of a VXLAN gateway",
        main: tools::vtep_ctl::main,
        linked: true,
    },
    Program {
        name: "ovsdb-client",
        summary: "talk to a database server",
        main: tools::ovsdb_client::main,
        linked: true,
    },
    Program {
        name: "ovsdb-tool",
        summary: "make, inspect and change database files",
        main: tools::ovsdb_tool::main,
        linked: true,
    },
    Program {
        name: "ovs-pki",
        summary: "make certificates for switches and controllers",
        main: tools::ovs_pki::main,
        linked: true,
    },
    Program {
        name: "ovs-ofctl",
        summary: "query and control OpenFlow switches",
        main: tools::ovs_ofctl::main,
        linked: true,
    },
    Program {
        name: "ovs-testcontroller",
        summary: "a simple OpenFlow controller for tests",
        main: tools::ovs_testcontroller::main,
        linked: true,
    },
    Program {
        name: "ovs-dpctl",
        summary: "work on datapaths of the kernel",
        main: tools::ovs_dpctl::main,
        linked: true,
    },
    Program { name: "ovs-vswitchd", summary: "the switch daemon", main: vswitchd::main, linked: true },
    Program { name: "ovsdb-server", summary: "the database server", main: ovsdb_server::main, linked: true },
];
