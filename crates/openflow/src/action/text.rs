//! Lists of actions as text: splitting, keywords, and the rules for what may stand where.

use flow::text::{ParseContext, Style, put_color, split_key_values};

use super::{Action, check, control, ct, encap, fields, header, instruction, learn, output};
use crate::protocol::Protocols;

/// Where a list of actions stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A flow: actions and instructions.
    Flow,
    /// A list of actions only (packet-out, buckets).
    Actions,
    /// Inside write_actions.
    ActionSet,
    /// Inside ct.
    Ct,
    /// Inside clone.
    Clone,
}

/// State of parsing one list.
pub struct Parser<'a, 'n> {
    /// Names and warnings.
    pub cx: &'a mut ParseContext<'n>,
    /// Variants that can carry what was parsed so far.
    pub usable: Protocols,
    /// Actions so far.
    pub out: Vec<Action>,
    /// Nesting, to bound recursion.
    pub depth: u8,
    /// Where the list stands.
    pub place: Place,
}

type Parse = fn(&mut Parser<'_, '_>, &str) -> Result<(), String>;

/// Keywords of the text form, with the function that parses the argument.
const KEYWORDS: &[(&str, Parse)] = &[
    ("output", output::parse_output),
    ("controller", output::parse_controller),
    ("enqueue", output::parse_enqueue),
    ("group", output::parse_group),
    ("bundle", output::parse_bundle),
    ("bundle_load", output::parse_bundle_load),
    ("mod_vlan_vid", header::parse_mod_vlan_vid),
    ("set_vlan_vid", header::parse_set_vlan_vid),
    ("mod_vlan_pcp", header::parse_mod_vlan_pcp),
    ("set_vlan_pcp", header::parse_set_vlan_pcp),
    ("strip_vlan", header::parse_strip_vlan),
    ("pop_vlan", header::parse_pop_vlan),
    ("push_vlan", header::parse_push_vlan),
    ("mod_dl_src", header::parse_mod_dl_src),
    ("mod_dl_dst", header::parse_mod_dl_dst),
    ("mod_nw_src", header::parse_mod_nw_src),
    ("mod_nw_dst", header::parse_mod_nw_dst),
    ("mod_nw_tos", header::parse_mod_nw_tos),
    ("mod_nw_ecn", header::parse_mod_nw_ecn),
    ("mod_nw_ttl", header::parse_mod_nw_ttl),
    ("set_nw_ttl", header::parse_mod_nw_ttl),
    ("mod_tp_src", header::parse_mod_tp_src),
    ("mod_tp_dst", header::parse_mod_tp_dst),
    ("dec_ttl", header::parse_dec_ttl),
    ("set_mpls_label", header::parse_set_mpls_label),
    ("set_mpls_tc", header::parse_set_mpls_tc),
    ("set_mpls_ttl", header::parse_set_mpls_ttl),
    ("dec_mpls_ttl", header::parse_dec_mpls_ttl),
    ("push_mpls", header::parse_push_mpls),
    ("pop_mpls", header::parse_pop_mpls),
    ("set_tunnel", header::parse_set_tunnel),
    ("set_tunnel64", header::parse_set_tunnel64),
    ("set_queue", header::parse_set_queue),
    ("pop_queue", header::parse_pop_queue),
    ("dec_nsh_ttl", header::parse_dec_nsh_ttl),
    ("load", fields::parse_load),
    ("set_field", fields::parse_set_field),
    ("move", fields::parse_move),
    ("push", fields::parse_push),
    ("pop", fields::parse_pop),
    ("delete_field", fields::parse_delete_field),
    ("resubmit", control::parse_resubmit),
    ("fin_timeout", control::parse_fin_timeout),
    ("conjunction", control::parse_conjunction),
    ("note", control::parse_note),
    ("exit", control::parse_exit),
    ("multipath", control::parse_multipath),
    ("sample", control::parse_sample),
    ("clone", control::parse_clone),
    ("check_pkt_larger", control::parse_check_pkt_larger),
    ("debug_slow", control::parse_debug_slow),
    ("debug_recirc", control::parse_debug_recirc),
    ("unroll_xlate", control::parse_unroll_xlate),
    ("learn", learn::parse),
    ("ct", ct::parse),
    ("ct_clear", ct::parse_clear),
    ("nat", ct::parse_nat),
    ("encap", encap::parse_encap),
    ("decap", encap::parse_decap),
    ("goto_table", instruction::parse_goto_table),
    ("write_metadata", instruction::parse_write_metadata),
    ("write_actions", instruction::parse_write_actions),
    ("clear_actions", instruction::parse_clear_actions),
    ("apply_actions", instruction::parse_apply_actions),
    ("meter", instruction::parse_meter),
];

fn keyword(name: &str) -> Option<Parse> {
    use foldhash::HashMap;
    use std::sync::OnceLock;
    static MAP: OnceLock<HashMap<&'static str, Parse>> = OnceLock::new();
    let map = MAP.get_or_init(|| KEYWORDS.iter().copied().collect());
    if let Some(f) = map.get(name) {
        return Some(*f);
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return map.get(name.to_ascii_lowercase().as_str()).copied();
    }
    None
}

