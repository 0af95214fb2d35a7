//! Groups (OpenFlow 1.5 §5.10).

use std::sync::Arc;

use datapath::DpAction;
use datapath::action::HashAlg;
use openflow::GroupId;
use openflow::message::groups::GroupType;

use crate::request::Credit;
use crate::view::{Bucket, Group};
use crate::xlate::Xlator;

/// Entries of a select group's table from hash to bucket, at least.
const MIN_HASHES: u32 = 16;
/// At most.
const MAX_HASHES: u32 = 256;

/// Buckets by hash: each gets a share of the table by its weight, by the method of Sainte-Laguë (Webster), so that the
/// shares are as close to the weights as whole numbers allow.
#[must_use]
pub fn hash_table(weights: &[u32]) -> Vec<usize> {
    let total: u64 = weights.iter().map(|&w| u64::from(w)).sum();
    let Some(least) = weights.iter().copied().filter(|&w| w > 0).min() else { return Vec::new() };
    let wanted = total.div_ceil(u64::from(least)).min(u64::from(MAX_HASHES)) as u32;
    let size = wanted.next_power_of_two().clamp(MIN_HASHES, MAX_HASHES);
    let mut given = vec![0u64; weights.len()];
    (0..size)
        .map(|_| {
            let mut best = 0;
            for i in 1..weights.len() {
                // Quotient w / (2g + 1), compared crosswise.
                let (a, b) =
                    (u64::from(weights[i]) * (2 * given[best] + 1), u64::from(weights[best]) * (2 * given[i] + 1));
                if a > b {
                    best = i;
                }
            }
            given[best] += 1;
            best
        })
        .collect()
}

impl Xlator<'_> {
    pub(crate) fn group(&mut self, id: GroupId, last: bool) {
        let groups = self.here.bridge.groups.at(self.here.version.number());
        let Some(group) = groups.get(&id) else {
            self.warning(|| format!("output to nonexistent group {}", id.0));
            return;
        };
        self.out.groups.push((self.here.config.id, id));
        match group.ty {
            GroupType::All | GroupType::Indirect => {
                self.out.credits.push(Credit::Group(group.clone(), None));
                let n = group.buckets.len();
                for i in 0..n {
                    self.bucket(group, i, last && i + 1 == n);
                }
            }
            GroupType::FastFailover => match (0..group.buckets.len()).find(|&i| self.is_live(&group.buckets[i], 0)) {
                Some(i) => {
                    self.out.credits.push(Credit::Group(group.clone(), None));
                    self.bucket(group, i, last);
                }
                None => self.detail(|| "no live bucket".into()),
            },
            GroupType::Select => self.select(group, last),
        }
    }

    /// Whether a bucket can send its packets on (OpenFlow 1.5 §6.7).
    fn is_live(&mut self, bucket: &Bucket, depth: u32) -> bool {
        let desc = &bucket.desc;
        let (port, group) = (desc.watch_port, desc.watch_group);
        if port == flow::OfPort::ANY && group == GroupId::ANY {
            return true;
        }
        let port_live = port != flow::OfPort::ANY && self.here.config.ports.get(&port).is_some_and(|p| p.up);
        let watched = self.here.bridge.groups.at(self.here.version.number()).get(&group).cloned();
        let live = port_live
            || group != GroupId::ANY
                && depth < 64
                && watched.is_some_and(|g| g.buckets.iter().any(|b| self.is_live(b, depth + 1)));
        if !live {
            let id = desc.id;
            let on = if port == flow::OfPort::ANY { group.0 } else { port.0 };
            self.detail(|| format!("bucket {id}: not live due to port {on}"));
        }
        live
    }

    fn select(&mut self, group: &Arc<Group>, last: bool) {
        let live: Vec<usize> = (0..group.buckets.len()).filter(|&i| self.is_live(&group.buckets[i], 0)).collect();
        if live.is_empty() {
            self.detail(|| "no live bucket".into());
            return;
        }
        let method = group.props.selection_method.as_str();
        if method != "hash" {
            return self.select_by_dp_hash(group, &live, last);
        }
        let hash = self.selection_hash(group);
        // The best of scores scaled by weight: buckets that go away move only their own flows.
        let score = |&i: &usize| {
            let h = flow::mini::finish_hash(flow::mini::mix(hash, u64::from(group.buckets[i].desc.id) + 1)) & 0xffff;
            h * u64::from(group.buckets[i].desc.weight)
        };
        if let Some(&i) = live.iter().max_by_key(|i| score(i)) {
            self.out.credits.push(Credit::Group(group.clone(), None));
            self.bucket(group, i, last);
        }
    }

    fn selection_hash(&mut self, group: &Group) -> u64 {
        let basis = group.props.selection_param;
        if group.props.fields.is_empty() {
            return crate::hash::fields(
                &self.key,
                &mut self.wc,
                openflow::action::HashFields::SymmetricL4,
                basis as u32,
            )
            .into();
        }
        let mut hash = basis;
        for (field, mask) in &group.props.fields {
            if crate::fields::has_prerequisites(&self.key, &mut self.wc, *field) {
                crate::fields::look_bits(&mut self.wc, *field, mask.low());
                let value = self.key.get(*field) & mask.low();
                hash =
                    flow::mini::mix(flow::mini::mix(hash, (value >> 64) as u64), value as u64 ^ field.index() as u64);
            }
        }
        hash
    }

    fn select_by_dp_hash(&mut self, group: &Arc<Group>, live: &[usize], last: bool) {
        let param = group.props.selection_param;
        let (alg, basis) = ((param >> 32) as u32, param as u32);
        if self.key.dp_hash() == 0 || self.key.recirc_id() == 0 {
            self.detail(|| "selection method in use: dp_hash, recirculating".into());
            self.commit();
            // Without a method the symmetric hash is taken; with this one the parameter says which.
            let l4 = group.props.selection_method == "dp_hash" && alg == 0;
            let alg = if l4 { HashAlg::L4 } else { HashAlg::SymL4 };
            self.out.actions.push(DpAction::Hash { alg, basis });
            self.freeze();
            return;
        }
        let weights: Vec<u32> = live.iter().map(|&i| u32::from(group.buckets[i].desc.weight)).collect();
        let table = hash_table(&weights);
        if table.is_empty() {
            self.detail(|| "no live bucket".into());
            return;
        }
        let mask = table.len() as u32 - 1;
        self.wc.set_dp_hash(self.wc.dp_hash() | mask);
        let i = live[table[(self.key.dp_hash() & mask) as usize]];
        self.out.credits.push(Credit::Group(group.clone(), None));
        self.bucket(group, i, last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_weights() {
        for (weights, expect) in
            [(vec![1, 1], vec![8, 8]), (vec![1, 3], vec![4, 12]), (vec![1], vec![16]), (vec![0, 2], vec![0, 16])]
        {
            let table = hash_table(&weights);
            let shares: Vec<usize> = (0..weights.len()).map(|i| table.iter().filter(|&&b| b == i).count()).collect();
            assert_eq!(shares, expect, "{weights:?}");
        }
        assert!(hash_table(&[0]).is_empty());
        assert!(hash_table(&[1, 100_000]).len() == 256);
    }
}
