//! Flows: putting, deleting, listing.

use crate::dispatch::ANY_CPU;
use crate::transport::{Request, lock, malformed};
use crate::{Kernel, dp_error};
use datapath::action::SlowReason;
use datapath::netlink::{
    UnknownAttr, needs_help, read_actions, read_key, read_mask, unknown_attrs, write_actions, write_key,
    write_key_under, write_mask, write_metadata,
};
use datapath::{Datapath, DpAction, DpError, Execute, FlowDump, FlowPut, FlowStats, Ufid, UserCookie};
use flow::key::{MAX_VLANS, VLAN_CFI};
use flow::{FlowKey, FlowMask, MiniKey};
use io::program::strerror;
use io::vlog::{Module, RateLimit};
use io::vlog_warn;
use netlink::flow::{Flow, OMIT_ACTIONS, OMIT_KEY, OMIT_MASK};
use netlink::message::CREATE;
use netlink::ovs::command;
use netlink::packet::{self, Packet};
use netlink::{Malformed, Writer};
use std::collections::HashMap;
use std::io as stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A flow as the kernel has it.
#[derive(Clone, Debug)]
pub struct RawFlow {
    /// Name, where it was given one.
    pub ufid: Option<Ufid>,
    /// Its key as the kernel writes it, by which a flow without a name is asked for.
    pub key_attrs: Vec<u8>,
    /// Key.
    pub key: FlowKey,
    /// Mask.
    pub mask: FlowMask,
    /// Attributes of the key for which there is no field.
    pub unknown: Vec<UnknownAttr>,
    /// Actions.
    pub actions: Vec<DpAction>,
    /// Counters.
    pub stats: FlowStats,
}

/// What is known of a flow in the kernel, so that listings need not carry it.
pub(crate) struct Known {
    key: MiniKey,
    mask: MiniKey,
    actions: Arc<[DpAction]>,
    /// The key by which the kernel knows a flow without a name.
    unnamed: Option<Vec<u8>>,
    /// The listing in which it was last seen, or that was next when it was put.
    seen: u64,
}

/// Flows in the kernel that this process put or has seen.
#[derive(Default)]
pub(crate) struct Cache {
    flows: HashMap<Ufid, Known, foldhash::fast::RandomState>,
    listing: u64,
}

impl Cache {
    pub fn len(&self) -> usize {
        self.flows.len()
    }
}

const TERSE: u32 = OMIT_KEY | OMIT_MASK | OMIT_ACTIONS;
/// More flows than this that are not known are had by a whole listing.
const MANY: usize = 32;

/// What a batch of packets shares with its upcalls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Origin {
    /// The socket that the packet came to.
    pub pid: Option<u32>,
    /// The kernel's hash of it.
    pub hash: Option<u64>,
    /// Largest fragment that it was made of.
    pub mru: Option<u16>,
}

/// The attributes of a flow's key, mask and actions.
pub(crate) struct Encoded {
    key: Writer,
    mask: Writer,
    actions: Writer,
}

impl Encoded {
    /// `None` where something does not fit a message.
    pub fn of(put: &FlowPut, pid: u32) -> Option<Encoded> {
        let mut e = Encoded { key: Writer::new(), mask: Writer::new(), actions: Writer::new() };
        write_key_under(&mut e.key, &put.key, &put.mask);
        write_mask(&mut e.mask, &put.key, &put.mask);
        match helped(put) {
            Some(reason) => {
                let send = DpAction::Userspace { cookie: Box::new(UserCookie::SlowPath(reason)), pid: 0 };
                write_actions(&mut e.actions, &[send], pid);
            }
            None => write_actions(&mut e.actions, &put.actions, pid),
        }
        (!e.key.overflowed() && !e.mask.overflowed() && !e.actions.overflowed()).then_some(e)
    }
}

