//! Mirrors: what the database says of them, and as translation sees them.

use crate::config::Problems;
use idl::typed::Table;
use idl::vswitch;
use io::vlog::{Level, Module};
use ovsdb_data::Uuid;
use std::collections::HashMap;
use std::sync::Arc;
use translate::view::{BundleId, Counters, VlanSet};

/// Mirrors of a bridge; translation keeps a bit for each.
pub const MAX_MIRRORS: usize = 32;

/// Where copies go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// To a port of the database, which then is for mirroring only.
    Port(Uuid),
    /// To all ports of a VLAN, 1 to 4095.
    Vlan(u16),
}

/// One row of `Mirror`.
#[derive(Clone, PartialEq, Debug)]
pub struct MirrorConfig {
    /// The row.
    pub uuid: Uuid,
    /// Name.
    pub name: String,
    /// All packets are selected.
    pub all: bool,
    /// Ports whose received packets are selected.
    pub src: Vec<Uuid>,
    /// Ports whose sent packets are selected.
    pub dst: Vec<Uuid>,
    /// VLANs that are selected; none means all.
    pub vlans: Vec<u16>,
    /// Where copies go.
    pub output: Output,
    /// Bytes that are copied, 0 for all.
    pub snaplen: u16,
    /// Only packets that match are copied.
    pub filter: Option<flow::MiniMatch>,
}

/// Reads the mirrors of a bridge; those that cannot be are told in `problems` and left out.
pub fn read(bridge: &str, row: &vswitch::Bridge<'_>, problems: &mut Problems) -> Vec<MirrorConfig> {
    let mut mirrors = vec![];
    for m in row.mirrors() {
        match one(&m, problems) {
            Ok(config) if mirrors.len() < MAX_MIRRORS => {
                if m.output_port().is_some() && m.output_vlan().is_some() {
                    let why = "specifies both output port and output vlan; ignoring output vlan";
                    problems.error(format!("bridge {bridge}: mirror {} {why}", m.name()));
                }
                mirrors.push(config);
            }
            Ok(_) => {
                problems.push(format!(
                    "bridge {bridge}: maximum of {MAX_MIRRORS} port mirrors reached, cannot create {}",
                    m.name()
                ));
            }
            Err(e) => problems.error(format!("bridge {bridge}: mirror {} {e}", m.name())),
        }
    }
    mirrors.sort_by(|a, b| (&a.name, a.uuid).cmp(&(&b.name, b.uuid)));
    mirrors
}

fn one(m: &vswitch::Mirror<'_>, problems: &mut Problems) -> Result<MirrorConfig, String> {
    let port = m.output_port().map(|p| p.uuid());
    let vlan = m.output_vlan().and_then(|v| u16::try_from(v).ok());
    let output = match (port, vlan) {
        (Some(p), _) => Output::Port(p),
        (None, Some(v)) => Output::Vlan(v),
        (None, None) => return Err("does not specify output; ignoring".into()),
    };
    let filter = match m.filter() {
        Some(text) if !text.is_empty() => {
            let matching = flow::text::parse_match(text).map_err(|e| {
                problems.list.push((Module::OfprotoDpifMirror, Level::Warn, format!("filter is invalid: {text}: {e}")));
                "configuration is invalid".to_string()
            })?;
            Some(flow::MiniMatch::new(&matching))
        }
        _ => None,
    };
    Ok(MirrorConfig {
        uuid: m.uuid(),
        name: m.name().into(),
        all: m.select_all(),
        src: m.select_src_port().map(|p| p.uuid()).collect(),
        dst: m.select_dst_port().map(|p| p.uuid()).collect(),
        vlans: m.select_vlan().filter_map(|v| u16::try_from(v).ok()).collect(),
        output,
        snaplen: m.snaplen().and_then(|n| u16::try_from(n).ok()).unwrap_or(0),
        filter,
    })
}

/// The mirrors as translation sees them. `bundles` gives the number of each port of the bridge; `counters` keeps what each
/// mirror has counted.
pub fn view(
    mirrors: &[MirrorConfig],
    bundles: &HashMap<Uuid, BundleId>,
    counters: &mut HashMap<Uuid, Arc<Counters>>,
) -> Vec<translate::view::Mirror> {
    counters.retain(|uuid, _| mirrors.iter().any(|m| m.uuid == *uuid));
    let number = |uuids: &[Uuid]| -> Vec<BundleId> { uuids.iter().filter_map(|u| bundles.get(u).copied()).collect() };
    let one = |m: &MirrorConfig| {
        let all = || -> Vec<BundleId> { bundles.values().copied().collect() };
        // A mirror whose ports are all gone selects nothing, not everything.
        let (out_bundle, out_vlan) = match m.output {
            Output::Port(p) => (Some(*bundles.get(&p)?), 0),
            Output::Vlan(v) => (None, v),
        };
        Some(translate::view::Mirror {
            name: m.name.clone(),
            src: if m.all { all() } else { number(&m.src) },
            dst: if m.all { all() } else { number(&m.dst) },
            vlans: (!m.vlans.is_empty()).then(|| m.vlans.iter().copied().collect::<VlanSet>()),
            out_bundle,
            out_vlan,
            snaplen: m.snaplen,
            filter: m.filter.clone(),
            stats: counters.entry(m.uuid).or_default().clone(),
        })
    };
    mirrors.iter().filter_map(one).collect()
}
