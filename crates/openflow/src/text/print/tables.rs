//! Tables: statistics, features, configuration.

use std::fmt::Write;

use flow::text::{Style, put_table};

use crate::message::*;
use crate::version::Version;

pub(super) fn put(out: &mut String, m: &Message, v: Version, style: &Style<'_>) {
    match m {
        Message::TableMod(t) => put_table_mod(out, style, t, v),
        Message::TableStatus(s) => {
            out.push_str(if s.reason == 3 { " reason=VACANCY_DOWN" } else { " reason=VACANCY_UP" });
            out.push_str("\ntable_desc:-");
            put_desc(out, style, &s.desc);
        }
        Message::TableDescReply(x) => {
            for t in &x.entries {
                put_desc(out, style, t);
            }
        }
        Message::TableStatsReply(x) => put_stats(out, style, x, v),
        Message::TableFeaturesRequest(x) | Message::TableFeaturesReply(x) => {
            if !x.entries.is_empty() {
                out.push('\n');
            }
            format_features_list(out, style, &x.entries, v);
        }
        _ => {}
    }
}

/// Names of actions in the order in which they are printed: bit for the version, name.
pub(super) fn put_action_names(out: &mut String, bits: u64, v: Version) {
    const OF10: [(u32, &str); 12] = [
        (0, "output"),
        (11, "enqueue"),
        (1, "set_vlan_vid"),
        (2, "set_vlan_pcp"),
        (3, "strip_vlan"),
        (4, "mod_dl_src"),
        (5, "mod_dl_dst"),
        (6, "mod_nw_src"),
        (7, "mod_nw_dst"),
        (8, "mod_nw_tos"),
        (9, "mod_tp_src"),
        (10, "mod_tp_dst"),
    ];
    const OF11: [(u32, &str); 25] = [
        (0, "output"),
        (22, "group"),
        (1, "set_vlan_vid"),
        (2, "set_vlan_pcp"),
        (25, "set_field"),
        (28, "move"),
        (18, "strip_vlan"),
        (17, "push_vlan"),
        (3, "mod_dl_src"),
        (4, "mod_dl_dst"),
        (5, "mod_nw_src"),
        (6, "mod_nw_dst"),
        (7, "mod_nw_tos"),
        (8, "mod_nw_ecn"),
        (23, "mod_nw_ttl"),
        (9, "mod_tp_src"),
        (10, "mod_tp_dst"),
        (24, "dec_ttl"),
        (13, "set_mpls_label"),
        (14, "set_mpls_tc"),
        (15, "set_mpls_ttl"),
        (16, "dec_mpls_ttl"),
        (19, "push_mpls"),
        (20, "pop_mpls"),
        (21, "set_queue"),
    ];
    let list: &[(u32, &str)] = if v == Version::V10 { &OF10 } else { &OF11 };
    // OpenFlow 1.2 replaced the actions that set one field by set_field.
    let known: u64 = if v >= Version::V12 { !0x67fe } else { !0 };
    let names: Vec<&str> = list.iter().filter(|n| (bits & known) >> n.0 & 1 != 0).map(|n| n.1).collect();
    out.push_str(if names.is_empty() { "(none)" } else { "" });
    out.push_str(&names.join(" "));
}

fn eviction_flags(flags: u32) -> String {
    let names: Vec<&str> =
        [(1, "OTHER"), (2, "IMPORTANCE"), (4, "LIFETIME")].iter().filter(|n| flags & n.0 != 0).map(|n| n.1).collect();
    if names.is_empty() { "0".to_string() } else { names.join("|") }
}

fn put_desc(out: &mut String, style: &Style<'_>, t: &TableDesc) {
    out.push_str("\n  table ");
    put_table(out, style, t.table.0);
    out.push_str(":\n");
    let _ = write!(out, "   eviction={}", if t.eviction == Some(true) { "on" } else { "off" });
    let _ = writeln!(out, " eviction_flags={}", t.eviction_flags.map_or("0".to_string(), eviction_flags));
    let on = t.vacancy == Some(true);
    let _ = write!(out, "   vacancy={}", if on { "on" } else { "off" });
    if on && let Some((down, up, now)) = t.vacancy_limits {
        let _ = write!(out, " vacancy_down={down}% vacancy_up={up}% vacancy={now}%");
    }
    out.push('\n');
}

