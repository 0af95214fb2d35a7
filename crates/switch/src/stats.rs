//! Answers to statistics and description requests (OpenFlow 1.3.5 §A.3.5).

use crate::bridge::{Bridge, idle_age};
use crate::conn::{Conn, ConnId};
use crate::flow_mod::Selection;
use crate::port::Port;
use crate::{INTERNAL_TABLE, features, group_mod, packet_in};
use clock::Instant;
use flow::OfPort;
use io::coverage::Counter;
use openflow::message::{
    AggregateStats, FlowStats, FlowStatsRequest, GroupFeatures, Message, Multipart, PortDesc, PortStats,
    QueueConfigReply, QueueDesc, QueueRequest, QueueStats, TableStats,
};
use openflow::{Error, Version, Xid};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use translate::Rule;

impl Bridge {
    /// Answers a request that changes nothing.
    pub(crate) fn statistics(&mut self, id: ConnId, xid: Xid, m: Message, now: Instant) -> Result<(), Error> {
        let reply = match m {
            Message::DescRequest => Message::DescReply(self.desc.clone()),
            Message::FlowStatsRequest(r) => {
                self.sync_counters(now);
                let rules = self.tables.select(&Selection::of_request(&r)).into_iter();
                if let Some(conn) = self.conns.get_mut(&id) {
                    conn.dump = Some(FlowDump { xid, request: r, rules, now });
                    conn.continue_dump();
                }
                return Ok(());
            }
            Message::AggregateRequest(r) => {
                self.sync_counters(now);
                Message::AggregateReply(self.aggregate(&r))
            }
            Message::TableStatsRequest => {
                self.sync_counters(now);
                let version = self.conns.get(&id).and_then(crate::conn::Conn::version).unwrap_or(Version::V10);
                Message::TableStatsReply(Multipart::new(self.table_stats(version)))
            }
            Message::TableFeaturesRequest(r) if r.entries.is_empty() => {
                let version = self.conns.get(&id).and_then(crate::conn::Conn::version).unwrap_or(Version::V13);
                let all = self.table_features().into_iter().map(|f| features::of_version(version, f)).collect();
                Message::TableFeaturesReply(Multipart::new(all))
            }
            Message::TableFeaturesRequest(r) => {
                self.set_table_features(&r.entries)?;
                Message::TableFeaturesReply(r)
            }
            Message::TableDescRequest => Message::TableDescReply(Multipart::new(self.table_descs())),
            Message::PortStatsRequest(port) => Message::PortStatsReply(Multipart::new(self.port_stats(port, now)?)),
            Message::PortDescRequest(port) => Message::PortDescReply(Multipart::new(self.port_descs(port))),
            Message::QueueStatsRequest(r) => Message::QueueStatsReply(Multipart::new(self.queue_stats(r)?)),
            Message::QueueGetConfigRequest(r) => {
                let all = QueueRequest { port: r.port, queue: openflow::message::QUEUE_ALL };
                Message::QueueGetConfigReply(QueueConfigReply { port: r.port, queues: self.queue_descs(all)? })
            }
            Message::QueueDescRequest(r) => Message::QueueDescReply(Multipart::new(self.queue_descs(r)?)),
            Message::GroupDescRequest(g) => {
                Message::GroupDescReply(Multipart::new(group_mod::describe(&self.shared, g)))
            }
            Message::GroupStatsRequest(g) => {
                self.sync_counters(now);
                let references = self.group_references();
                Message::GroupStatsReply(Multipart::new(group_mod::stats(&self.shared, g, &references, now)))
            }
            Message::GroupFeaturesRequest => Message::GroupFeaturesReply(group_features()),
            // Refused in the words of a switch that lacks the feature, so that nobody believes it was done.
            m @ (Message::MeterConfigRequest(_) | Message::MeterStatsRequest(_) | Message::MeterFeaturesRequest) => {
                self.meter_statistics(&m, now)?
            }
            Message::TlvTableRequest => Message::TlvTableReply(self.tlv_table_reply()),
            Message::IpfixBridgeRequest | Message::IpfixFlowRequest => return Err(Error::NxStatsNotConfigured),
            _ => return Err(Error::BadRequestBadType),
        };
        self.reply(id, xid, reply);
        Ok(())
    }