/// Why the packets of a flow have to come to the switch one by one.
fn helped(put: &FlowPut) -> Option<SlowReason> {
    const MATCH: SlowReason = SlowReason(1 << 6);
    /// Protocols that have something in the transport words that the kernel does not match.
    const IGMP: u8 = 2;
    const ICMPV6: u8 = 58;
    let (k, m) = (&put.key, &put.mask);
    let extensions = k.nw_proto() == ICMPV6 && k.eth_type() == 0x86dd && m.tcp_flags() != 0;
    let group = k.nw_proto() == IGMP && k.eth_type() == 0x0800 && m.igmp_group() != 0;
    if extensions || group {
        return Some(MATCH);
    }
    needs_help(&put.actions).then_some(SlowReason::ACTION)
}

fn stats_of(k: &Kernel, f: &Flow<'_>) -> FlowStats {
    let (packets, bytes) = f.stats.unwrap_or_default();
    FlowStats { packets, bytes, used: f.used.map(|u| k.instant(u)), tcp_flags: f.tcp_flags.unwrap_or(0).into() }
}

fn raw(k: &Kernel, f: &Flow<'_>) -> Result<RawFlow, Malformed> {
    let key_attrs = f.key.unwrap_or(&[]);
    let key = read_key(key_attrs)?;
    let mut mask = read_mask(f.mask, &key, key_attrs)?;
    // The kernel always matches how many tags a packet has, without saying so.
    let tags = (0..MAX_VLANS).find(|n| key.vlan_tci(*n) & VLAN_CFI == 0);
    tags.iter().for_each(|n| mask.set_vlan_tci(*n, u16::MAX));
    Ok(RawFlow {
        ufid: f.ufid.map(Ufid),
        key_attrs: key_attrs.to_vec(),
        mask,
        unknown: unknown_attrs(key_attrs, f.mask)?,
        actions: read_actions(f.actions.unwrap_or(&[]))?,
        key,
        stats: stats_of(k, f),
    })
}

impl RawFlow {
    /// As the switch has flows: one without a name gets that of its key and mask.
    #[must_use]
    pub fn dump(self) -> FlowDump {
        FlowDump {
            ufid: self.ufid.unwrap_or_else(|| Ufid::of(&self.key, &self.mask)),
            key: self.key,
            mask: self.mask,
            actions: self.actions.into(),
            stats: self.stats,
            core: None,
        }
    }
}

