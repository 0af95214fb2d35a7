//! The datapath on real devices: two hosts in network namespaces, joined by a switch that floods. Without the permission
//! to make namespaces the test says so and passes.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use datapath::{Datapath, DpAction, InstallFlow, Upcall, UpcallAnswer, UpcallHandler};
use dp_user::Userspace;
use flow::{DpPort, FlowMask};
use netdev::Device;
use netdev::linux::afxdp::AfxdpDevice;
use netdev::linux::system::SystemDevice;
use netdev::netns::NetNs;
use netdev::rtnl::{LinkChange, Rtnl};

struct Flood(Vec<DpPort>);

impl UpcallHandler for Flood {
    fn upcall(&self, upcall: &Upcall<'_>) -> UpcallAnswer {
        let from = DpPort(upcall.key.in_port_raw());
        let actions = self.0.iter().filter(|p| **p != from).map(|p| DpAction::Output(*p)).collect();
        let mut mask = FlowMask::ZERO;
        mask.set_in_port_raw(u32::MAX);
        mask.set_eth_type(0xffff);
        UpcallAnswer { actions, install: Some(InstallFlow { mask, actions: None }) }
    }
}

const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 99, 0, 1), Ipv4Addr::new(10, 99, 0, 2)];

struct Lab {
    hosts: Vec<NetNs>,
    _switch: NetNs,
    dp: Arc<Userspace>,
}

fn lab(find: fn(&str) -> std::io::Result<Arc<dyn Device>>) -> std::io::Result<Lab> {
    let switch = NetNs::create()?;
    let hosts = vec![NetNs::create()?, NetNs::create()?];
    for (i, host) in hosts.iter().enumerate() {
        switch.run(|| {
            let mut rtnl = Rtnl::open()?;
            rtnl.create_veth(&format!("v{i}"), "eth0", Some(host.as_fd()))?;
            let index = rtnl.link_by_name(&format!("v{i}"))?.ifindex;
            rtnl.change(index, LinkChange { up: Some(true), ..LinkChange::default() })
        })?;
        host.run(|| {
            let mut rtnl = Rtnl::open()?;
            let index = rtnl.link_by_name("eth0")?.ifindex;
            rtnl.change(index, LinkChange { up: Some(true), ..LinkChange::default() })?;
            rtnl.add_address(index, IpAddr::V4(ADDRESSES[i]), 24)
        })?;
    }
    // The devices are opened in the namespace; the polling thread may run anywhere.
    let dp = Userspace::start("test", "netdev", Clock::real())?;
    let opened = dp.clone();
    let ports = switch.run(move || {
        ["v0", "v1"]
            .iter()
            .map(|name| opened.port_add(find(name)?, None).map_err(std::io::Error::other))
            .collect::<Result<Vec<_>, _>>()
    })?;
    dp.set_upcall_handler(Some(Arc::new(Flood(ports))));
    Ok(Lab { hosts, _switch: switch, dp })
}

#[test]
fn hosts_talk_through_the_switch() {
    let lab = match lab(|name| Ok(Arc::new(SystemDevice::find(name)?))) {
        Ok(lab) => lab,
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => return eprintln!("skipped: {e}"),
        Err(e) => panic!("{e}"),
    };
    datagrams(&lab, &[1, 100, 1400, 4000]);
    stream(&lab);
    let stats = lab.dp_stats();
    assert!(
        stats.0 < (TOTAL / 1000) as u64,
        "{} packets for {TOTAL} bytes: segmentation was not left to the end",
        stats.0
    );
    lab.dp.set_upcall_handler(None);
}

/// The same through AF_XDP, where the kernel has it. Packets of one buffer.
#[test]
fn hosts_talk_through_af_xdp() {
    let lab = match lab(|name| Ok(Arc::new(AfxdpDevice::find(name, "afxdp-nonpmd")?))) {
        Ok(lab) => lab,
        Err(e) => return eprintln!("skipped: {e}"),
    };
    datagrams(&lab, &[1, 100, 1400]);
    // What the sending stack leaves to the hardware is done here.
    stream(&lab);
    lab.dp.set_upcall_handler(None);
}

fn datagrams(lab: &Lab, sizes: &[usize]) {
    let bind = |i: usize| {
        lab.hosts[i]
            .run(|| UdpSocket::bind(SocketAddr::new(ADDRESSES[i].into(), 5000)))
            .expect("a socket in the namespace")
    };
    let (a, b) = (bind(0), bind(1));
    b.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    for &size in sizes {
        let sent: Vec<u8> = (0..size).map(|i| i as u8).collect();
        a.send_to(&sent, (ADDRESSES[1], 5000)).expect("sending");
        let mut got = vec![0; 65536];
        let (n, from) = b.recv_from(&mut got).expect("a datagram in time");
        assert_eq!((&got[..n], from.ip()), (sent.as_slice(), IpAddr::V4(ADDRESSES[0])), "{size} bytes");
    }
}

const TOTAL: usize = 8 << 20;

/// TCP leaves checksums and segmentation to the device, that is, to the switch.
fn stream(lab: &Lab) {
    let listener = lab.hosts[1].run(|| TcpListener::bind((ADDRESSES[1], 6000))).expect("a listener");
    let server = std::thread::spawn(move || {
        let (mut s, _) = listener.accept().expect("a connection");
        let (mut total, mut wrong, mut buffer) = (0usize, 0usize, vec![0u8; 1 << 16]);
        loop {
            let n = s.read(&mut buffer).expect("reading");
            if n == 0 {
                return (total, wrong);
            }
            wrong += buffer[..n].iter().enumerate().filter(|(i, b)| **b != ((total + i) % 251) as u8).count();
            total += n;
        }
    });
    let mut client = lab.hosts[0].run(|| TcpStream::connect((ADDRESSES[1], 6000))).expect("a connection");
    let data: Vec<u8> = (0..TOTAL).map(|i| (i % 251) as u8).collect();
    client.write_all(&data).expect("writing");
    drop(client);
    assert_eq!(server.join().expect("the server's thread"), (TOTAL, 0));
}

impl Lab {
    /// Packets and bytes that the first port received.
    fn dp_stats(&self) -> (u64, u64) {
        let port = self.dp.ports()[0].port;
        let s = self.dp.port_stats(port).unwrap_or_default();
        (s.rx_packets, s.rx_bytes)
    }
}
