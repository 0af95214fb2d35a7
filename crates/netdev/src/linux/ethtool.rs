//! What ethtool's ioctl tells about a device.

use std::io;
use std::os::fd::AsRawFd;

use super::sys;
use crate::device::LinkSpeed;

const ETHTOOL_GSET: u32 = 1;
const ETHTOOL_GDRVINFO: u32 = 3;

/// Name and versions of a device's driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Driver {
    /// Driver name, for instance `veth`.
    pub name: String,
    /// Driver version.
    pub version: String,
    /// Firmware version, often empty.
    pub firmware: String,
}

fn control_socket() -> io::Result<std::os::fd::OwnedFd> {
    sys::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)
}

fn text(bytes: &[u8]) -> String {
    let len = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}

/// The driver of interface `name`.
pub fn driver(name: &str) -> io::Result<Driver> {
    // struct ethtool_drvinfo: cmd, driver[32], version[32], fw_version[32], bus_info[32], … 196 bytes.
    let mut info = [0u8; 196];
    info[..4].copy_from_slice(&ETHTOOL_GDRVINFO.to_ne_bytes());
    sys::ioctl_ethtool(control_socket()?.as_raw_fd(), name, &mut info)?;
    Ok(Driver { name: text(&info[4..36]), version: text(&info[36..68]), firmware: text(&info[68..100]) })
}

/// Speed and duplex of interface `name`; unknown where the driver does not say.
#[must_use]
pub fn speed(name: &str) -> LinkSpeed {
    // struct ethtool_cmd: cmd, supported, advertising (32 bits), speed (16), duplex, … speed_hi (16 bits at 28); 44 bytes.
    let mut info = [0u8; 44];
    info[..4].copy_from_slice(&ETHTOOL_GSET.to_ne_bytes());
    let Ok(socket) = control_socket() else { return LinkSpeed::default() };
    if sys::ioctl_ethtool(socket.as_raw_fd(), name, &mut info).is_err() {
        return LinkSpeed::default();
    }
    let half = |at: usize| u32::from(u16::from_ne_bytes([info[at], info[at + 1]]));
    let mbps = half(12) | half(28) << 16;
    LinkSpeed {
        mbps: if mbps == u32::MAX || mbps == 0xffff { 0 } else { mbps },
        full_duplex: match info[14] {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
    }
}
