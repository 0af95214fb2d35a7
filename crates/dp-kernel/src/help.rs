//! Actions that the kernel does not have, done here to each packet: headers are edited, and what is left goes to the kernel.

use crate::Kernel;
use crate::flows::Origin;
use datapath::netlink::needs_help;
use datapath::{DpAction, DpError, Execute, edit as fields};
use flow::{FlowKey, Metadata};
use wire::{PacketBuf, edit};

/// How deep clones and samples may nest here.
const DEEPEST: u32 = 16;

fn refresh(packet: &PacketBuf, key: &mut FlowKey) {
    let mut meta = Metadata::default();
    for w in (0..39).chain(58..flow::key::WORDS) {
        meta.key.set_word(w, key.word(w));
    }
    *key = flow::extract(packet.bytes(), &meta);
}

/// Runs actions of which the kernel lacks some.
pub(crate) fn run(k: &Kernel, e: &Execute<'_>, depth: u32, origin: Origin) -> Result<(), DpError> {
    if depth > DEEPEST {
        return Err(DpError::Unsupported("nesting of actions"));
    }
    let mut packet = PacketBuf::from_bytes(e.packet);
    let mut key = *e.key;
    let mut cut = None;
    for (i, action) in e.actions.iter().enumerate() {
        let here = |actions: &[DpAction], packet: &PacketBuf, key: &FlowKey| {
            k.run(&Execute { packet: packet.bytes(), key, actions, probe: false }, depth + 1, Some(origin))
        };
        match action {
            DpAction::Set(s) => fields::set(&mut packet, &mut key, s),
            DpAction::PushVlan { tpid, tci } => {
                edit::push_vlan(&mut packet, *tpid, *tci & !flow::key::VLAN_CFI);
                refresh(&packet, &mut key);
            }
            DpAction::PopVlan => {
                edit::pop_vlan(&mut packet);
                refresh(&packet, &mut key);
            }
            DpAction::PushMpls { ethertype, lse } => {
                edit::push_mpls(&mut packet, *ethertype, *lse);
                refresh(&packet, &mut key);
            }
            DpAction::PopMpls(ty) => {
                edit::pop_mpls(&mut packet, *ty);
                refresh(&packet, &mut key);
            }
            DpAction::Trunc(_) => cut = Some(action.clone()),
            DpAction::Clone(inner) => here(inner, &packet, &key)?,
            // What is chosen by the kernel's dice or by a length may have to be helped with, too.
            DpAction::CheckPktLen { len, greater, less_equal } if needs_help(std::slice::from_ref(action)) => {
                let inner = if packet.len() > usize::from(*len) { greater } else { less_equal };
                here(inner, &packet, &key)?;
            }
            DpAction::Sample { probability, actions } if needs_help(actions) => {
                let dice = k.clock.now().as_nanos().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
                if dice <= u64::from(*probability) {
                    here(actions, &packet, &key)?;
                }
            }
            DpAction::LbOutput(_) | DpAction::TunnelPush(_) | DpAction::TunnelPop(_) => {
                return Err(DpError::Unsupported("action of the userspace datapath"));
            }
            // What goes on with state that only the kernel has takes the rest with it.
            DpAction::Ct(_)
            | DpAction::Hash { .. }
            | DpAction::Meter(_)
            | DpAction::PushNsh(_)
            | DpAction::PopNsh
            | DpAction::PushEth(_)
            | DpAction::PopEth => {
                let rest = &e.actions[i..];
                if needs_help(rest) {
                    return Err(DpError::Unsupported("this order of actions"));
                }
                return here(rest, &packet, &key);
            }
            other => {
                let both: Vec<DpAction> = cut.take().into_iter().chain([other.clone()]).collect();
                here(&both, &packet, &key)?;
            }
        }
    }
    Ok(())
}