impl Kernel {
    fn base(&self) -> Flow<'static> {
        Flow { dp: self.ifindex(), ..Flow::default() }
    }

    /// The socket to which actions send packets of a port.
    fn pid(&self, port: u32) -> u32 {
        if self.any_cpu.load(Ordering::Relaxed) {
            return ANY_CPU;
        }
        self.vport_sockets.load().as_ref().as_ref().map_or(0, |s| s.of(port))
    }

    /// The request that puts a flow. `ufid`: its name, if it is to have one.
    pub(crate) fn put_request(&self, put: &FlowPut, ufid: Option<Ufid>) -> Result<Request, DpError> {
        let Some(e) = Encoded::of(put, self.pid(put.key.in_port_raw())) else {
            return Err(DpError::Io(stdio::Error::from_raw_os_error(rustix::io::Errno::MSGSIZE.raw_os_error())));
        };
        let flow = Flow {
            ufid: ufid.map(|u| u.0),
            key: Some(e.key.bytes()),
            mask: Some(e.mask.bytes()),
            actions: Some(e.actions.bytes()),
            clear: put.zero_stats,
            ..self.base()
        };
        let (command, flags) = match (put.create, put.modify) {
            (true, true) => (command::NEW, 0),
            (true, false) => (command::NEW, CREATE),
            _ => (command::SET, 0),
        };
        Ok(Request::new(self.transport.families.flow, flow.encode(command)).with(flags))
    }

    /// Remembers a flow that was put.
    pub(crate) fn remember(&self, ufid: Ufid, key: &FlowKey, mask: &FlowMask, actions: Arc<[DpAction]>) {
        let mut cache = lock(&self.cache);
        let seen = cache.listing + 1;
        let known = Known { key: MiniKey::new(key), mask: MiniKey::new(mask), actions, unnamed: None, seen };
        cache.flows.insert(ufid, known);
    }

    pub(crate) fn put(&self, put: &FlowPut) -> Result<FlowStats, DpError> {
        let ufid = put.ufid.unwrap_or_else(|| Ufid::of(&put.key, &put.mask));
        let unnamed = put.modify && lock(&self.cache).flows.get(&ufid).is_some_and(|k| k.unnamed.is_some());
        let request = self.put_request(put, (!unnamed).then_some(ufid))?;
        self.transport.with(|c| c.ask(&request)).map_err(|e| dp_error(e, DpError::NoSuchFlow))?;
        if unnamed {
            if let Some(k) = lock(&self.cache).flows.get_mut(&ufid) {
                k.actions = put.actions.as_slice().into();
            }
        } else {
            self.remember(ufid, &put.key, &put.mask, put.actions.as_slice().into());
        }
        Ok(FlowStats::default())
    }

    /// Puts a flow without a name, which the kernel then knows by its key.
    ///
    /// # Errors
    /// As [`datapath::Datapath::flow_put`].
    pub fn put_unnamed(&self, put: &FlowPut) -> Result<(), DpError> {
        let request = self.put_request(put, None)?;
        self.transport.with(|c| c.ask(&request)).map(drop).map_err(|e| dp_error(e, DpError::NoSuchFlow))
    }

    fn del_request(&self, ufid: Ufid) -> Request {
        let unnamed = lock(&self.cache).flows.get(&ufid).and_then(|k| k.unnamed.clone());
        let flow = match &unnamed {
            Some(key) => Flow { key: Some(key), ..self.base() },
            None => Flow { ufid: Some(ufid.0), ufid_flags: Some(TERSE), ..self.base() },
        };
        Request::echo(self.transport.families.flow, flow.encode(command::DEL))
    }

    fn deleted(&self, ufid: Ufid, answer: stdio::Result<Option<Vec<u8>>>) -> Result<FlowStats, DpError> {
        lock(&self.cache).flows.remove(&ufid);
        let answer = answer.map_err(|e| dp_error(e, DpError::NoSuchFlow))?;
        let stats = answer.as_deref().and_then(|a| Flow::parse(a).ok()).map(|(_, f)| stats_of(self, &f));
        Ok(stats.unwrap_or_default())
    }

    pub(crate) fn del(&self, ufid: Ufid) -> Result<FlowStats, DpError> {
        let request = self.del_request(ufid);
        let answer = self.transport.with(|c| c.ask(&request));
        self.deleted(ufid, answer)
    }

    pub(crate) fn del_all(&self, ufids: &[Ufid]) -> Vec<Result<FlowStats, DpError>> {
        let requests: Vec<Request> = ufids.iter().map(|u| self.del_request(*u)).collect();
        let answers = self.transport.with(|c| Ok(c.ask_all(&requests))).unwrap_or_default();
        let mut all: Vec<_> = ufids.iter().zip(answers).map(|(u, a)| self.deleted(*u, a)).collect();
        all.resize_with(ufids.len(), || Err(DpError::Gone));
        all
    }

    /// Deletes the flow of a key that has no name.
    ///
    /// # Errors
    /// As [`datapath::Datapath::flow_del`].
    pub fn del_unnamed(&self, key: &FlowKey) -> Result<FlowStats, DpError> {
        let mut w = Writer::new();
        write_key(&mut w, key);
        let flow = Flow { key: Some(w.bytes()), ..self.base() };
        let request = Request::echo(self.transport.families.flow, flow.encode(command::DEL));
        let answer = self.transport.with(|c| c.ask(&request)).map_err(|e| dp_error(e, DpError::NoSuchFlow))?;
        let stats = answer.as_deref().and_then(|a| Flow::parse(a).ok()).map(|(_, f)| stats_of(self, &f));
        Ok(stats.unwrap_or_default())
    }

    pub(crate) fn get(&self, ufid: Ufid) -> Result<FlowDump, DpError> {
        self.get_raw(ufid).map(RawFlow::dump)
    }

    /// A flow by name, as the kernel has it.
    ///
    /// # Errors
    /// As [`datapath::Datapath::flow_get`].
    pub fn get_raw(&self, ufid: Ufid) -> Result<RawFlow, DpError> {
        let flow = Flow { ufid: Some(ufid.0), ..self.base() };
        let request = Request::echo(self.transport.families.flow, flow.encode(command::GET));
        let answer = self.transport.with(|c| c.ask_for(&request)).map_err(|e| dp_error(e, DpError::NoSuchFlow))?;
        Flow::parse(&answer).and_then(|(_, f)| raw(self, &f)).map_err(|e| DpError::Io(malformed(e)))
    }

    /// All flows, as the kernel has them.
    ///
    /// # Errors
    /// `ENODEV` when the datapath is gone.
    pub fn dump_raw(&self) -> stdio::Result<Vec<RawFlow>> {
        let request = Request::new(self.transport.families.flow, self.base().encode(command::GET));
        let mut all = vec![];
        self.transport.with(|c| {
            c.dump(&request, |body| match Flow::parse(body).and_then(|(_, f)| raw(self, &f)) {
                Ok(f) => all.push(f),
                Err(_) => drop(self.counts.malformed.fetch_add(1, Ordering::Relaxed)),
            })
        })?;
        Ok(all)
    }

    /// All flows: counters from the kernel, the rest from what is known.
    pub(crate) fn dump_known(&self) -> Vec<FlowDump> {
        let listing = {
            let mut cache = lock(&self.cache);
            cache.listing += 1;
            cache.listing
        };
        let terse = Flow { ufid_flags: Some(TERSE), ..self.base() };
        let request = Request::new(self.transport.families.flow, terse.encode(command::GET));
        let (mut named, mut unnamed) = (vec![], false);
        let done = self.transport.with(|c| {
            c.dump(&request, |body| match Flow::parse(body) {
                Ok((_, f)) => match f.ufid {
                    Some(u) => named.push((Ufid(u), stats_of(self, &f))),
                    None => unnamed = true,
                },
                Err(_) => drop(self.counts.malformed.fetch_add(1, Ordering::Relaxed)),
            })
        });
        if let Err(e) = done {
            static OFTEN: RateLimit = RateLimit::new(9, 5);
            if OFTEN.pass(Module::Dpif).is_some() {
                vlog_warn!(Module::Dpif, "system@{}: failed to dump flows ({})", Datapath::name(self), strerror(&e));
            }
            return vec![];
        }
        let mut flows = vec![];
        let mut missing = vec![];
        {
            let mut cache = lock(&self.cache);
            for (ufid, stats) in named {
                match cache.flows.get_mut(&ufid) {
                    Some(k) => {
                        k.seen = listing;
                        flows.push(k.dump(ufid, stats));
                    }
                    None => missing.push(ufid),
                }
            }
        }
        if unnamed || missing.len() > MANY {
            let seen: std::collections::HashSet<Ufid> = flows.iter().map(|f| f.ufid).collect();
            let rest = self.dump_raw().unwrap_or_default().into_iter();
            flows.extend(rest.filter(|f| f.ufid.is_none_or(|u| !seen.contains(&u))).map(|f| self.meet(f, listing)));
        } else {
            flows.extend(missing.into_iter().filter_map(|u| Some(self.meet(self.get_raw(u).ok()?, listing))));
        }
        lock(&self.cache).flows.retain(|_, k| k.seen >= listing);
        flows
    }

    /// Takes note of a flow that somebody else put, or an earlier run.
    fn meet(&self, flow: RawFlow, listing: u64) -> FlowDump {
        let unnamed = flow.ufid.is_none().then(|| flow.key_attrs.clone());
        let pid = self.pid(flow.key.in_port_raw());
        let key_attrs = flow.key_attrs.clone();
        let mut dump = flow.dump();
        dump.mask.union(&implied(&dump.key, &key_attrs));
        dump.actions = dump.actions.iter().map(|a| without_pid(a, pid)).collect();
        let known = Known {
            key: MiniKey::new(&dump.key),
            mask: MiniKey::new(&dump.mask),
            actions: dump.actions.clone(),
            unnamed,
            seen: listing,
        };
        lock(&self.cache).flows.insert(dump.ufid, known);
        dump
    }

    pub(crate) fn flush(&self) -> Result<(), DpError> {
        let request = Request::new(self.transport.families.flow, self.base().encode(command::DEL));
        self.transport.with(|c| c.ask(&request)).map_err(|e| dp_error(e, DpError::Gone))?;
        lock(&self.cache).flows.clear();
        Ok(())
    }

    /// The request to work on a packet.
    pub(crate) fn execute_request(&self, e: &Execute<'_>, origin: Origin) -> Request {
        let (mut key, mut actions) = (Writer::new(), Writer::new());
        write_metadata(&mut key, e.key);
        write_actions(&mut actions, e.actions, self.pid(e.key.in_port_raw()));
        let p = Packet {
            dp: self.ifindex(),
            packet: Some(e.packet),
            key: Some(key.bytes()),
            actions: Some(actions.bytes()),
            probe: e.probe,
            mru: origin.mru,
            hash: origin.hash,
            upcall_pid: origin.pid,
            ..Packet::default()
        };
        Request::new(self.transport.families.packet, p.encode(packet::EXECUTE))
    }

    /// Works on a packet, with help where the kernel needs it.
    pub(crate) fn run(&self, e: &Execute<'_>, depth: u32, origin: Option<Origin>) -> Result<(), DpError> {
        if e.actions.is_empty() {
            return Ok(());
        }
        let origin = origin.unwrap_or_default();
        if needs_help(e.actions) && !e.probe {
            return crate::help::run(self, e, depth, origin);
        }
        let request = self.execute_request(e, origin);
        self.transport.with(|c| c.ask(&request)).map(drop).map_err(|e| dp_error(e, DpError::Gone))
    }
}

