//! Fields of one packet: `in_port=1,tcp,nw_src=1.2.3.4`.

use flow::text::{Names, ParseContext, parse_field, parse_value, set_protocol_keyword, split_key_values};
use flow::{Field, FlowKey, FlowMask, Format, Match, OfPort, PacketType, WORDS};

use crate::codec::oxm_match::prereq_met;

/// Reads the fields of one packet, as `ofproto/trace` and `compose-packet` take them. A packet has one value in each
/// field: neither masks nor a second value are taken.
///
/// # Errors
/// One line that says what is wrong, without `s` itself.
pub fn parse_packet_fields(s: &str, names: Option<&Names>) -> Result<FlowKey, String> {
    let mut m = Match::any();
    m.key.set_in_port(OfPort::NONE);
    let mut cx = ParseContext::new(names);
    let mut all = FlowMask::ZERO;
    *all.words_mut() = [u64::MAX; WORDS];
    for (name, value) in split_key_values(s) {
        let had = (m.key.eth_type(), m.key.nw_proto());
        if set_protocol_keyword(&mut m, name) {
            if had.0 != 0 && m.key.packet_type() == PacketType::ETHERNET {
                return Err("Ethernet type set multiple times".into());
            }
            if had.1 != 0 && m.key.nw_proto() != had.1 {
                return Err("network protocol set multiple times".into());
            }
            continue;
        }
        let field = Field::from_name(name).ok_or_else(|| format!("unknown field {name}"))?;
        if !prereq_met(&Match::new(&m.key, &all), field) {
            return Err(format!("prerequisites not met for setting {name}"));
        }
        let is_port = matches!(field, Field::IN_PORT | Field::IN_PORT_OXM);
        let is_set = if is_port { m.key.in_port() != OfPort::NONE } else { m.key.get(field) != 0 };
        if is_set && field.tun_metadata_index().is_none() {
            return Err(format!("field {name} set multiple times"));
        }
        let bad = |e: &str| format!("bad value for {name} ({e})");
        let exact = match parse_value(&mut cx, field, value).map_err(|e| bad(&e))? {
            Some((_, mask)) => field.tun_metadata_index().is_some() || covers(field, mask.low(), value),
            None => false,
        };
        if !exact {
            return Err(bad(&format!("{value}: wildcards not allowed here")));
        }
        parse_field(&mut cx, field, value, &mut m).map_err(|e| bad(&e))?;
        let ty = m.key.packet_type();
        if field == Field::PACKET_TYPE && ty.ns() == 1 {
            m.key.set_eth_type(ty.ns_type());
        }
    }
    Ok(m.key)
}

/// Whether a mask that came out of a value's text leaves no bit of the field open.
fn covers(field: Field, mask: u128, text: &str) -> bool {
    let def = field.def();
    let all = match def.format {
        Format::TunFlags => return !text.starts_with(['+', '-']),
        Format::CtState => 0xff,
        Format::TcpFlags => 0xfff,
        Format::Frag => 3,
        _ => field.exact_mask() & u128::MAX.checked_shr(128 - u32::from(def.bits)).unwrap_or(0),
    };
    mask & all == all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_in_each_field() {
        let key = parse_packet_fields("tcp,tp_dst=80,nw_src=1.2.3.4", None).expect("fields");
        assert_eq!((key.eth_type(), key.nw_proto(), key.tp_dst()), (0x800, 6, 80));
        let refused = [
            ("foo", "unknown field foo"),
            ("nw_src=1.2.3.4", "prerequisites not met for setting nw_src"),
            ("tcp,,udp", "Ethernet type set multiple times"),
            ("tcp,nw_src=1.2.3.4/24", "bad value for nw_src (1.2.3.4/24: wildcards not allowed here)"),
            ("tcp,tp_src=1,tp_src=2", "field tp_src set multiple times"),
        ];
        for (text, error) in refused {
            assert_eq!(parse_packet_fields(text, None).expect_err(text), error);
        }
    }
}
