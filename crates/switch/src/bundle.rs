//! Bundles: changes that a controller collects first and that then happen all at once, or not at all (OpenFlow 1.4 §6.8).

use crate::bridge::Bridge;
use crate::conn::ConnId;
use crate::handle::Origin;
use clock::Instant;
use io::vlog::{Level, Module};
use io::vlog_rl;
use openflow::message::{BundleAdd, BundleControl, BundleCtrlType};
use openflow::{Error, Message};
use std::time::Duration;

/// Silence after which an open bundle is given up, unless `other_config:bundle-idle-timeout` says otherwise.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages in a bundle.
const MAX_MESSAGES: usize = 4 << 20;
/// Bundles of a connection.
const MAX_BUNDLES: usize = 1024;

/// A bundle that is not committed yet.
#[derive(Debug)]
pub(crate) struct Bundle {
    flags: u16,
    closed: bool,
    messages: Vec<BundleAdd>,
    used: Instant,
    /// The message that opened it, to be quoted in errors.
    opened_by: Vec<u8>,
}

impl Bridge {
    /// Opens, closes, commits or discards a bundle.
    pub(crate) fn bundle_control(
        &mut self,
        id: ConnId,
        origin: Origin,
        control: BundleControl,
        raw: &[u8],
        now: Instant,
    ) -> Result<(), Error> {
        use BundleCtrlType::{
            CloseReply, CloseRequest, CommitReply, CommitRequest, DiscardReply, DiscardRequest, OpenReply, OpenRequest,
        };
        let reply = match control.ty {
            OpenRequest => {
                self.bundle_open(id, control, raw, now)?;
                OpenReply
            }
            CloseRequest => {
                self.bundle_close(id, control, now)?;
                CloseReply
            }
            CommitRequest => {
                self.bundle_commit(id, origin, control, now)?;
                CommitReply
            }
            DiscardRequest => {
                let conn = self.conns.get_mut(&id).ok_or(Error::BundleFailedBadId)?;
                conn.bundles.remove(&control.id).ok_or(Error::BundleFailedBadId)?;
                DiscardReply
            }
            OpenReply | CloseReply | CommitReply | DiscardReply => return Err(Error::BundleFailedBadType),
        };
        self.reply(id, origin.xid, Message::BundleControl(BundleControl { ty: reply, flags: 0, ..control }));
        Ok(())
    }

    fn bundle_open(&mut self, id: ConnId, control: BundleControl, raw: &[u8], now: Instant) -> Result<(), Error> {
        let conn = self.conns.get_mut(&id).ok_or(Error::BundleFailedBadId)?;
        if conn.bundles.remove(&control.id).is_some() {
            return Err(Error::BundleFailedBadId);
        }
        if conn.bundles.len() >= MAX_BUNDLES {
            return Err(Error::BundleFailedOutOfBundles);
        }
        let bundle =
            Bundle { flags: control.flags, closed: false, messages: vec![], used: now, opened_by: raw.to_vec() };
        conn.bundles.insert(control.id, bundle);
        Ok(())
    }

    fn bundle_close(&mut self, id: ConnId, control: BundleControl, now: Instant) -> Result<(), Error> {
        let conn = self.conns.get_mut(&id).ok_or(Error::BundleFailedBadId)?;
        let bundle = conn.bundles.get_mut(&control.id).ok_or(Error::BundleFailedBadId)?;
        let error = match bundle {
            b if b.closed => Error::BundleFailedBundleClosed,
            b if b.flags != control.flags => Error::BundleFailedBadFlags,
            b => {
                b.closed = true;
                b.used = now;
                return Ok(());
            }
        };
        conn.bundles.remove(&control.id);
        Err(error)
    }

    /// Collects a message.
    pub(crate) fn bundle_add(&mut self, id: ConnId, add: BundleAdd, raw: &[u8], now: Instant) -> Result<(), Error> {
        let conn = self.conns.get_mut(&id).ok_or(Error::BundleFailedBadId)?;
        if conn.bundles.len() >= MAX_BUNDLES && !conn.bundles.contains_key(&add.id) {
            return Err(Error::BundleFailedOutOfBundles);
        }
        let bundle_id = add.id;
        let bundle = conn.bundles.entry(bundle_id).or_insert_with(|| Bundle {
            flags: add.flags,
            closed: false,
            messages: vec![],
            used: now,
            opened_by: raw.to_vec(),
        });
        let error = match bundle {
            b if b.closed => Error::BundleFailedBundleClosed,
            b if b.flags != add.flags => Error::BundleFailedBadFlags,
            b if b.messages.len() >= MAX_MESSAGES => Error::BundleFailedMsgTooMany,
            b => {
                b.used = now;
                b.messages.push(add);
                return Ok(());
            }
        };
        conn.bundles.remove(&bundle_id);
        Err(error)
    }

    fn bundle_commit(&mut self, id: ConnId, origin: Origin, control: BundleControl, now: Instant) -> Result<(), Error> {
        let conn = self.conns.get_mut(&id).ok_or(Error::BundleFailedBadId)?;
        let bundle = conn.bundles.remove(&control.id).ok_or(Error::BundleFailedBadId)?;
        if bundle.flags != control.flags {
            return Err(Error::BundleFailedBadFlags);
        }
        let mut change = self.tables.begin();
        let mut failed = None;
        for add in &bundle.messages {
            let staged = match &*add.message {
                Message::FlowMod(fm) => self.stage_flow_mod(&mut change, fm, origin.version, now),
                Message::GroupMod(gm) => self.stage_group_mod(&mut change, gm, now),
                Message::PortMod(pm) => self.check_port_mod(pm).map(drop),
                Message::PacketOut(po) => self.check_packet_out(po, &change),
                _ => Err(Error::BundleFailedMsgUnsup),
            };
            if let Err(e) = staged {
                failed = Some((e, add));
                break;
            }
        }
        if let Some((error, add)) = failed {
            self.tables.rollback(change);
            let inner = add.message.encode(origin.version, add.xid);
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.send_error(error, &inner);
            }
            return Err(Error::BundleFailedMsgFailed);
        }
        self.commit(change, Some(origin), now);
        for add in bundle.messages {
            match *add.message {
                Message::PortMod(pm) => self.port_mod(&pm)?,
                Message::PacketOut(po) => self.send_packet_out(&po, now),
                Message::GroupMod(gm) => self.forward_request(origin, openflow::message::RequestForward::Group(gm)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives up bundles in which nothing was done for long.
    pub(crate) fn expire_bundles(&mut self, now: Instant) {
        let timeout = self.bundle_idle_timeout;
        for (id, conn) in &mut self.conns {
            let over = |b: &Bundle| now.since(b.used) >= timeout;
            if !conn.bundles.values().any(over) {
                continue;
            }
            let old: Vec<u32> = conn.bundles.iter().filter(|(_, b)| over(b)).map(|(n, _)| *n).collect();
            for n in old {
                if let Some(b) = conn.bundles.remove(&n) {
                    vlog_rl!((5, 5), Module::Connmgr, Level::Info, "{}: bundle {n} timed out", conn.name);
                    conn.send_error(Error::BundleFailedTimeout, &b.opened_by);
                }
            }
            self.events.push_back(crate::bridge::Event::Output(*id));
        }
    }
}