    fn aggregate(&self, r: &FlowStatsRequest) -> AggregateStats {
        let mut sum = AggregateStats { nicira: r.nicira, ..AggregateStats::default() };
        for rule in self.tables.select(&Selection::of_request(r)) {
            let (packets, bytes) = rule.data.stats.read();
            sum.packets += packets;
            sum.bytes += bytes;
            sum.flows += 1;
        }
        sum
    }

    fn table_stats(&self, version: Version) -> Vec<TableStats> {
        let mut all = if version < Version::V13 { self.table_features() } else { vec![] }.into_iter();
        let tables = self.shared.tables.iter().enumerate().take(usize::from(INTERNAL_TABLE));
        let one = |(i, t): (usize, &translate::view::Table)| {
            let matched = t.matched.load(Relaxed);
            TableStats {
                table: openflow::TableId(i as u8),
                active: u32::try_from(self.tables.count(i as u8)).unwrap_or(u32::MAX),
                lookups: matched + t.missed.load(Relaxed),
                matched,
                features: all.next().map(|f| Box::new(features::in_stats(version, f))),
            }
        };
        tables.map(one).collect()
    }

    /// Ports in the order in which replies list them.
    fn wanted(&self, port: OfPort) -> Vec<&Port> {
        match port {
            OfPort::ANY | OfPort::ALL => {
                let mut ports: Vec<_> = self.ports.values().collect();
                ports.sort_by_key(|p| (p.of != OfPort::LOCAL, p.bundle, p.of.0));
                translate::port_order::sort_by_number(ports, |p| p.of)
            }
            one => self.ports.get(&one).into_iter().collect(),
        }
    }

    fn port_stats(&self, port: OfPort, now: Instant) -> Result<Vec<PortStats>, Error> {
        let all = matches!(port, OfPort::ANY | OfPort::ALL);
        let ports = self.wanted(port);
        if ports.is_empty() && !all {
            return Ok(vec![]);
        }
        Ok(ports.into_iter().map(|p| self.one_port(p, now)).collect())
    }

    fn one_port(&self, port: &Port, now: Instant) -> PortStats {
        let mut s = PortStats { port: port.of, duration: Some(age(port.created, now)), ..PortStats::default() };
        if let Some(c) = port.dp.and_then(|dp| self.datapath.port_stats(dp)) {
            s.rx_packets = c.rx_packets;
            s.rx_bytes = c.rx_bytes;
            s.tx_packets = c.tx_packets;
            s.tx_bytes = c.tx_bytes;
            if port.counts_errors {
                s.tx_dropped = c.tx_dropped;
                for counter in [
                    &mut s.rx_dropped,
                    &mut s.rx_errors,
                    &mut s.tx_errors,
                    &mut s.rx_frame_err,
                    &mut s.rx_over_err,
                    &mut s.rx_crc_err,
                    &mut s.collisions,
                ] {
                    *counter = 0;
                }
            }
        } else if port.peer.is_some() {
            [s.rx_packets, s.rx_bytes, s.tx_packets, s.tx_bytes] = packet_in::patch_counters(self.shared.id, port.of);
        }
        s
    }

    /// What controllers see of a port, or of all.
    pub(crate) fn port_descs(&self, port: OfPort) -> Vec<PortDesc> {
        self.wanted(port).into_iter().map(Port::desc).collect()
    }

    fn queue_stats(&self, r: QueueRequest) -> Result<Vec<QueueStats>, Error> {
        let ports = self.wanted(r.port);
        if ports.is_empty() && !matches!(r.port, OfPort::ANY | OfPort::ALL) {
            return Err(Error::QueueOpFailedBadPort);
        }
        let queues = ports.into_iter().filter(|port| self.has_queue(port));
        let stats: Vec<QueueStats> = queues
            .filter(|_| matches!(r.queue, 0 | openflow::message::QUEUE_ALL))
            .map(|port| QueueStats {
                port: port.of,
                queue: 0,
                tx_bytes: u64::MAX,
                tx_packets: u64::MAX,
                tx_errors: u64::MAX,
                duration: None,
            })
            .collect();
        match r.queue {
            openflow::message::QUEUE_ALL => Ok(stats),
            _ if stats.is_empty() => Err(Error::QueueOpFailedBadQueue),
            _ => Ok(stats),
        }
    }

