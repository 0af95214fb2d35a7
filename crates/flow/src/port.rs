//! The two kinds of port number.

use std::fmt;

/// An OpenFlow port number in the 16-bit space of OpenFlow 1.0: 0 to 0xff00, then the reserved ports.
///
/// OpenFlow 1.1 and later write reserved ports as 32-bit numbers; [`OfPort::from_of11`] and
/// [`OfPort::to_of11`] convert. The inside is 32 bits wide because registers and `in_port_oxm` are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct OfPort(pub u32);

impl OfPort {
    /// Port numbers below this are physical or logical ports (OpenFlow 1.0 §5.2.1).
    pub const MAX: OfPort = OfPort(0xff00);
    /// Not set (output port of an action set).
    pub const UNSET: OfPort = OfPort(0xfff7);
    /// The port that the packet came in on.
    pub const IN_PORT: OfPort = OfPort(0xfff8);
    /// Submit to the flow tables (packet-out only).
    pub const TABLE: OfPort = OfPort(0xfff9);
    /// Process as a learning switch does.
    pub const NORMAL: OfPort = OfPort(0xfffa);
    /// All ports but the input port and those with flooding off.
    pub const FLOOD: OfPort = OfPort(0xfffb);
    /// All ports but the input port.
    pub const ALL: OfPort = OfPort(0xfffc);
    /// The controllers.
    pub const CONTROLLER: OfPort = OfPort(0xfffd);
    /// The bridge's own port.
    pub const LOCAL: OfPort = OfPort(0xfffe);
    /// No port; any port in requests.
    pub const NONE: OfPort = OfPort(0xffff);
    /// Another name of [`OfPort::NONE`].
    pub const ANY: OfPort = OfPort::NONE;

    /// From the 32-bit number of OpenFlow 1.1 and later; `None` between 0xff00 and 0xfffffeff.
    pub const fn from_of11(n: u32) -> Option<OfPort> {
        if n < 0xff00 {
            Some(OfPort(n))
        } else if n >= 0xffff_ff00 {
            Some(OfPort(n & 0xffff))
        } else {
            None
        }
    }

    /// The 32-bit number of OpenFlow 1.1 and later.
    pub const fn to_of11(self) -> u32 {
        if self.0 >= 0xff00 && self.0 <= 0xffff { self.0 | 0xffff_0000 } else { self.0 }
    }

    /// The low 16 bits, as OpenFlow 1.0 writes them.
    pub const fn to_of10(self) -> u16 {
        self.0 as u16
    }

    /// Whether this is a number that a port of a switch can have: 1 to 0xfeff, or LOCAL.
    pub const fn is_real(self) -> bool {
        (self.0 > 0 && self.0 < 0xff00) || self.0 == OfPort::LOCAL.0
    }

    /// Name of a reserved port, as flows print it.
    pub const fn reserved_name(self) -> Option<&'static str> {
        Some(match self.0 {
            0xfff7 => "UNSET",
            0xfff8 => "IN_PORT",
            0xfff9 => "TABLE",
            0xfffa => "NORMAL",
            0xfffb => "FLOOD",
            0xfffc => "ALL",
            0xfffd => "CONTROLLER",
            0xfffe => "LOCAL",
            0xffff => "ANY",
            _ => return None,
        })
    }

    /// A reserved port from its name, in any case.
    pub fn from_reserved_name(name: &str) -> Option<OfPort> {
        const NAMES: [(&str, OfPort); 10] = [
            ("IN_PORT", OfPort::IN_PORT),
            ("TABLE", OfPort::TABLE),
            ("NORMAL", OfPort::NORMAL),
            ("FLOOD", OfPort::FLOOD),
            ("ALL", OfPort::ALL),
            ("CONTROLLER", OfPort::CONTROLLER),
            ("LOCAL", OfPort::LOCAL),
            ("ANY", OfPort::ANY),
            ("UNSET", OfPort::UNSET),
            ("NONE", OfPort::NONE),
        ];
        NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|&(_, p)| p)
    }
}

impl fmt::Display for OfPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reserved_name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for OfPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OfPort({self})")
    }
}

/// A port number of a datapath: what the kernel or the userspace datapath calls the port.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct DpPort(pub u32);

impl DpPort {
    /// No port.
    pub const NONE: DpPort = DpPort(u32::MAX);
    /// The datapath's own port.
    pub const LOCAL: DpPort = DpPort(0);
}

impl fmt::Display for DpPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for DpPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DpPort({})", self.0)
    }
}
