//! A batch of packets on its way: keys, flows, actions, output.

use crate::compact::{self, Compact};
use crate::cycles;
use crate::lookup::{Found, Lookup, Simple, prefetch};
use crate::member::add;
use crate::poller::{Poller, Scratch, Stage, stage};
use crate::table::Megaflow;
use datapath::{DpError, FlowPut, InstallFlow, Ufid, Upcall, UpcallKind};
use flow::{DpPort, FlowKey};
use io::coverage::Counter;
use netdev::BATCH;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use wire::PacketBuf;

/// Half of a batch: so many packets at once are traffic worth remembering every flow of.
const BUSY: usize = BATCH / 2;

impl Poller {
    /// Handles the packets that came in by a port, in order; gives the number of those that had no flow. Goes through the
    /// batch several times, so that what one step asks the memory for is there when the next step wants it.
    pub(crate) fn batch(&mut self, port: DpPort, packets: &mut Vec<PacketBuf>) -> usize {
        self.take_changes();
        self.batch_now = self.now();
        let mut missing = 0;
        if packets.len() <= BATCH {
            return self.one_batch(port, packets);
        }
        // No device gives so many, but nothing depends on that.
        let mut rest = std::mem::take(packets);
        while !rest.is_empty() {
            let mut part: Vec<PacketBuf> = rest.drain(..rest.len().min(BATCH)).collect();
            missing += self.one_batch(port, &mut part);
        }
        missing
    }

    fn one_batch(&mut self, port: DpPort, packets: &mut Vec<PacketBuf>) -> usize {
        let n = packets.len().min(BATCH);
        let Some(mut s) = self.scratch.take() else { return 0 };
        let plain = self.read_keys(port, packets, &mut s);
        stage(&mut self.stages, Stage::Extract);
        let busy = n >= BUSY;
        let (mut by_signature, mut by_mask) = (0, 0);
        for i in 0..n {
            if plain >> i & 1 == 0 {
                s.flows[i] = 0;
                continue;
            }
            let first = s.flows[i];
            if let Some(entry) = self.lookup.check(first, &s.keys[i]) {
                prefetch(&entry.flow.counters);
                by_signature += 1;
                continue;
            }
            s.flows[i] = match self.lookup.find_short(&s.keys[i], s.hashes[i]) {
                Some(Found::Signature(flow)) => {
                    by_signature += 1;
                    flow + 1
                }
                Some(Found::Mask(flow)) => {
                    by_mask += 1;
                    self.remember(s.hashes[i], flow, busy);
                    flow + 1
                }
                None => 0,
            };
        }
        self.count_hits(by_signature, by_mask);
        stage(&mut self.stages, Stage::Lookup);
        self.act(packets, &mut s, plain);
        let missing = self.others(port, &mut s);
        stage(&mut self.stages, Stage::Execute);
        self.scratch = Some(s);
        missing
    }

    /// Reads the keys of the plain packets, hashes them, and guesses their flows. Bit N of the result: packet N is plain.
    #[inline]
    fn read_keys(&self, port: DpPort, packets: &[PacketBuf], s: &mut Scratch) -> u32 {
        let mut plain = 0u32;
        let in_port = u64::from(port.0) << 32;
        for (i, packet) in packets.iter().enumerate().take(BATCH) {
            let key = &mut s.keys[i];
            key.0[0] = in_port;
            if compact::read(packet.bytes(), key) {
                plain |= 1 << i;
                s.hashes[i] = Lookup::hash_short(key);
                self.lookup.signatures.prefetch(s.hashes[i]);
            } else {
                s.hashes[i] = 0;
            }
        }
        for i in 0..packets.len().min(BATCH) {
            s.flows[i] = self.lookup.candidate(s.hashes[i]);
        }
        plain
    }

