//! Groups (OpenFlow 1.3.5 §5.6, 1.5.1 §7.3.4.3).

use clock::Instant;
use openflow::message::groups::{
    BUCKET_ALL, BUCKET_FIRST, BUCKET_LAST, BUCKET_MAX, Bucket as BucketDesc, GroupCommand, GroupDesc, GroupMod,
    GroupStats, GroupType,
};
use openflow::{Error, GroupId};
use std::collections::HashMap;
use std::sync::Arc;
use translate::Bridge as Shared;
use translate::view::{Bucket, Counters, Group, Groups};

/// Carries out a group-mod on the groups as they will be; after an error they must not be used. Returns the groups that
/// are gone, whose flows have to go too.
pub fn apply(groups: &mut Groups, gm: &GroupMod, now: Instant) -> Result<Vec<GroupId>, Error> {
    let mut gone = vec![];
    match gm.command {
        GroupCommand::Add if groups.contains_key(&gm.group) => return Err(Error::GroupModFailedGroupExists),
        GroupCommand::Add => add(groups, gm, now)?,
        GroupCommand::AddOrMod if !groups.contains_key(&gm.group) => add(groups, gm, now)?,
        GroupCommand::Modify | GroupCommand::AddOrMod => {
            let old = groups.get(&gm.group).ok_or(Error::GroupModFailedUnknownGroup)?.clone();
            check(gm)?;
            let buckets = number(gm.buckets.clone());
            groups.insert(gm.group, Arc::new(rebuild(&old, gm.ty, buckets, gm)));
        }
        GroupCommand::Delete if gm.group == GroupId::ALL => {
            gone.extend(groups.keys().copied());
            groups.clear();
        }
        GroupCommand::Delete => {
            if groups.remove(&gm.group).is_some() {
                gone.push(gm.group);
            }
        }
        GroupCommand::InsertBucket => insert_buckets(groups, gm)?,
        GroupCommand::RemoveBucket => remove_bucket(groups, gm)?,
    }
    gone.sort_unstable();
    Ok(gone)
}

fn add(groups: &mut Groups, gm: &GroupMod, now: Instant) -> Result<(), Error> {
    if gm.group.0 > GroupId::MAX.0 {
        return Err(Error::GroupModFailedInvalidGroup);
    }
    check(gm)?;
    let group = Group {
        id: gm.group,
        ty: gm.ty,
        buckets: number(gm.buckets.clone()).into_iter().map(bucket).collect(),
        props: gm.props.clone(),
        stats: Counters::default(),
        created: now,
    };
    groups.insert(gm.group, Arc::new(group));
    Ok(())
}

fn bucket(desc: BucketDesc) -> Bucket {
    Bucket { desc, stats: Counters::default() }
}

/// Gives ids to buckets that came without.
fn number(mut buckets: Vec<BucketDesc>) -> Vec<BucketDesc> {
    let mut next = buckets.iter().filter(|b| b.id <= BUCKET_MAX).map(|b| b.id + 1).max().unwrap_or(0);
    for b in &mut buckets {
        if b.id > BUCKET_MAX {
            b.id = next;
            next += 1;
        }
    }
    buckets
}

fn check(gm: &GroupMod) -> Result<(), Error> {
    if gm.ty == GroupType::Indirect && gm.buckets.len() != 1 {
        return Err(Error::GroupModFailedInvalidGroup);
    }
    for b in &gm.buckets {
        if gm.ty == GroupType::FastFailover && b.watch_port == flow::OfPort::ANY && b.watch_group == GroupId::ANY {
            return Err(Error::GroupModFailedInvalidGroup);
        }
        // Groups that buckets name need not exist yet, and chains that come back to themselves end at translation's bound on
        // depth: controllers send groups in any order.
    }
    let mut ids: Vec<u32> = gm.buckets.iter().map(|b| b.id).filter(|&id| id <= BUCKET_MAX).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|w| w[0] == w[1]) {
        return Err(Error::GroupModFailedBadBucket);
    }
    Ok(())
}