/// What every flow with a key's attributes matches though no mask says so: all for which there is no attribute, such as a tunnel's
/// fields in a flow of packets from none.
fn implied(key: &FlowKey, key_attrs: &[u8]) -> FlowMask {
    let mut ones = FlowMask::ZERO;
    ones.words_mut().fill(u64::MAX);
    let mut w = Writer::new();
    write_mask(&mut w, key, &ones);
    let said = read_mask(Some(w.bytes()), key, key_attrs).unwrap_or_default();
    let mut rest = FlowMask::ZERO;
    rest.words_mut().iter_mut().zip(said.words()).for_each(|(r, s)| *r = !s);
    rest
}

/// An action as the switch has it, which leaves it to this crate which socket is that of its port.
fn without_pid(a: &DpAction, pid: u32) -> DpAction {
    let all = |inner: &[DpAction]| inner.iter().map(|a| without_pid(a, pid)).collect();
    match a {
        DpAction::Userspace { cookie, pid: own } if *own == pid => {
            DpAction::Userspace { cookie: cookie.clone(), pid: 0 }
        }
        DpAction::Clone(inner) => DpAction::Clone(all(inner)),
        DpAction::Sample { probability, actions } => {
            DpAction::Sample { probability: *probability, actions: all(actions) }
        }
        DpAction::CheckPktLen { len, greater, less_equal } => {
            DpAction::CheckPktLen { len: *len, greater: all(greater), less_equal: all(less_equal) }
        }
        other => other.clone(),
    }
}