/// Deepest nesting of actions in actions.
pub const MAX_DEPTH: u8 = 64;

impl<'a, 'n> Parser<'a, 'n> {
    /// Parses `s` as a list in a list: what clone, ct and write_actions hold.
    pub fn nested(&mut self, s: &str, place: Place) -> Result<Vec<Action>, String> {
        if self.depth >= MAX_DEPTH {
            return Err("Action nested too deeply".to_string());
        }
        let mut inner = Parser { cx: self.cx, usable: self.usable, out: Vec::new(), depth: self.depth + 1, place };
        let result = inner.list(s);
        let (usable, out) = (inner.usable, inner.out);
        self.usable = usable;
        result?;
        check::verify(&out, place).map_err(|e| e.1)?;
        Ok(out)
    }

    fn list(&mut self, s: &str) -> Result<(), String> {
        let mut dropped = false;
        let mut n = 0;
        for (key, value) in split_key_values(s) {
            if key.eq_ignore_ascii_case("drop") {
                dropped = true;
                continue;
            }
            n += 1;
            if let Some(parse) = keyword(key) {
                parse(self, value)?;
            } else {
                match self.cx.port(key) {
                    Some(port) => output::push_port(self, port, key),
                    None => return Err(format!("unknown action {key}")),
                }
            }
        }
        if dropped && n > 0 {
            return Err("\"drop\" must not be accompanied by any other action or instruction".to_string());
        }
        Ok(())
    }
}

/// Parses a list of actions (and, in a flow, instructions). Also gives the protocol variants that can carry it.
pub fn parse(cx: &mut ParseContext<'_>, s: &str, place: Place) -> Result<(Vec<Action>, Protocols), String> {
    let mut p = Parser { cx, usable: Protocols::ANY, out: Vec::new(), depth: 0, place };
    p.list(s)?;
    let (out, usable) = (p.out, p.usable);
    check::verify(&out, place).map_err(|e| e.1)?;
    Ok((out, usable))
}

/// Appends a list of actions; `drop` for none.
pub fn format(out: &mut String, style: &Style<'_>, actions: &[Action]) {
    if actions.is_empty() {
        put_color(out, &style.colors.drop);
        out.push_str("drop");
        put_color(out, &style.colors.end);
        return;
    }
    for (i, a) in actions.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        format_one(out, style, a);
    }
}

/// Appends one action.
pub fn format_one(out: &mut String, style: &Style<'_>, a: &Action) {
    let _ = output::format(out, style, a)
        || header::format(out, style, a)
        || fields::format(out, style, a)
        || control::format(out, style, a)
        || learn::format(out, style, a)
        || ct::format(out, style, a)
        || encap::format(out, style, a)
        || instruction::format(out, style, a);
}

/// Appends `name:` in the colour of parameters.
pub fn put_param(out: &mut String, style: &Style<'_>, name: &str) {
    put_color(out, &style.colors.param);
    out.push_str(name);
    put_color(out, &style.colors.end);
}

/// Appends `name:` in the colour of values.
pub fn put_value(out: &mut String, style: &Style<'_>, name: &str) {
    put_color(out, &style.colors.value);
    out.push_str(name);
    put_color(out, &style.colors.end);
}

/// Appends `name` in the colour of special words.
pub fn put_special(out: &mut String, style: &Style<'_>, name: &str) {
    put_color(out, &style.colors.special);
    out.push_str(name);
    put_color(out, &style.colors.end);
}

/// Appends `name(` in the colour of parentheses.
pub fn put_open(out: &mut String, style: &Style<'_>, name: &str) {
    put_color(out, &style.colors.paren);
    out.push_str(name);
    out.push('(');
    put_color(out, &style.colors.end);
}

/// Appends `)` in the colour of parentheses, in place of a trailing comma.
pub fn put_close(out: &mut String, style: &Style<'_>) {
    if out.ends_with(',') {
        out.pop();
    }
    put_color(out, &style.colors.paren);
    out.push(')');
    put_color(out, &style.colors.end);
}

/// A number of 8 bits, named in the error.
pub fn number8(s: &str, what: &str) -> Result<u8, String> {
    flow::text::number::parse_u64(s).and_then(|n| u8::try_from(n).ok()).ok_or_else(|| format!("invalid {what} \"{s}\""))
}

/// A number of 16 bits, named in the error.
pub fn number16(s: &str, what: &str) -> Result<u16, String> {
    flow::text::number::parse_u64(s)
        .and_then(|n| u16::try_from(n).ok())
        .ok_or_else(|| format!("invalid {what} \"{s}\""))
}

const MISSING_NUMBER: &str = "missing required numeric argument";

/// A number of 32 bits.
pub fn number32(s: &str) -> Result<u32, String> {
    if s.is_empty() {
        return Err(MISSING_NUMBER.to_string());
    }
    flow::text::number::parse_u32(s).ok_or_else(|| format!("invalid numeric format {s}"))
}

/// A number of 64 bits.
pub fn number64(s: &str) -> Result<u64, String> {
    if s.is_empty() {
        return Err(MISSING_NUMBER.to_string());
    }
    flow::text::number::parse_u64(s).ok_or_else(|| format!("invalid numeric format {s}"))
}