/// A group with other buckets; counters of the group and of buckets that stay are kept.
fn rebuild(old: &Group, ty: GroupType, buckets: Vec<BucketDesc>, gm: &GroupMod) -> Group {
    let stats = Counters::default();
    let (packets, bytes) = old.stats.read();
    stats.add(packets, bytes, old.stats.used());
    let props = if matches!(gm.command, GroupCommand::InsertBucket | GroupCommand::RemoveBucket) {
        &old.props
    } else {
        &gm.props
    };
    Group {
        id: old.id,
        ty,
        buckets: buckets.into_iter().map(bucket).collect(),
        props: props.clone(),
        stats,
        created: old.created,
    }
}

fn insert_buckets(groups: &mut Groups, gm: &GroupMod) -> Result<(), Error> {
    let old = groups.get(&gm.group).ok_or(Error::GroupModFailedUnknownGroup)?.clone();
    let mut list: Vec<BucketDesc> = old.buckets.iter().map(|b| b.desc.clone()).collect();
    if gm.buckets.iter().any(|n| n.id <= BUCKET_MAX && list.iter().any(|b| b.id == n.id)) {
        return Err(Error::GroupModFailedBucketExists);
    }
    let at = match gm.bucket_id {
        BUCKET_FIRST => 0,
        BUCKET_LAST => list.len(),
        id => list.iter().position(|b| b.id == id).ok_or(Error::GroupModFailedUnknownBucket)? + 1,
    };
    list.splice(at..at, gm.buckets.iter().cloned());
    let whole = GroupMod { ty: old.ty, buckets: number(list), ..gm.clone() };
    check(&whole)?;
    groups.insert(gm.group, Arc::new(rebuild(&old, old.ty, whole.buckets.clone(), gm)));
    Ok(())
}

fn remove_bucket(groups: &mut Groups, gm: &GroupMod) -> Result<(), Error> {
    let old = groups.get(&gm.group).ok_or(Error::GroupModFailedUnknownGroup)?.clone();
    let mut list: Vec<BucketDesc> = old.buckets.iter().map(|b| b.desc.clone()).collect();
    match gm.bucket_id {
        BUCKET_ALL => list.clear(),
        BUCKET_FIRST if !list.is_empty() => {
            list.remove(0);
        }
        BUCKET_LAST if !list.is_empty() => {
            list.pop();
        }
        BUCKET_FIRST | BUCKET_LAST => {}
        id => {
            let at = list.iter().position(|b| b.id == id).ok_or(Error::GroupModFailedUnknownBucket)?;
            list.remove(at);
        }
    }
    groups.insert(gm.group, Arc::new(rebuild(&old, old.ty, list, gm)));
    Ok(())
}

fn selected(shared: &Shared, id: GroupId) -> Vec<Arc<Group>> {
    let groups = shared.groups.latest();
    let mut list: Vec<_> =
        groups.values().filter(|g| id == GroupId::ALL || id == GroupId::ANY || g.id == id).cloned().collect();
    list.sort_by_key(|g| g.id);
    list
}

/// Descriptions of a group, or of all.
pub fn describe(shared: &Shared, id: GroupId) -> Vec<GroupDesc> {
    let desc = |g: Arc<Group>| GroupDesc {
        ty: g.ty,
        group: g.id,
        buckets: g.buckets.iter().map(|b| b.desc.clone()).collect(),
        props: g.props.clone(),
    };
    selected(shared, id).into_iter().map(desc).collect()
}

/// Counters of a group, or of all. `references` says how many flows and groups use each.
pub fn stats(shared: &Shared, id: GroupId, references: &HashMap<GroupId, u32>, now: Instant) -> Vec<GroupStats> {
    let one = |g: Arc<Group>| {
        let (packets, bytes) = g.stats.read();
        GroupStats {
            group: g.id,
            ref_count: references.get(&g.id).copied().unwrap_or(0),
            packets,
            bytes,
            duration: Some(crate::stats::age(g.created, now)),
            buckets: g.buckets.iter().map(|b| b.stats.read()).collect(),
        }
    };
    selected(shared, id).into_iter().map(one).collect()
}