impl Known {
    fn dump(&self, ufid: Ufid, stats: FlowStats) -> FlowDump {
        FlowDump {
            ufid,
            key: self.key.expand(),
            mask: self.mask.expand(),
            actions: self.actions.clone(),
            stats,
            core: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_attribute_is_matched() {
        let mut key = FlowKey::ZERO;
        key.set_eth_type(0x0800);
        key.set_nw_proto(17);
        let mut w = Writer::new();
        write_key(&mut w, &key);
        let m = implied(&key, w.bytes());
        assert_eq!((m.nw_proto(), m.tp_dst(), m.recirc_id(), m.in_port_raw()), (0, 0, 0, 0));
        assert_eq!((m.tun_id(), m.arp_sha() == wire::EthAddr::from_u64(0)), (u64::MAX, false));
    }

    #[test]
    fn the_own_socket_of_an_action_is_not_named() {
        let send = |pid| DpAction::Userspace { cookie: Box::new(UserCookie::SlowPath(SlowReason(0))), pid };
        let nested = |pid| DpAction::Sample { probability: 5, actions: [DpAction::Clone([send(pid)].into())].into() };
        assert_eq!(without_pid(&nested(7), 7), nested(0));
        assert_eq!(without_pid(&nested(7), 8), nested(7));
    }
}