fn put_table_mod(out: &mut String, style: &Style<'_>, t: &TableMod, v: Version) {
    if t.table.0 == 0xff {
        out.push_str(" table_id: ALL_TABLES");
    } else {
        let _ = style;
        let _ = write!(out, " table_id={}", t.table.0);
    }
    if v < Version::V13 {
        out.push_str(match t.miss {
            TableMiss::Controller => ", flow_miss_config=controller",
            TableMiss::Continue => ", flow_miss_config=continue",
            TableMiss::Drop => ", flow_miss_config=drop",
            TableMiss::Default => "",
        });
    }
    // As the original: the flags, where they are said, are taken for the setting.
    let eviction = match t.eviction_flags {
        Some(0) => None,
        Some(1) => Some("on"),
        Some(2) => Some("off"),
        Some(_) => Some("***error***"),
        None => t.eviction.map(|on| if on { "on" } else { "off" }),
    };
    if let Some(word) = eviction.filter(|_| v >= Version::V14) {
        let _ = write!(out, ", eviction={word}");
    }
    if let Some(on) = t.vacancy.filter(|_| v >= Version::V14) {
        let _ = write!(out, ", vacancy={}", if on { "on" } else { "off" });
        if on {
            let (down, up, _) = t.vacancy_limits.unwrap_or_default();
            let _ = write!(out, " vacancy:{down},{up}");
        }
    }
}

/// What is printed of a table, to tell when the next one is the same.
#[derive(PartialEq)]
struct Shown {
    stats: String,
}

fn put_stats(out: &mut String, style: &Style<'_>, x: &Multipart<TableStats>, v: Version) {
    let mut previous: Option<Shown> = None;
    let mut previous_features: Option<TableFeatures> = None;
    let mut run: Vec<u8> = Vec::new();
    let flush = |out: &mut String, run: &mut Vec<u8>| {
        put_ditto(out, style, run);
        run.clear();
    };
    for s in &x.entries {
        let mut stats = format!("    active={}, ", s.active);
        stats.push_str(&format!("lookup={}, matched={}\n", s.lookups, s.matched));
        let features = s.features.as_deref().map_or(String::new(), |f| {
            let mut text = String::new();
            put_features_body(&mut text, f, previous_features.as_ref(), v, true);
            text
        });
        let same_features = match (&s.features, &previous_features) {
            (Some(a), Some(b)) => same_but_identity(a, b),
            (None, None) => true,
            _ => false,
        };
        let shown = Shown { stats };
        if same_features && previous.as_ref() == Some(&shown) {
            run.push(s.table.0);
            continue;
        }
        flush(out, &mut run);
        out.push_str("\n  table ");
        put_table(out, style, s.table.0);
        if let Some(f) = s.features.as_deref()
            && !f.name.is_empty()
            && style.names.and_then(|n| n.table_name(s.table.0)).is_none()
            && !is_default_name(&f.name, s.table.0)
        {
            let _ = write!(out, " (\"{}\")", f.name);
        }
        out.push_str(":\n");
        out.push_str(&shown.stats);
        if s.features.is_some() {
            if same_features && previous.is_some() {
                out.push_str("    (same features)\n");
            } else {
                out.push_str(&features);
            }
        }
        previous = Some(shown);
        previous_features = s.features.as_deref().cloned();
    }
    flush(out, &mut run);
}

/// `table0` is how a table without a name is called.
fn is_default_name(name: &str, table: u8) -> bool {
    name == format!("table{table}")
}

fn put_ditto(out: &mut String, style: &Style<'_>, run: &[u8]) {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
    if first == last {
        out.push_str("\n  table ");
        put_table(out, style, *first);
        out.push_str(": ditto\n");
    } else {
        let _ = writeln!(out, "\n  tables {first}...{last}: ditto");
    }
}

fn same_but_identity(a: &TableFeatures, b: &TableFeatures) -> bool {
    let strip = |t: &TableFeatures| {
        let mut t = t.clone();
        t.table = b.table;
        t.name = String::new();
        t
    };
    let (mut x, mut y) = (strip(a), strip(b));
    x.nonmiss.next = relative_next(a);
    y.nonmiss.next = relative_next(b);
    x.miss_features.next = Vec::new();
    y.miss_features.next = Vec::new();
    x == y
}

/// The last table that can be reached: tables differ only in where the list starts.
fn relative_next(t: &TableFeatures) -> Vec<u8> {
    t.nonmiss.next.last().map(|n| vec![*n]).unwrap_or_default()
}