    /// Dummies have one queue, of which nothing is known. Other devices have those of their QoS, of which the datapath
    /// serves none.
    fn has_queue(&self, port: &Port) -> bool {
        !port.counts_errors && port.peer.is_none()
    }

    fn queue_descs(&self, r: QueueRequest) -> Result<Vec<QueueDesc>, Error> {
        let ports = self.wanted(r.port);
        if ports.is_empty() && !matches!(r.port, OfPort::ANY | OfPort::ALL) {
            return Err(Error::QueueOpFailedBadPort);
        }
        let ports = ports.into_iter().filter(|port| self.has_queue(port));
        if r.queue != 0 && r.queue != openflow::message::QUEUE_ALL {
            return Err(Error::QueueOpFailedBadQueue);
        }
        let desc = |port: &Port| QueueDesc { port: port.of, queue: 0, min_rate: None, max_rate: None };
        Ok(ports.map(desc).collect())
    }
}

/// A reply about flows of which the beginning was sent.
#[derive(Debug)]
pub(crate) struct FlowDump {
    xid: Xid,
    request: FlowStatsRequest,
    rules: std::vec::IntoIter<Arc<Rule>>,
    now: Instant,
}

/// Flows that are put into a reply at once: the peer reads them while the next are.
const FLOWS_AT_ONCE: usize = 1024;

impl Conn {
    /// Makes the next part of a reply about flows.
    pub(crate) fn continue_dump(&mut self) {
        let Some(mut dump) = self.dump.take() else { return };
        let next = dump.rules.by_ref().take(FLOWS_AT_ONCE);
        let entries = next.map(|rule| flow_stats(&rule, &dump.request, dump.now)).collect();
        let more = !dump.rules.as_slice().is_empty();
        let part = Multipart { more, entries, nicira: dump.request.nicira };
        Counter::VconnSent.hit();
        self.reply(dump.xid, Message::FlowStatsReply(part));
        self.dump = more.then_some(dump);
    }

    /// Makes the rest of a reply about flows: what is asked next is answered after it.
    pub(crate) fn finish_dump(&mut self) {
        while self.dump.is_some() {
            self.continue_dump();
        }
    }
}

fn flow_stats(rule: &Arc<Rule>, r: &FlowStatsRequest, now: Instant) -> FlowStats {
    let d = &rule.data;
    let (packets, bytes) = d.stats.read();
    FlowStats {
        matching: rule.matching.clone(),
        cookie: d.cookie,
        table: d.table,
        priority: rule.priority as u16,
        duration: age(d.created, now),
        idle_timeout: d.timeouts.idle.load(Relaxed),
        hard_timeout: d.timeouts.hard.load(Relaxed),
        idle_age: Some(u32::from(idle_age(rule, now))),
        hard_age: Some(u32::try_from(now.since(d.modified).as_secs()).unwrap_or(u32::MAX)),
        packets,
        bytes,
        importance: d.importance,
        flags: d.flags,
        actions: d.actions.to_vec(),
        nicira: r.nicira,
    }
}

/// Age in whole milliseconds: more digits than that would be noise.
pub(crate) fn age(since: Instant, now: Instant) -> openflow::message::Span {
    let millis = u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
    std::time::Duration::from_millis(millis).into()
}

fn group_features() -> GroupFeatures {
    GroupFeatures {
        types: 0xf,
        // Weights, liveness, chaining; loops are not looked for when a group changes.
        capabilities: 7,
        max_groups: [openflow::GroupId::MAX.0; 4],
        actions: [features::action_bits() as u32; 4],
    }
}
