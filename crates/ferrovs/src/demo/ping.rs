//! ICMP echo between hosts (RFC 792), on a raw socket in the host's namespace.

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, recv, sendto, socket, sockopt};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

const ECHO_REPLY: u8 = 0;
const HEADER_LEN: usize = 8;

/// Time between two requests.
const INTERVAL: Duration = Duration::from_millis(150);

/// Sends echo requests to `to` until one is answered or `patience` has passed. Returns the round-trip time of the
/// request that was answered. Runs in the calling thread's network namespace.
pub fn ping(to: Ipv4Addr, id: u16, patience: Duration) -> io::Result<Option<Duration>> {
    let sock = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP))?;
    sockopt::set_socket_timeout(&sock, sockopt::Timeout::Recv, Some(INTERVAL))?;
    let give_up = Instant::now() + patience;
    let mut sent: Vec<Instant> = vec![];
    let mut buf = [0; 1500];
    while Instant::now() < give_up {
        let request = wire::build::icmp_echo(false, id, sent.len() as u16, &[0x55; 32]);
        sent.push(Instant::now());
        match sendto(&sock, &request, SendFlags::empty(), &SocketAddrV4::new(to, 0)) {
            // "Host unreachable" is what an unanswered ARP request of an earlier try turns into.
            Ok(_) | Err(rustix::io::Errno::HOSTUNREACH) => {}
            Err(e) => return Err(e.into()),
        }
        let next = Instant::now() + INTERVAL;
        while Instant::now() < next {
            let Ok((n, _)) = recv(&sock, &mut buf[..], RecvFlags::empty()) else { break };
            if let Some(seq) = reply_to(&buf[..n], to, id)
                && let Some(at) = sent.get(usize::from(seq))
            {
                return Ok(Some(at.elapsed()));
            }
        }
    }
    Ok(None)
}

/// The sequence number, if an IPv4 packet is the answer to one of our requests.
fn reply_to(packet: &[u8], from: Ipv4Addr, id: u16) -> Option<u16> {
    let header_len = usize::from(packet.first()? & 0xf) * 4;
    let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    let icmp = packet.get(header_len..)?;
    if icmp.len() < HEADER_LEN || icmp[0] != ECHO_REPLY || Ipv4Addr::from(source) != from {
        return None;
    }
    (u16::from_be_bytes([icmp[4], icmp[5]]) == id).then(|| u16::from_be_bytes([icmp[6], icmp[7]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reply: bool, from: [u8; 4], id: u16, expect: Option<u16>) {
        let mut packet = vec![0x45; 20];
        packet[12..16].copy_from_slice(&from);
        packet.extend(wire::build::icmp_echo(reply, id, 7, &[]));
        assert_eq!(reply_to(&packet, Ipv4Addr::new(10, 0, 0, 2), 99), expect);
    }

    #[test]
    fn replies() {
        check(true, [10, 0, 0, 2], 99, Some(7));
        check(true, [10, 0, 0, 3], 99, None);
        check(true, [10, 0, 0, 2], 98, None);
        check(false, [10, 0, 0, 2], 99, None);
        assert_eq!(reply_to(&[], Ipv4Addr::LOCALHOST, 1), None);
        assert_eq!(reply_to(&[0x4f; 24], Ipv4Addr::LOCALHOST, 1), None);
    }
}