/// Appends the features of tables, leaving out what is as in the table before.
pub fn format_features_list(out: &mut String, style: &Style<'_>, list: &[TableFeatures], v: Version) {
    let mut previous: Option<&TableFeatures> = None;
    let mut run: Vec<u8> = Vec::new();
    let mut after_named = false;
    for t in list {
        let named = !t.name.is_empty() && !is_default_name(&t.name, t.table.0);
        if let Some(p) = previous
            && same_but_identity(t, p)
        {
            if named && style.names.is_none() {
                put_ditto(out, style, &run);
                run.clear();
                let _ = writeln!(out, "\n  table {} (\"{}\"): ditto", t.table.0, t.name);
                after_named = true;
            } else {
                run.push(t.table.0);
            }
            continue;
        }
        if !run.is_empty() {
            put_run(out, style, &run, after_named);
            run.clear();
        }
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        if previous.is_some() {
            out.push('\n');
        }
        out.push_str("  table ");
        put_table(out, style, t.table.0);
        if !t.name.is_empty() && !is_default_name(&t.name, t.table.0) && style.names.is_none() {
            let _ = write!(out, " (\"{}\")", t.name);
        }
        out.push_str(":\n");
        put_features_body(out, t, previous, v, false);
        previous = Some(t);
    }
    if !run.is_empty() {
        put_run(out, style, &run, after_named);
    }
    out.push('\n');
}

/// Like [`put_ditto`]; without the empty line before it if a table with a name stood there.
fn put_run(out: &mut String, style: &Style<'_>, run: &[u8], after_named: bool) {
    let mut text = String::new();
    put_ditto(&mut text, style, run);
    out.push_str(if after_named { text.trim_start_matches('\n') } else { &text });
}

fn put_features_body(out: &mut String, t: &TableFeatures, previous: Option<&TableFeatures>, v: Version, stats: bool) {
    if v >= Version::V12 && (t.metadata_match | t.metadata_write != 0 || !stats) {
        let _ = write!(out, "    metadata: ");
        if t.metadata_match == 0 && t.metadata_write == 0 {
            out.push_str("not supported\n");
        } else {
            let _ = writeln!(out, "match={:#x} write={:#x}", t.metadata_match, t.metadata_write);
        }
    }
    if let Some(miss) = t.miss.filter(|_| v == Version::V11 || v == Version::V12) {
        let name = match miss {
            TableMiss::Continue => "continue",
            TableMiss::Drop => "drop",
            _ => "controller",
        };
        let _ = writeln!(out, "    config={name}");
    }
    if v >= Version::V14 {
        let word = |on: bool| if on { "supported" } else { "not supported" };
        let _ = writeln!(out, "    eviction: {}", word(t.supports_eviction));
        let _ = writeln!(out, "    vacancy events: {}", word(t.supports_vacancy));
    }
    let _ = writeln!(out, "    max_entries={}", t.max_entries);
    if v > Version::V10 {
        // Every table reaches other tables than the one before; that makes no difference here.
        let alike = |a: &FlowFeatures, b: &FlowFeatures| {
            (a.instructions, &a.write, &a.apply) == (b.instructions, &b.write, &b.apply)
        };
        let repeats = previous
            .filter(|_| v > Version::V11)
            .is_some_and(|p| alike(&p.nonmiss, &t.nonmiss) && alike(&p.miss_features, &t.miss_features));
        let same_flows = t.miss_features == FlowFeatures::default() || t.nonmiss == t.miss_features;
        if repeats {
            out.push_str("    (same instructions)\n");
        } else if same_flows {
            out.push_str("    instructions (table miss and others):\n");
            put_flow_features(out, &t.nonmiss, previous.map(|p| &p.nonmiss), v);
        } else {
            out.push_str("    instructions (other than table miss):\n");
            put_flow_features(out, &t.nonmiss, previous.map(|p| &p.nonmiss), v);
            out.push_str("    instructions (table miss):\n");
            put_flow_features(out, &t.miss_features, previous.map(|p| &p.miss_features), v);
        }
    }
    put_matching(out, t, previous, v);
}

fn put_flow_features(out: &mut String, f: &FlowFeatures, previous: Option<&FlowFeatures>, v: Version) {
    if !f.next.is_empty() {
        let _ = writeln!(out, "      next tables: {}", ranges(&f.next));
    }
    let names = [
        (6, "meter"),
        (4, "apply_actions"),
        (5, "clear_actions"),
        (3, "write_actions"),
        (2, "write_metadata"),
        (1, "goto_table"),
    ];
    let list: Vec<&str> = names.iter().filter(|n| f.instructions >> n.0 & 1 != 0).map(|n| n.1).collect();
    let _ = writeln!(out, "      instructions: {}", list.join(" "));
    // The original compares nothing that 1.1 says of actions.
    if let Some(p) = previous.filter(|_| v != Version::V11)
        && p.write == f.write
        && p.apply == f.apply
    {
        out.push_str("      (same actions)\n");
        return;
    }
    if f.write == f.apply {
        out.push_str("      Write-Actions and Apply-Actions features:\n");
        put_action_features(out, &f.write, v);
    } else {
        out.push_str("      Write-Actions features:\n");
        put_action_features(out, &f.write, v);
        out.push_str("      Apply-Actions features:\n");
        put_action_features(out, &f.apply, v);
    }
}