    /// Runs the actions of packets whose flow is known, neighbours of one flow together; puts the others aside.
    #[inline]
    fn act(&mut self, packets: &mut Vec<PacketBuf>, s: &mut Scratch, plain: u32) {
        let now = self.batch_now.as_millis();
        let n = packets.len().min(BATCH);
        let mut i = 0;
        let mut left = packets.drain(..);
        while i < n {
            let flow = s.flows[i];
            let Some(entry) = self.lookup.entry(flow.wrapping_sub(1)) else {
                let Some(packet) = left.next() else { break };
                let key = (plain >> i & 1 != 0).then(|| (s.keys[i], s.hashes[i]));
                s.others.push((packet, key));
                i += 1;
                continue;
            };
            let start = i;
            let (mut bytes, mut flags) = (0, 0);
            for packet in left.as_slice() {
                bytes += packet.len() as u64;
                flags |= s.keys[i].tcp_flags();
                i += 1;
                if i >= n || s.flows[i] != flow {
                    break;
                }
            }
            entry.flow.counters.add((i - start) as u64, bytes, flags, now);
            match entry.simple {
                Simple::Output(to) => {
                    let Some(slot) = self.slots.get_mut(to) else {
                        left.by_ref().take(i - start).for_each(|p| self.pool.give(p));
                        continue;
                    };
                    if slot.pending.is_empty() {
                        self.dirty.push(to);
                    }
                    slot.pending.extend(left.by_ref().take(i - start));
                }
                Simple::Drop => left.by_ref().take(i - start).for_each(|p| self.pool.give(p)),
                Simple::No => {
                    let actions = entry.actions.clone();
                    for (packet, key) in left.by_ref().take(i - start).zip(&s.keys[start..i]) {
                        self.actions(&actions, packet, &mut key.expand(), 0);
                    }
                }
            }
        }
    }

    /// Packets without a flow, and those that are not plain, one by one and in order. Gives the number of misses.
    fn others(&mut self, port: DpPort, s: &mut Scratch) -> usize {
        if s.others.is_empty() {
            return 0;
        }
        let mut missing = 0;
        for (packet, short) in s.others.drain(..) {
            let (mut key, hash) = match short {
                // A packet before this one may have made the flow.
                Some((key, hash)) => match self.lookup.find_short(&key, hash) {
                    Some(found) => {
                        self.late(found, packet, &key, hash);
                        continue;
                    }
                    None => {
                        self.miss(packet, &mut key.expand(), hash, 0);
                        missing += 1;
                        continue;
                    }
                },
                None => {
                    let mut key = FlowKey::ZERO;
                    key.set_in_port_raw(port.0);
                    flow::extract_into(packet.bytes(), &mut key, flow::key::MAX_VLANS);
                    let hash = Lookup::hash(&key);
                    (key, hash)
                }
            };
            missing += usize::from(self.process(packet, &mut key, hash, 0));
        }
        missing
    }

    /// A plain packet whose flow came into being within the batch.
    fn late(&mut self, found: Found, packet: PacketBuf, key: &Compact, hash: u64) {
        let index = match found {
            Found::Signature(index) => {
                self.count_hits(1, 0);
                index
            }
            Found::Mask(index) => {
                self.count_hits(0, 1);
                self.remember(hash, index, false);
                index
            }
        };
        self.follow(index, packet, &mut key.expand(), 0);
    }

    /// Counts a packet of a flow and runs the flow's actions.
    fn follow(&mut self, index: u32, packet: PacketBuf, key: &mut FlowKey, depth: u32) {
        let Some(entry) = self.lookup.entry(index) else { return self.pool.give(packet) };
        entry.flow.counters.add(1, packet.len() as u64, tcp_flags(key), self.batch_now.as_millis());
        let actions = entry.actions.clone();
        self.actions(&actions, packet, key, depth);
    }

    fn remember(&mut self, hash: u64, flow: u32, busy: bool) {
        let one_of = self.shared.emc_inverse.load(Relaxed);
        let smc = self.shared.smc.load(Relaxed);
        let insert = smc || one_of == 1 || one_of != 0 && (busy || self.random().is_multiple_of(one_of));
        if insert {
            self.lookup.signatures.remember(hash, flow);
        }
    }

    fn count_hits(&mut self, by_signature: u64, by_mask: u64) {
        let c = &self.me.counters;
        if by_signature > 0 {
            let smc = self.shared.smc.load(Relaxed) && self.shared.emc_inverse.load(Relaxed) != 1;
            add(if smc { &c.smc_hit } else { &c.emc_hit }, by_signature);
        }
        if by_mask > 0 {
            add(&c.mega_hit, by_mask);
            add(&c.searched, std::mem::take(&mut self.lookup.searched));
        }
    }