fn put_action_features(out: &mut String, a: &ActionFeatures, v: Version) {
    out.push_str("        actions: ");
    put_action_names(out, a.actions, v);
    out.push('\n');
    if v >= Version::V12 {
        let _ = writeln!(out, "        supported on Set-Field: {}", field_names(&a.set_fields));
    }
}

fn ranges(list: &[u8]) -> String {
    let mut words = Vec::new();
    let mut i = 0;
    while i < list.len() {
        let mut j = i;
        while j + 1 < list.len() && list[j + 1] == list[j].wrapping_add(1) {
            j += 1;
        }
        words.push(if i == j { list[i].to_string() } else { format!("{}-{}", list[i], list[j]) });
        i = j + 1;
    }
    words.join(",")
}

fn put_matching(out: &mut String, t: &TableFeatures, previous: Option<&TableFeatures>, v: Version) {
    if let Some(p) = previous
        && p.matchable == t.matchable
        && p.maskable == t.maskable
        && p.wildcards == t.wildcards
    {
        out.push_str("    (same matching)\n");
        return;
    }
    out.push_str("    matching:\n");
    let (mut masked, mut wild, mut exact) = (FieldSet::default(), FieldSet::default(), FieldSet::default());
    if v <= Version::V11 && t.matchable.is_empty() {
        for f in fixed_fields(v) {
            wild.insert(f);
        }
    }
    for f in t.matchable.iter() {
        if t.maskable.contains(f) {
            masked.insert(f);
        } else if t.wildcards.contains(f) {
            wild.insert(f);
        } else {
            exact.insert(f);
        }
    }
    for (title, set) in [("arbitrary mask", &masked), ("exact match or wildcard", &wild), ("must exact match", &exact)]
    {
        if !set.is_empty() {
            let _ = writeln!(out, "      {title}: {}", field_names(set));
        }
    }
}

/// Fields that the fixed matches of 1.0 and 1.1 have.
fn fixed_fields(v: Version) -> Vec<flow::Field> {
    use flow::Field as F;
    let mut list = vec![
        F::IN_PORT,
        F::ETH_SRC,
        F::ETH_DST,
        F::ETH_TYPE,
        F::VLAN_VID,
        F::VLAN_PCP,
        F::IP_SRC,
        F::IP_DST,
        F::NW_PROTO,
        F::NW_TOS,
        F::TCP_SRC,
        F::TCP_DST,
    ];
    if v == Version::V11 {
        list.extend([F::METADATA, F::MPLS_LABEL, F::MPLS_TC]);
    }
    list
}

/// Names of fields in table order, with common beginnings said once: `eth_{src,dst}`.
fn field_names(set: &FieldSet) -> String {
    let names: Vec<String> = set.iter().map(|f| f.name().to_string()).collect();
    fold(&names)
}

/// Joins names with spaces; neighbours with the same first word (up to `_`) share it in braces; numbered ones become a
/// range.
fn fold(names: &[String]) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut i = 0;
    while i < names.len() {
        let prefix = names[i].find('_').map(|n| &names[i][..=n]);
        let mut j = i + 1;
        if let Some(p) = prefix {
            while j < names.len() && names[j].starts_with(p) {
                j += 1;
            }
        }
        if j - i > 1 {
            let p = prefix.unwrap_or("").to_string();
            let tails: Vec<String> = names[i..j].iter().map(|n| n[p.len()..].to_string()).collect();
            out.push(format!("{p}{{{}}}", fold(&tails).replace(' ', ",")));
            i = j;
            continue;
        }
        let (stem, number) = split_number(&names[i]);
        let mut k = i + 1;
        if let Some(n) = number {
            while k < names.len() && split_number(&names[k]) == (stem, Some(n + (k - i) as u32)) {
                k += 1;
            }
        }
        if k - i > 2 {
            out.push(format!("{}...{}", names[i], names[k - 1]));
            i = k;
        } else {
            out.push(names[i].clone());
            i += 1;
        }
    }
    out.join(" ")
}

fn split_number(s: &str) -> (&str, Option<u32>) {
    let at = s.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    (&s[..at], s[at..].parse().ok())
}