    /// Finds the packet's flow, or asks the switch, and runs the actions. Whether the switch was asked.
    pub(crate) fn process(&mut self, packet: PacketBuf, key: &mut FlowKey, hash: u64, depth: u32) -> bool {
        let index = match self.lookup.find(key, hash) {
            Some(Found::Signature(index)) => {
                self.count_hits(1, 0);
                index
            }
            Some(Found::Mask(index)) => {
                self.count_hits(0, 1);
                self.remember(hash, index, false);
                index
            }
            None => {
                self.miss(packet, key, hash, depth);
                return true;
            }
        };
        self.follow(index, packet, key, depth);
        false
    }

    fn miss(&mut self, mut packet: PacketBuf, key: &mut FlowKey, hash: u64, depth: u32) {
        let began = cycles::now();
        let Some(handler) = (**self.shared.handler.load()).clone() else {
            add(&self.me.counters.lost, 1);
            Counter::DropUpcall.hit();
            return self.pool.give(packet);
        };
        add(&self.me.counters.upcalls, 1);
        if let Some(slot) = self.slots.get(DpPort(key.in_port_raw())) {
            add(&slot.stats.upcalls, 1);
        }
        // What controllers and protocols get to see is a packet as it would be on the wire.
        if packet.gso.is_none() {
            packet.complete_checksum();
        }
        let upcall = Upcall { key, packet: packet.bytes(), ufid: Ufid(0), kind: UpcallKind::Miss, now: self.now() };
        let answer = handler.upcall(&upcall);
        if let Some(InstallFlow { mut mask, actions }) = answer.install {
            if self.lookup.is_mask_too_many(key.in_port_raw(), &mask) {
                mask = Lookup::exact_mask(key);
            }
            let actions = actions.unwrap_or_else(|| answer.actions.clone());
            let put = FlowPut { ufid: None, key: *key, mask, actions, create: true, modify: false, zero_stats: false };
            match self.put(put) {
                Ok(flow) => {
                    handler.installed(flow.ufid, key, &mask, &flow.actions(), true);
                    // It is good for the next packet.
                    let index = self.lookup.insert(&flow);
                    if let Some(index) = index {
                        self.remember(hash, index, false);
                    }
                }
                Err(_) => handler.installed(Ufid::of(key, &mask), key, &mask, &Arc::from([]), false),
            }
        }
        add(&self.me.counters.upcall_cycles, cycles::now().saturating_sub(began));
        self.actions(&answer.actions, packet, key, depth);
    }

    fn put(&self, put: FlowPut) -> Result<Arc<Megaflow>, DpError> {
        let limit = self.shared.flow_limit.load(Relaxed);
        self.me.table.put_own(put, limit)
    }

    /// Queues a packet for a port; a port that is not there drops it.
    pub(crate) fn output(&mut self, port: DpPort, packet: PacketBuf) {
        match self.slots.get_mut(port) {
            Some(slot) => {
                if slot.pending.is_empty() {
                    self.dirty.push(port);
                }
                slot.pending.push(packet);
                if slot.pending.len() >= 2 * BATCH {
                    self.flush();
                }
            }
            None => {
                Counter::DropInvalidPort.hit();
                self.pool.give(packet);
            }
        }
    }

    /// Sends what is queued.
    pub(crate) fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for port in dirty.drain(..) {
            let Some(slot) = self.slots.get_mut(port) else { continue };
            let offloads = slot.queue.offloads();
            let mut ready = std::mem::take(&mut slot.pending);
            if !offloads.segmentation && ready.iter().any(|p| p.gso.is_some()) {
                ready = ready.into_iter().flat_map(wire::gso::segment).collect();
            }
            if !offloads.checksum {
                ready.iter_mut().for_each(PacketBuf::complete_checksum);
            }
            let sent = slot.queue.send(&mut ready);
            add(&slot.stats.tx_packets, sent.packets);
            add(&slot.stats.tx_bytes, sent.bytes);
            add(&slot.stats.tx_dropped, sent.dropped);
            add(&self.me.counters.tx, sent.packets);
            add(&self.me.counters.tx_batches, 1);
            self.pool.give_all(&mut ready);
            // The list keeps its room for the next batch.
            slot.pending = ready;
        }
        // So does this one, unless something was queued meanwhile.
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
    }
}

/// TCP flags of a packet; other protocols use the place for something else.
fn tcp_flags(key: &FlowKey) -> u16 {
    if key.nw_proto() == wire::layers::ip_proto::TCP { key.tcp_flags() } else { 0 }
}
