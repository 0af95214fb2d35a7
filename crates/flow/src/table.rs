//! THE field table: one row for each match field, in the order in which fields are printed and listed.
//!
//! Facts about a field are said here once; parsers, formatters, codecs and the key layout read this table.

use crate::field::{Field, FieldDef, Fixed, Format, MaskRule, Number, Prereq};

/// Experimenter id of the Nicira extension fields.
pub const NX: u32 = 0x0000_2320;
/// Experimenter id of the ONF extension fields.
pub const ONF: u32 = 0x4f4e_4600;
/// Experimenter id of the network service header fields.
pub const NSH: u32 = 0x005a_d650;

const fn num(name: &'static str, class: u16, experimenter: u32, field: u8, min_version: u8) -> Number {
    Number { name, class, experimenter, field, min_version }
}

/// Number of match fields.
pub const N_FIELDS: usize = 211;

use Fixed::{Bitwise as FB, Cidr as FC, Exact as FX, No as FN};
use MaskRule::{Bitwise as M, Exact as E};

#[allow(clippy::too_many_arguments)]
const fn row(
    name: &'static str,
    alias: &'static str,
    bytes: u16,
    bits: u16,
    mask: MaskRule,
    format: Format,
    prereq: Prereq,
    writable: bool,
    fixed: (Fixed, Fixed),
    prefix: bool,
    place: (u8, u8, u8),
    numbers: &'static [Number],
) -> FieldDef {
    FieldDef {
        name,
        alias,
        bytes,
        bits,
        mask,
        format,
        prereq,
        writable,
        of10: fixed.0,
        of11: fixed.1,
        prefix,
        word: place.0,
        shift: place.1,
        key_bits: place.2,
        numbers,
    }
}

/// Every match field. The index of a row is the number inside [`Field`].
#[rustfmt::skip]
pub static FIELDS: [FieldDef; N_FIELDS] = [
    row("dp_hash", "", 4, 32, M, Format::Hex, Prereq::None, false, (FN, FN), false, (28, 32, 32), &[num("NXM_NX_DP_HASH", 0x0001, 0, 35, 0), num("NXOXM_ET_DP_HASH", 0xffff, NX, 0, 0)]),
    row("recirc_id", "", 4, 32, E, Format::Dec, Prereq::None, false, (FN, FN), false, (26, 0, 32), &[num("NXM_NX_RECIRC_ID", 0x0001, 0, 36, 0)]),
    row("packet_type", "", 4, 32, E, Format::PacketType, Prereq::None, false, (FN, FN), false, (38, 0, 32), &[num("OXM_OF_PACKET_TYPE", 0x8000, 0, 44, 6)]),
    row("conj_id", "", 4, 32, E, Format::Dec, Prereq::None, false, (FN, FN), false, (28, 0, 32), &[num("NXM_NX_CONJ_ID", 0x0001, 0, 37, 0)]),
    row("tun_id", "tunnel_id", 8, 64, M, Format::Hex, Prereq::None, true, (FN, FN), true, (1, 0, 64), &[num("NXM_NX_TUN_ID", 0x0001, 0, 16, 0), num("OXM_OF_TUNNEL_ID", 0x8000, 0, 38, 4)]),
    row("tun_src", "", 4, 32, M, Format::Ipv4, Prereq::None, true, (FN, FN), true, (2, 32, 32), &[num("NXM_NX_TUN_IPV4_SRC", 0x0001, 0, 31, 0)]),
    row("tun_dst", "", 4, 32, M, Format::Ipv4, Prereq::None, true, (FN, FN), true, (2, 0, 32), &[num("NXM_NX_TUN_IPV4_DST", 0x0001, 0, 32, 0)]),
    row("tun_ipv6_src", "", 16, 128, M, Format::Ipv6, Prereq::None, true, (FN, FN), true, (3, 0, 128), &[num("NXM_NX_TUN_IPV6_SRC", 0x0001, 0, 109, 0)]),
    row("tun_ipv6_dst", "", 16, 128, M, Format::Ipv6, Prereq::None, true, (FN, FN), true, (5, 0, 128), &[num("NXM_NX_TUN_IPV6_DST", 0x0001, 0, 110, 0)]),
    row("tun_flags", "", 2, 1, M, Format::TunFlags, Prereq::None, true, (FN, FN), false, (7, 48, 16), &[num("NXM_NX_TUN_FLAGS", 0x0001, 0, 104, 0)]),
    row("tun_ttl", "", 1, 8, E, Format::Dec, Prereq::None, false, (FN, FN), false, (7, 32, 8), &[]),
    row("tun_tos", "", 1, 8, E, Format::Dec, Prereq::None, false, (FN, FN), false, (7, 40, 8), &[]),
    row("tun_gbp_id", "", 2, 16, M, Format::Dec, Prereq::None, true, (FN, FN), false, (7, 16, 16), &[num("NXM_NX_TUN_GBP_ID", 0x0001, 0, 38, 0)]),
    row("tun_gbp_flags", "", 1, 8, M, Format::Hex, Prereq::None, true, (FN, FN), false, (7, 8, 8), &[num("NXM_NX_TUN_GBP_FLAGS", 0x0001, 0, 39, 0)]),
    row("tun_erspan_idx", "", 4, 20, M, Format::Hex, Prereq::None, true, (FN, FN), false, (9, 32, 32), &[num("NXOXM_ET_ERSPAN_IDX", 0xffff, NX, 11, 0)]),
    row("tun_erspan_ver", "", 1, 4, M, Format::Dec, Prereq::None, true, (FN, FN), false, (7, 0, 8), &[num("NXOXM_ET_ERSPAN_VER", 0xffff, NX, 12, 0)]),
    row("tun_erspan_dir", "", 1, 1, M, Format::Dec, Prereq::None, true, (FN, FN), false, (8, 8, 8), &[num("NXOXM_ET_ERSPAN_DIR", 0xffff, NX, 13, 0)]),
    row("tun_erspan_hwid", "", 1, 6, M, Format::Hex, Prereq::None, true, (FN, FN), false, (8, 0, 8), &[num("NXOXM_ET_ERSPAN_HWID", 0xffff, NX, 14, 0)]),
    row("tun_gtpu_flags", "", 1, 8, M, Format::Hex, Prereq::None, false, (FN, FN), false, (8, 24, 8), &[num("NXOXM_ET_GTPU_FLAGS", 0xffff, NX, 15, 0)]),
    row("tun_gtpu_msgtype", "", 1, 8, M, Format::Dec, Prereq::None, false, (FN, FN), false, (8, 16, 8), &[num("NXOXM_ET_GTPU_MSGTYPE", 0xffff, NX, 16, 0)]),
    row("tun_metadata0", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA0", 0x0001, 0, 40, 0)]),
    row("tun_metadata1", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA1", 0x0001, 0, 41, 0)]),
    row("tun_metadata2", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA2", 0x0001, 0, 42, 0)]),
    row("tun_metadata3", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA3", 0x0001, 0, 43, 0)]),
    row("tun_metadata4", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA4", 0x0001, 0, 44, 0)]),
    row("tun_metadata5", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA5", 0x0001, 0, 45, 0)]),
    row("tun_metadata6", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA6", 0x0001, 0, 46, 0)]),
    row("tun_metadata7", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA7", 0x0001, 0, 47, 0)]),
    row("tun_metadata8", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA8", 0x0001, 0, 48, 0)]),
    row("tun_metadata9", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA9", 0x0001, 0, 49, 0)]),
    row("tun_metadata10", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA10", 0x0001, 0, 50, 0)]),
    row("tun_metadata11", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA11", 0x0001, 0, 51, 0)]),
    row("tun_metadata12", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA12", 0x0001, 0, 52, 0)]),
    row("tun_metadata13", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA13", 0x0001, 0, 53, 0)]),
    row("tun_metadata14", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA14", 0x0001, 0, 54, 0)]),
    row("tun_metadata15", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA15", 0x0001, 0, 55, 0)]),
    row("tun_metadata16", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA16", 0x0001, 0, 56, 0)]),
    row("tun_metadata17", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA17", 0x0001, 0, 57, 0)]),
    row("tun_metadata18", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA18", 0x0001, 0, 58, 0)]),
    row("tun_metadata19", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA19", 0x0001, 0, 59, 0)]),
    row("tun_metadata20", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA20", 0x0001, 0, 60, 0)]),
    row("tun_metadata21", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA21", 0x0001, 0, 61, 0)]),
    row("tun_metadata22", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA22", 0x0001, 0, 62, 0)]),
    row("tun_metadata23", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA23", 0x0001, 0, 63, 0)]),
    row("tun_metadata24", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA24", 0x0001, 0, 64, 0)]),
    row("tun_metadata25", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA25", 0x0001, 0, 65, 0)]),
    row("tun_metadata26", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA26", 0x0001, 0, 66, 0)]),
    row("tun_metadata27", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA27", 0x0001, 0, 67, 0)]),
    row("tun_metadata28", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA28", 0x0001, 0, 68, 0)]),
    row("tun_metadata29", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA29", 0x0001, 0, 69, 0)]),
    row("tun_metadata30", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA30", 0x0001, 0, 70, 0)]),
    row("tun_metadata31", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA31", 0x0001, 0, 71, 0)]),
    row("tun_metadata32", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA32", 0x0001, 0, 72, 0)]),
    row("tun_metadata33", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA33", 0x0001, 0, 73, 0)]),
    row("tun_metadata34", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA34", 0x0001, 0, 74, 0)]),
    row("tun_metadata35", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA35", 0x0001, 0, 75, 0)]),
    row("tun_metadata36", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA36", 0x0001, 0, 76, 0)]),
    row("tun_metadata37", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA37", 0x0001, 0, 77, 0)]),
    row("tun_metadata38", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA38", 0x0001, 0, 78, 0)]),
    row("tun_metadata39", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA39", 0x0001, 0, 79, 0)]),
    row("tun_metadata40", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA40", 0x0001, 0, 80, 0)]),
    row("tun_metadata41", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA41", 0x0001, 0, 81, 0)]),
    row("tun_metadata42", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA42", 0x0001, 0, 82, 0)]),
    row("tun_metadata43", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA43", 0x0001, 0, 83, 0)]),
    row("tun_metadata44", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA44", 0x0001, 0, 84, 0)]),
    row("tun_metadata45", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA45", 0x0001, 0, 85, 0)]),
    row("tun_metadata46", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA46", 0x0001, 0, 86, 0)]),
    row("tun_metadata47", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA47", 0x0001, 0, 87, 0)]),
    row("tun_metadata48", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA48", 0x0001, 0, 88, 0)]),
    row("tun_metadata49", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA49", 0x0001, 0, 89, 0)]),
    row("tun_metadata50", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA50", 0x0001, 0, 90, 0)]),
    row("tun_metadata51", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA51", 0x0001, 0, 91, 0)]),
    row("tun_metadata52", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA52", 0x0001, 0, 92, 0)]),
    row("tun_metadata53", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA53", 0x0001, 0, 93, 0)]),
    row("tun_metadata54", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA54", 0x0001, 0, 94, 0)]),
    row("tun_metadata55", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA55", 0x0001, 0, 95, 0)]),
    row("tun_metadata56", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA56", 0x0001, 0, 96, 0)]),
    row("tun_metadata57", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA57", 0x0001, 0, 97, 0)]),
    row("tun_metadata58", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA58", 0x0001, 0, 98, 0)]),
    row("tun_metadata59", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA59", 0x0001, 0, 99, 0)]),
    row("tun_metadata60", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA60", 0x0001, 0, 100, 0)]),
    row("tun_metadata61", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA61", 0x0001, 0, 101, 0)]),
    row("tun_metadata62", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA62", 0x0001, 0, 102, 0)]),
    row("tun_metadata63", "", 124, 992, M, Format::Hex, Prereq::None, true, (FN, FN), false, (58, 0, 0), &[num("NXM_NX_TUN_METADATA63", 0x0001, 0, 103, 0)]),
    row("metadata", "", 8, 64, M, Format::Hex, Prereq::None, true, (FN, FB), false, (0, 0, 64), &[num("OXM_OF_METADATA", 0x8000, 0, 2, 3)]),
    row("in_port", "", 2, 16, E, Format::Port16, Prereq::None, true, (FX, FX), false, (26, 32, 16), &[num("NXM_OF_IN_PORT", 0x0000, 0, 0, 0)]),
    row("in_port_oxm", "", 4, 32, E, Format::Port32, Prereq::None, true, (FN, FX), false, (26, 32, 32), &[num("OXM_OF_IN_PORT", 0x8000, 0, 0, 3)]),
    row("actset_output", "", 4, 32, E, Format::Port32, Prereq::None, false, (FN, FN), false, (38, 32, 32), &[num("ONFOXM_ET_ACTSET_OUTPUT", 0xffff, ONF, 43, 4), num("OXM_OF_ACTSET_OUTPUT", 0x8000, 0, 43, 6)]),
    row("skb_priority", "", 4, 32, E, Format::Hex, Prereq::None, false, (FN, FN), false, (27, 32, 32), &[]),
    row("pkt_mark", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (27, 0, 32), &[num("NXM_NX_PKT_MARK", 0x0001, 0, 33, 0)]),
    row("ct_state", "", 4, 32, M, Format::CtState, Prereq::None, false, (FN, FN), false, (29, 0, 16), &[num("NXM_NX_CT_STATE", 0x0001, 0, 105, 0)]),
    row("ct_zone", "", 2, 16, E, Format::Hex, Prereq::None, false, (FN, FN), false, (29, 16, 16), &[num("NXM_NX_CT_ZONE", 0x0001, 0, 106, 0)]),
    row("ct_mark", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (29, 32, 32), &[num("NXM_NX_CT_MARK", 0x0001, 0, 107, 0)]),
    row("ct_label", "", 16, 128, M, Format::Hex, Prereq::None, true, (FN, FN), false, (30, 0, 128), &[num("NXM_NX_CT_LABEL", 0x0001, 0, 108, 0)]),
    row("ct_nw_proto", "", 1, 8, E, Format::Dec, Prereq::Ct, false, (FN, FN), false, (37, 24, 8), &[num("NXM_NX_CT_NW_PROTO", 0x0001, 0, 119, 0)]),
    row("ct_nw_src", "", 4, 32, M, Format::Ipv4, Prereq::Ct, false, (FN, FN), true, (32, 32, 32), &[num("NXM_NX_CT_NW_SRC", 0x0001, 0, 120, 0)]),
    row("ct_nw_dst", "", 4, 32, M, Format::Ipv4, Prereq::Ct, false, (FN, FN), true, (32, 0, 32), &[num("NXM_NX_CT_NW_DST", 0x0001, 0, 121, 0)]),
    row("ct_ipv6_src", "", 16, 128, M, Format::Ipv6, Prereq::Ct, false, (FN, FN), true, (33, 0, 128), &[num("NXM_NX_CT_IPV6_SRC", 0x0001, 0, 122, 0)]),
    row("ct_ipv6_dst", "", 16, 128, M, Format::Ipv6, Prereq::Ct, false, (FN, FN), true, (35, 0, 128), &[num("NXM_NX_CT_IPV6_DST", 0x0001, 0, 123, 0)]),
    row("ct_tp_src", "", 2, 16, M, Format::Dec, Prereq::Ct, false, (FN, FN), false, (37, 48, 16), &[num("NXM_NX_CT_TP_SRC", 0x0001, 0, 124, 0)]),
    row("ct_tp_dst", "", 2, 16, M, Format::Dec, Prereq::Ct, false, (FN, FN), false, (37, 32, 16), &[num("NXM_NX_CT_TP_DST", 0x0001, 0, 125, 0)]),
    row("reg0", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (10, 32, 32), &[num("NXM_NX_REG0", 0x0001, 0, 0, 0)]),
    row("reg1", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (10, 0, 32), &[num("NXM_NX_REG1", 0x0001, 0, 1, 0)]),
    row("reg2", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (11, 32, 32), &[num("NXM_NX_REG2", 0x0001, 0, 2, 0)]),
    row("reg3", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (11, 0, 32), &[num("NXM_NX_REG3", 0x0001, 0, 3, 0)]),
    row("reg4", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (12, 32, 32), &[num("NXM_NX_REG4", 0x0001, 0, 4, 0)]),
    row("reg5", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (12, 0, 32), &[num("NXM_NX_REG5", 0x0001, 0, 5, 0)]),
    row("reg6", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (13, 32, 32), &[num("NXM_NX_REG6", 0x0001, 0, 6, 0)]),
    row("reg7", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (13, 0, 32), &[num("NXM_NX_REG7", 0x0001, 0, 7, 0)]),
    row("reg8", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (14, 32, 32), &[num("NXM_NX_REG8", 0x0001, 0, 8, 0)]),
    row("reg9", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (14, 0, 32), &[num("NXM_NX_REG9", 0x0001, 0, 9, 0)]),
    row("reg10", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (15, 32, 32), &[num("NXM_NX_REG10", 0x0001, 0, 10, 0)]),
    row("reg11", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (15, 0, 32), &[num("NXM_NX_REG11", 0x0001, 0, 11, 0)]),
    row("reg12", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (16, 32, 32), &[num("NXM_NX_REG12", 0x0001, 0, 12, 0)]),
    row("reg13", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (16, 0, 32), &[num("NXM_NX_REG13", 0x0001, 0, 13, 0)]),
    row("reg14", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (17, 32, 32), &[num("NXM_NX_REG14", 0x0001, 0, 14, 0)]),
    row("reg15", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (17, 0, 32), &[num("NXM_NX_REG15", 0x0001, 0, 15, 0)]),
    row("reg16", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (18, 32, 32), &[num("NXOXM_ET_REG16", 0xffff, NX, 17, 0)]),
    row("reg17", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (18, 0, 32), &[num("NXOXM_ET_REG17", 0xffff, NX, 18, 0)]),
    row("reg18", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (19, 32, 32), &[num("NXOXM_ET_REG18", 0xffff, NX, 19, 0)]),
    row("reg19", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (19, 0, 32), &[num("NXOXM_ET_REG19", 0xffff, NX, 20, 0)]),
    row("reg20", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (20, 32, 32), &[num("NXOXM_ET_REG20", 0xffff, NX, 21, 0)]),
    row("reg21", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (20, 0, 32), &[num("NXOXM_ET_REG21", 0xffff, NX, 22, 0)]),
    row("reg22", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (21, 32, 32), &[num("NXOXM_ET_REG22", 0xffff, NX, 23, 0)]),
    row("reg23", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (21, 0, 32), &[num("NXOXM_ET_REG23", 0xffff, NX, 24, 0)]),
    row("reg24", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (22, 32, 32), &[num("NXOXM_ET_REG24", 0xffff, NX, 25, 0)]),
    row("reg25", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (22, 0, 32), &[num("NXOXM_ET_REG25", 0xffff, NX, 26, 0)]),
    row("reg26", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (23, 32, 32), &[num("NXOXM_ET_REG26", 0xffff, NX, 27, 0)]),
    row("reg27", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (23, 0, 32), &[num("NXOXM_ET_REG27", 0xffff, NX, 28, 0)]),
    row("reg28", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (24, 32, 32), &[num("NXOXM_ET_REG28", 0xffff, NX, 29, 0)]),
    row("reg29", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (24, 0, 32), &[num("NXOXM_ET_REG29", 0xffff, NX, 30, 0)]),
    row("reg30", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (25, 32, 32), &[num("NXOXM_ET_REG30", 0xffff, NX, 31, 0)]),
    row("reg31", "", 4, 32, M, Format::Hex, Prereq::None, true, (FN, FN), false, (25, 0, 32), &[num("NXOXM_ET_REG31", 0xffff, NX, 32, 0)]),
    row("xreg0", "", 8, 64, M, Format::Hex, Prereq::None, true, (FN, FN), false, (10, 0, 64), &[num("OXM_OF_PKT_REG0", 0x8001, 0, 0, 4)]),
    row("xreg1", "", 8, 64, M, Format::Hex, Prereq::None, true, (FN, FN), false, (11, 0, 64), &[num("OXM_OF_PKT_REG1", 0x8001, 0, 1, 4)]),
    row("xreg2", "", 8, 64, M, Format::Hex, Prereq::None, true, (FN, FN), false, (12, 0, 64), &[num("OXM_OF_PKT_REG2", 0x8001, 0, 2, 4)]),
    row("xreg3", "", 8, 64, M, Format::Hex, Prereq::None, true, (FN, FN), false, (13, 0, 64), &[num("OXM_OF_PKT_REG3", 0x8001, 0, 3, 4)]),
    row("xreg4", "", 8, 64, M, Format::Hex, Prereq::None, true, (FN, FN), false, (14, 0, 64), &[num("OXM_OF_PKT_REG4", 0x8001, 0, 4, 4)]),
    row("xreg5", "", 8, 64, M, Format::Hex, Prereq::None, true, (FN, FN), false, (15, 0, 64), &[num("OXM_OF_PKT_REG5", 0x8001, 0, 5, 4)]),
    row("xreg6", "", 8, 64, M, Format::Hex, Prereq::None, true, (FN, FN), false, (16, 0, 64), &[num("OXM_OF_PKT_REG6", 0x8001, 0, 6, 4)]),
    row("xreg7", "", 8, 64, M, Format::Hex, Prereq::None, true, (FN, FN), false, (17, 0, 64), &[num("OXM_OF_PKT_REG7", 0x8001, 0, 7, 4)]),
    row("xreg8", "", 8, 64, M, Format::Hex, Prereq::None, true, (FN, FN), false, (18, 0, 64), &[num("OXM_OF_PKT_REG8", 0x8001, 0, 8, 4)]),
    row("xreg9", "", 8, 64, M, Format::Hex, Prereq::None, true, (FN, FN), false, (19, 0, 64), &[num("OXM_OF_PKT_REG9", 0x8001, 0, 9, 4)]),
    row("xreg10", "", 8, 64, M, Format::Hex, Prereq::None, true, (FN, FN), false, (20, 0, 64), &[num("OXM_OF_PKT_REG10", 0x8001, 0, 10, 4)]),
    row("xreg11", "", 8, 64, M, Format::Hex, Prereq::None, true, (FN, FN), false, (21, 0, 64), &[num("OXM_OF_PKT_REG11", 0x8001, 0, 11, 4)]),
    row("xreg12", "", 8, 64, M, Format::Hex, Prereq::None, true, (FN, FN), false, (22, 0, 64), &[num("OXM_OF_PKT_REG12", 0x8001, 0, 12, 4)]),
    row("xreg13", "", 8, 64, M, Format::Hex, Prereq::None, true, (FN, FN), false, (23, 0, 64), &[num("OXM_OF_PKT_REG13", 0x8001, 0, 13, 4)]),
    row("xreg14", "", 8, 64, M, Format::Hex, Prereq::None, true, (FN, FN), false, (24, 0, 64), &[num("OXM_OF_PKT_REG14", 0x8001, 0, 14, 4)]),
    row("xreg15", "", 8, 64, M, Format::Hex, Prereq::None, true, (FN, FN), false, (25, 0, 64), &[num("OXM_OF_PKT_REG15", 0x8001, 0, 15, 4)]),
    row("xxreg0", "", 16, 128, M, Format::Hex, Prereq::None, true, (FN, FN), false, (10, 0, 128), &[num("NXM_NX_XXREG0", 0x0001, 0, 111, 0)]),
    row("xxreg1", "", 16, 128, M, Format::Hex, Prereq::None, true, (FN, FN), false, (12, 0, 128), &[num("NXM_NX_XXREG1", 0x0001, 0, 112, 0)]),
    row("xxreg2", "", 16, 128, M, Format::Hex, Prereq::None, true, (FN, FN), false, (14, 0, 128), &[num("NXM_NX_XXREG2", 0x0001, 0, 113, 0)]),
    row("xxreg3", "", 16, 128, M, Format::Hex, Prereq::None, true, (FN, FN), false, (16, 0, 128), &[num("NXM_NX_XXREG3", 0x0001, 0, 114, 0)]),
    row("xxreg4", "", 16, 128, M, Format::Hex, Prereq::None, true, (FN, FN), false, (18, 0, 128), &[num("NXOXM_ET_XXREG4", 0xffff, NX, 33, 0)]),
    row("xxreg5", "", 16, 128, M, Format::Hex, Prereq::None, true, (FN, FN), false, (20, 0, 128), &[num("NXOXM_ET_XXREG5", 0xffff, NX, 34, 0)]),
    row("xxreg6", "", 16, 128, M, Format::Hex, Prereq::None, true, (FN, FN), false, (22, 0, 128), &[num("NXOXM_ET_XXREG6", 0xffff, NX, 35, 0)]),
    row("xxreg7", "", 16, 128, M, Format::Hex, Prereq::None, true, (FN, FN), false, (24, 0, 128), &[num("NXOXM_ET_XXREG7", 0xffff, NX, 36, 0)]),
    row("eth_src", "dl_src", 6, 48, M, Format::Ethernet, Prereq::Ethernet, true, (FX, FB), false, (40, 16, 48), &[num("NXM_OF_ETH_SRC", 0x0000, 0, 2, 0), num("OXM_OF_ETH_SRC", 0x8000, 0, 4, 3)]),
    row("eth_dst", "dl_dst", 6, 48, M, Format::Ethernet, Prereq::Ethernet, true, (FX, FB), false, (39, 16, 48), &[num("NXM_OF_ETH_DST", 0x0000, 0, 1, 0), num("OXM_OF_ETH_DST", 0x8000, 0, 3, 3)]),
    row("eth_type", "dl_type", 2, 16, E, Format::Hex, Prereq::Ethernet, false, (FX, FX), false, (39, 0, 16), &[num("NXM_OF_ETH_TYPE", 0x0000, 0, 3, 0), num("OXM_OF_ETH_TYPE", 0x8000, 0, 5, 3)]),
    row("vlan_tci", "", 2, 16, M, Format::Hex, Prereq::Ethernet, true, (FX, FX), false, (41, 32, 16), &[num("NXM_OF_VLAN_TCI", 0x0000, 0, 4, 0)]),
    row("dl_vlan", "", 2, 12, E, Format::Dec, Prereq::Ethernet, true, (FX, FX), false, (41, 32, 12), &[]),
    row("vlan_vid", "", 2, 12, M, Format::Dec, Prereq::Ethernet, true, (FX, FX), false, (41, 32, 13), &[num("OXM_OF_VLAN_VID", 0x8000, 0, 6, 3)]),
    row("dl_vlan_pcp", "", 1, 3, E, Format::Dec, Prereq::Ethernet, true, (FX, FX), false, (41, 45, 3), &[]),
    row("vlan_pcp", "", 1, 3, E, Format::Dec, Prereq::VlanVid, true, (FX, FX), false, (41, 45, 3), &[num("OXM_OF_VLAN_PCP", 0x8000, 0, 7, 3)]),
    row("mpls_label", "", 4, 20, E, Format::Dec, Prereq::Mpls, true, (FN, FX), false, (42, 44, 20), &[num("OXM_OF_MPLS_LABEL", 0x8000, 0, 34, 3)]),
    row("mpls_tc", "", 1, 3, E, Format::Dec, Prereq::Mpls, true, (FN, FX), false, (42, 41, 3), &[num("OXM_OF_MPLS_TC", 0x8000, 0, 35, 3)]),
    row("mpls_bos", "", 1, 1, E, Format::Dec, Prereq::Mpls, false, (FN, FN), false, (42, 40, 1), &[num("OXM_OF_MPLS_BOS", 0x8000, 0, 36, 4)]),
    row("mpls_ttl", "", 1, 8, E, Format::Dec, Prereq::Mpls, true, (FN, FN), false, (42, 32, 8), &[num("NXM_NX_MPLS_TTL", 0x0001, 0, 30, 0)]),
    row("ip_src", "nw_src", 4, 32, M, Format::Ipv4, Prereq::Ipv4, true, (FC, FB), true, (44, 32, 32), &[num("NXM_OF_IP_SRC", 0x0000, 0, 7, 0), num("OXM_OF_IPV4_SRC", 0x8000, 0, 11, 3)]),
    row("ip_dst", "nw_dst", 4, 32, M, Format::Ipv4, Prereq::Ipv4, true, (FC, FB), true, (44, 0, 32), &[num("NXM_OF_IP_DST", 0x0000, 0, 8, 0), num("OXM_OF_IPV4_DST", 0x8000, 0, 12, 3)]),
    row("ipv6_src", "", 16, 128, M, Format::Ipv6, Prereq::Ipv6, true, (FN, FN), true, (45, 0, 128), &[num("NXM_NX_IPV6_SRC", 0x0001, 0, 19, 0), num("OXM_OF_IPV6_SRC", 0x8000, 0, 26, 3)]),
    row("ipv6_dst", "", 16, 128, M, Format::Ipv6, Prereq::Ipv6, true, (FN, FN), true, (47, 0, 128), &[num("NXM_NX_IPV6_DST", 0x0001, 0, 20, 0), num("OXM_OF_IPV6_DST", 0x8000, 0, 27, 3)]),
    row("ipv6_label", "", 4, 20, M, Format::Hex, Prereq::Ipv6, true, (FN, FN), false, (49, 32, 32), &[num("NXM_NX_IPV6_LABEL", 0x0001, 0, 27, 0), num("OXM_OF_IPV6_FLABEL", 0x8000, 0, 28, 3)]),
    row("nw_proto", "ip_proto", 1, 8, E, Format::Dec, Prereq::IpAny, false, (FX, FX), false, (49, 24, 8), &[num("NXM_OF_IP_PROTO", 0x0000, 0, 6, 0), num("OXM_OF_IP_PROTO", 0x8000, 0, 10, 3)]),
    row("nw_tos", "", 1, 8, E, Format::Dec, Prereq::IpAny, true, (FX, FX), false, (49, 16, 8), &[num("NXM_OF_IP_TOS", 0x0000, 0, 5, 0)]),
    row("ip_dscp", "", 1, 6, E, Format::Dec, Prereq::IpAny, true, (FX, FX), false, (49, 18, 6), &[num("OXM_OF_IP_DSCP", 0x8000, 0, 8, 3)]),
    row("nw_ecn", "ip_ecn", 1, 2, E, Format::Dec, Prereq::IpAny, true, (FN, FX), false, (49, 16, 2), &[num("NXM_NX_IP_ECN", 0x0001, 0, 28, 0), num("OXM_OF_IP_ECN", 0x8000, 0, 9, 3)]),
    row("nw_ttl", "", 1, 8, E, Format::Dec, Prereq::IpAny, true, (FN, FN), false, (49, 8, 8), &[num("NXM_NX_IP_TTL", 0x0001, 0, 29, 0)]),
    row("ip_frag", "nw_frag", 1, 2, M, Format::Frag, Prereq::IpAny, false, (FN, FN), false, (49, 0, 8), &[num("NXM_NX_IP_FRAG", 0x0001, 0, 26, 0)]),
    row("arp_op", "", 2, 16, E, Format::Dec, Prereq::Arp, true, (FX, FX), false, (49, 24, 8), &[num("NXM_OF_ARP_OP", 0x0000, 0, 15, 0), num("OXM_OF_ARP_OP", 0x8000, 0, 21, 3)]),
    row("arp_spa", "", 4, 32, M, Format::Ipv4, Prereq::Arp, true, (FC, FB), false, (44, 32, 32), &[num("NXM_OF_ARP_SPA", 0x0000, 0, 16, 0), num("OXM_OF_ARP_SPA", 0x8000, 0, 22, 3)]),
    row("arp_tpa", "", 4, 32, M, Format::Ipv4, Prereq::Arp, true, (FC, FB), false, (44, 0, 32), &[num("NXM_OF_ARP_TPA", 0x0000, 0, 17, 0), num("OXM_OF_ARP_TPA", 0x8000, 0, 23, 3)]),
    row("arp_sha", "", 6, 48, M, Format::Ethernet, Prereq::Arp, true, (FN, FN), false, (52, 16, 48), &[num("NXM_NX_ARP_SHA", 0x0001, 0, 17, 0), num("OXM_OF_ARP_SHA", 0x8000, 0, 24, 3)]),
    row("arp_tha", "", 6, 48, M, Format::Ethernet, Prereq::Arp, true, (FN, FN), false, (53, 16, 48), &[num("NXM_NX_ARP_THA", 0x0001, 0, 18, 0), num("OXM_OF_ARP_THA", 0x8000, 0, 25, 3)]),
    row("tcp_src", "tp_src", 2, 16, M, Format::Dec, Prereq::Tcp, true, (FX, FX), false, (57, 48, 16), &[num("NXM_OF_TCP_SRC", 0x0000, 0, 9, 0), num("OXM_OF_TCP_SRC", 0x8000, 0, 13, 3)]),
    row("tcp_dst", "tp_dst", 2, 16, M, Format::Dec, Prereq::Tcp, true, (FX, FX), false, (57, 32, 16), &[num("NXM_OF_TCP_DST", 0x0000, 0, 10, 0), num("OXM_OF_TCP_DST", 0x8000, 0, 14, 3)]),
    row("tcp_flags", "", 2, 12, M, Format::TcpFlags, Prereq::Tcp, false, (FN, FN), false, (52, 0, 16), &[num("NXM_NX_TCP_FLAGS", 0x0001, 0, 34, 0), num("ONFOXM_ET_TCP_FLAGS", 0xffff, ONF, 42, 4), num("OXM_OF_TCP_FLAGS", 0x8000, 0, 42, 6)]),
    row("udp_src", "", 2, 16, M, Format::Dec, Prereq::Udp, true, (FX, FX), false, (57, 48, 16), &[num("NXM_OF_UDP_SRC", 0x0000, 0, 11, 0), num("OXM_OF_UDP_SRC", 0x8000, 0, 15, 3)]),
    row("udp_dst", "", 2, 16, M, Format::Dec, Prereq::Udp, true, (FX, FX), false, (57, 32, 16), &[num("NXM_OF_UDP_DST", 0x0000, 0, 12, 0), num("OXM_OF_UDP_DST", 0x8000, 0, 16, 3)]),
    row("sctp_src", "", 2, 16, M, Format::Dec, Prereq::Sctp, true, (FN, FX), false, (57, 48, 16), &[num("OXM_OF_SCTP_SRC", 0x8000, 0, 17, 3)]),
    row("sctp_dst", "", 2, 16, M, Format::Dec, Prereq::Sctp, true, (FN, FX), false, (57, 32, 16), &[num("OXM_OF_SCTP_DST", 0x8000, 0, 18, 3)]),
    row("icmp_type", "", 1, 8, E, Format::Dec, Prereq::Icmp4, true, (FX, FX), false, (57, 48, 8), &[num("NXM_OF_ICMP_TYPE", 0x0000, 0, 13, 0), num("OXM_OF_ICMPV4_TYPE", 0x8000, 0, 19, 3)]),
    row("icmp_code", "", 1, 8, E, Format::Dec, Prereq::Icmp4, true, (FX, FX), false, (57, 32, 8), &[num("NXM_OF_ICMP_CODE", 0x0000, 0, 14, 0), num("OXM_OF_ICMPV4_CODE", 0x8000, 0, 20, 3)]),
    row("icmpv6_type", "", 1, 8, E, Format::Dec, Prereq::Icmp6, true, (FN, FN), false, (57, 48, 8), &[num("NXM_NX_ICMPV6_TYPE", 0x0001, 0, 21, 0), num("OXM_OF_ICMPV6_TYPE", 0x8000, 0, 29, 3)]),
    row("icmpv6_code", "", 1, 8, E, Format::Dec, Prereq::Icmp6, true, (FN, FN), false, (57, 32, 8), &[num("NXM_NX_ICMPV6_CODE", 0x0001, 0, 22, 0), num("OXM_OF_ICMPV6_CODE", 0x8000, 0, 30, 3)]),
    row("nd_target", "", 16, 128, M, Format::Ipv6, Prereq::Nd, true, (FN, FN), false, (50, 0, 128), &[num("NXM_NX_ND_TARGET", 0x0001, 0, 23, 0), num("OXM_OF_IPV6_ND_TARGET", 0x8000, 0, 31, 3)]),
    row("nd_sll", "", 6, 48, M, Format::Ethernet, Prereq::NdSolicit, true, (FN, FN), false, (52, 16, 48), &[num("NXM_NX_ND_SLL", 0x0001, 0, 24, 0), num("OXM_OF_IPV6_ND_SLL", 0x8000, 0, 32, 3)]),
    row("nd_tll", "", 6, 48, M, Format::Ethernet, Prereq::NdAdvert, true, (FN, FN), false, (53, 16, 48), &[num("NXM_NX_ND_TLL", 0x0001, 0, 25, 0), num("OXM_OF_IPV6_ND_TLL", 0x8000, 0, 33, 3)]),
    row("nd_reserved", "", 4, 32, E, Format::Dec, Prereq::Nd, true, (FN, FN), false, (57, 0, 32), &[num("ERICOXM_OF_ICMPV6_ND_RESERVED", 0x1000, 0, 1, 0)]),
    row("nd_options_type", "", 1, 8, E, Format::Dec, Prereq::Nd, true, (FN, FN), false, (52, 0, 8), &[num("ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE", 0x1000, 0, 2, 0)]),
    row("nsh_flags", "", 1, 8, M, Format::Dec, Prereq::Nsh, true, (FN, FN), false, (54, 56, 8), &[num("NXOXM_NSH_FLAGS", 0xffff, NSH, 1, 0)]),
    row("nsh_mdtype", "", 1, 8, E, Format::Dec, Prereq::Nsh, false, (FN, FN), false, (54, 40, 8), &[num("NXOXM_NSH_MDTYPE", 0xffff, NSH, 2, 0)]),
    row("nsh_np", "", 1, 8, E, Format::Dec, Prereq::Nsh, false, (FN, FN), false, (54, 32, 8), &[num("NXOXM_NSH_NP", 0xffff, NSH, 3, 0)]),
    row("nsh_spi", "nsp", 4, 24, E, Format::Hex, Prereq::Nsh, true, (FN, FN), false, (54, 8, 24), &[num("NXOXM_NSH_SPI", 0xffff, NSH, 4, 0)]),
    row("nsh_si", "nsi", 1, 8, E, Format::Dec, Prereq::Nsh, true, (FN, FN), false, (54, 0, 8), &[num("NXOXM_NSH_SI", 0xffff, NSH, 5, 0)]),
    row("nsh_c1", "nshc1", 4, 32, M, Format::Hex, Prereq::Nsh, true, (FN, FN), false, (55, 32, 32), &[num("NXOXM_NSH_C1", 0xffff, NSH, 6, 0)]),
    row("nsh_c2", "nshc2", 4, 32, M, Format::Hex, Prereq::Nsh, true, (FN, FN), false, (55, 0, 32), &[num("NXOXM_NSH_C2", 0xffff, NSH, 7, 0)]),
    row("nsh_c3", "nshc3", 4, 32, M, Format::Hex, Prereq::Nsh, true, (FN, FN), false, (56, 32, 32), &[num("NXOXM_NSH_C3", 0xffff, NSH, 8, 0)]),
    row("nsh_c4", "nshc4", 4, 32, M, Format::Hex, Prereq::Nsh, true, (FN, FN), false, (56, 0, 32), &[num("NXOXM_NSH_C4", 0xffff, NSH, 9, 0)]),
    row("nsh_ttl", "", 1, 8, E, Format::Dec, Prereq::Nsh, true, (FN, FN), false, (54, 48, 8), &[num("NXOXM_NSH_TTL", 0xffff, NSH, 10, 0)]),
];

#[rustfmt::skip]
#[allow(missing_docs)]
impl Field {
    pub const DP_HASH: Field = Field(0);
    pub const RECIRC_ID: Field = Field(1);
    pub const PACKET_TYPE: Field = Field(2);
    pub const CONJ_ID: Field = Field(3);
    pub const TUN_ID: Field = Field(4);
    pub const TUN_SRC: Field = Field(5);
    pub const TUN_DST: Field = Field(6);
    pub const TUN_IPV6_SRC: Field = Field(7);
    pub const TUN_IPV6_DST: Field = Field(8);
    pub const TUN_FLAGS: Field = Field(9);
    pub const TUN_TTL: Field = Field(10);
    pub const TUN_TOS: Field = Field(11);
    pub const TUN_GBP_ID: Field = Field(12);
    pub const TUN_GBP_FLAGS: Field = Field(13);
    pub const TUN_ERSPAN_IDX: Field = Field(14);
    pub const TUN_ERSPAN_VER: Field = Field(15);
    pub const TUN_ERSPAN_DIR: Field = Field(16);
    pub const TUN_ERSPAN_HWID: Field = Field(17);
    pub const TUN_GTPU_FLAGS: Field = Field(18);
    pub const TUN_GTPU_MSGTYPE: Field = Field(19);
    pub const TUN_METADATA0: Field = Field(20);
    pub const TUN_METADATA1: Field = Field(21);
    pub const TUN_METADATA2: Field = Field(22);
    pub const TUN_METADATA3: Field = Field(23);
    pub const TUN_METADATA4: Field = Field(24);
    pub const TUN_METADATA5: Field = Field(25);
    pub const TUN_METADATA6: Field = Field(26);
    pub const TUN_METADATA7: Field = Field(27);
    pub const TUN_METADATA8: Field = Field(28);
    pub const TUN_METADATA9: Field = Field(29);
    pub const TUN_METADATA10: Field = Field(30);
    pub const TUN_METADATA11: Field = Field(31);
    pub const TUN_METADATA12: Field = Field(32);
    pub const TUN_METADATA13: Field = Field(33);
    pub const TUN_METADATA14: Field = Field(34);
    pub const TUN_METADATA15: Field = Field(35);
    pub const TUN_METADATA16: Field = Field(36);
    pub const TUN_METADATA17: Field = Field(37);
    pub const TUN_METADATA18: Field = Field(38);
    pub const TUN_METADATA19: Field = Field(39);
    pub const TUN_METADATA20: Field = Field(40);
    pub const TUN_METADATA21: Field = Field(41);
    pub const TUN_METADATA22: Field = Field(42);
    pub const TUN_METADATA23: Field = Field(43);
    pub const TUN_METADATA24: Field = Field(44);
    pub const TUN_METADATA25: Field = Field(45);
    pub const TUN_METADATA26: Field = Field(46);
    pub const TUN_METADATA27: Field = Field(47);
    pub const TUN_METADATA28: Field = Field(48);
    pub const TUN_METADATA29: Field = Field(49);
    pub const TUN_METADATA30: Field = Field(50);
    pub const TUN_METADATA31: Field = Field(51);
    pub const TUN_METADATA32: Field = Field(52);
    pub const TUN_METADATA33: Field = Field(53);
    pub const TUN_METADATA34: Field = Field(54);
    pub const TUN_METADATA35: Field = Field(55);
    pub const TUN_METADATA36: Field = Field(56);
    pub const TUN_METADATA37: Field = Field(57);
    pub const TUN_METADATA38: Field = Field(58);
    pub const TUN_METADATA39: Field = Field(59);
    pub const TUN_METADATA40: Field = Field(60);
    pub const TUN_METADATA41: Field = Field(61);
    pub const TUN_METADATA42: Field = Field(62);
    pub const TUN_METADATA43: Field = Field(63);
    pub const TUN_METADATA44: Field = Field(64);
    pub const TUN_METADATA45: Field = Field(65);
    pub const TUN_METADATA46: Field = Field(66);
    pub const TUN_METADATA47: Field = Field(67);
    pub const TUN_METADATA48: Field = Field(68);
    pub const TUN_METADATA49: Field = Field(69);
    pub const TUN_METADATA50: Field = Field(70);
    pub const TUN_METADATA51: Field = Field(71);
    pub const TUN_METADATA52: Field = Field(72);
    pub const TUN_METADATA53: Field = Field(73);
    pub const TUN_METADATA54: Field = Field(74);
    pub const TUN_METADATA55: Field = Field(75);
    pub const TUN_METADATA56: Field = Field(76);
    pub const TUN_METADATA57: Field = Field(77);
    pub const TUN_METADATA58: Field = Field(78);
    pub const TUN_METADATA59: Field = Field(79);
    pub const TUN_METADATA60: Field = Field(80);
    pub const TUN_METADATA61: Field = Field(81);
    pub const TUN_METADATA62: Field = Field(82);
    pub const TUN_METADATA63: Field = Field(83);
    pub const METADATA: Field = Field(84);
    pub const IN_PORT: Field = Field(85);
    pub const IN_PORT_OXM: Field = Field(86);
    pub const ACTSET_OUTPUT: Field = Field(87);
    pub const SKB_PRIORITY: Field = Field(88);
    pub const PKT_MARK: Field = Field(89);
    pub const CT_STATE: Field = Field(90);
    pub const CT_ZONE: Field = Field(91);
    pub const CT_MARK: Field = Field(92);
    pub const CT_LABEL: Field = Field(93);
    pub const CT_NW_PROTO: Field = Field(94);
    pub const CT_NW_SRC: Field = Field(95);
    pub const CT_NW_DST: Field = Field(96);
    pub const CT_IPV6_SRC: Field = Field(97);
    pub const CT_IPV6_DST: Field = Field(98);
    pub const CT_TP_SRC: Field = Field(99);
    pub const CT_TP_DST: Field = Field(100);
    pub const REG0: Field = Field(101);
    pub const REG1: Field = Field(102);
    pub const REG2: Field = Field(103);
    pub const REG3: Field = Field(104);
    pub const REG4: Field = Field(105);
    pub const REG5: Field = Field(106);
    pub const REG6: Field = Field(107);
    pub const REG7: Field = Field(108);
    pub const REG8: Field = Field(109);
    pub const REG9: Field = Field(110);
    pub const REG10: Field = Field(111);
    pub const REG11: Field = Field(112);
    pub const REG12: Field = Field(113);
    pub const REG13: Field = Field(114);
    pub const REG14: Field = Field(115);
    pub const REG15: Field = Field(116);
    pub const REG16: Field = Field(117);
    pub const REG17: Field = Field(118);
    pub const REG18: Field = Field(119);
    pub const REG19: Field = Field(120);
    pub const REG20: Field = Field(121);
    pub const REG21: Field = Field(122);
    pub const REG22: Field = Field(123);
    pub const REG23: Field = Field(124);
    pub const REG24: Field = Field(125);
    pub const REG25: Field = Field(126);
    pub const REG26: Field = Field(127);
    pub const REG27: Field = Field(128);
    pub const REG28: Field = Field(129);
    pub const REG29: Field = Field(130);
    pub const REG30: Field = Field(131);
    pub const REG31: Field = Field(132);
    pub const XREG0: Field = Field(133);
    pub const XREG1: Field = Field(134);
    pub const XREG2: Field = Field(135);
    pub const XREG3: Field = Field(136);
    pub const XREG4: Field = Field(137);
    pub const XREG5: Field = Field(138);
    pub const XREG6: Field = Field(139);
    pub const XREG7: Field = Field(140);
    pub const XREG8: Field = Field(141);
    pub const XREG9: Field = Field(142);
    pub const XREG10: Field = Field(143);
    pub const XREG11: Field = Field(144);
    pub const XREG12: Field = Field(145);
    pub const XREG13: Field = Field(146);
    pub const XREG14: Field = Field(147);
    pub const XREG15: Field = Field(148);
    pub const XXREG0: Field = Field(149);
    pub const XXREG1: Field = Field(150);
    pub const XXREG2: Field = Field(151);
    pub const XXREG3: Field = Field(152);
    pub const XXREG4: Field = Field(153);
    pub const XXREG5: Field = Field(154);
    pub const XXREG6: Field = Field(155);
    pub const XXREG7: Field = Field(156);
    pub const ETH_SRC: Field = Field(157);
    pub const ETH_DST: Field = Field(158);
    pub const ETH_TYPE: Field = Field(159);
    pub const VLAN_TCI: Field = Field(160);
    pub const DL_VLAN: Field = Field(161);
    pub const VLAN_VID: Field = Field(162);
    pub const DL_VLAN_PCP: Field = Field(163);
    pub const VLAN_PCP: Field = Field(164);
    pub const MPLS_LABEL: Field = Field(165);
    pub const MPLS_TC: Field = Field(166);
    pub const MPLS_BOS: Field = Field(167);
    pub const MPLS_TTL: Field = Field(168);
    pub const IP_SRC: Field = Field(169);
    pub const IP_DST: Field = Field(170);
    pub const IPV6_SRC: Field = Field(171);
    pub const IPV6_DST: Field = Field(172);
    pub const IPV6_LABEL: Field = Field(173);
    pub const NW_PROTO: Field = Field(174);
    pub const NW_TOS: Field = Field(175);
    pub const IP_DSCP: Field = Field(176);
    pub const NW_ECN: Field = Field(177);
    pub const NW_TTL: Field = Field(178);
    pub const IP_FRAG: Field = Field(179);
    pub const ARP_OP: Field = Field(180);
    pub const ARP_SPA: Field = Field(181);
    pub const ARP_TPA: Field = Field(182);
    pub const ARP_SHA: Field = Field(183);
    pub const ARP_THA: Field = Field(184);
    pub const TCP_SRC: Field = Field(185);
    pub const TCP_DST: Field = Field(186);
    pub const TCP_FLAGS: Field = Field(187);
    pub const UDP_SRC: Field = Field(188);
    pub const UDP_DST: Field = Field(189);
    pub const SCTP_SRC: Field = Field(190);
    pub const SCTP_DST: Field = Field(191);
    pub const ICMP_TYPE: Field = Field(192);
    pub const ICMP_CODE: Field = Field(193);
    pub const ICMPV6_TYPE: Field = Field(194);
    pub const ICMPV6_CODE: Field = Field(195);
    pub const ND_TARGET: Field = Field(196);
    pub const ND_SLL: Field = Field(197);
    pub const ND_TLL: Field = Field(198);
    pub const ND_RESERVED: Field = Field(199);
    pub const ND_OPTIONS_TYPE: Field = Field(200);
    pub const NSH_FLAGS: Field = Field(201);
    pub const NSH_MDTYPE: Field = Field(202);
    pub const NSH_NP: Field = Field(203);
    pub const NSH_SPI: Field = Field(204);
    pub const NSH_SI: Field = Field(205);
    pub const NSH_C1: Field = Field(206);
    pub const NSH_C2: Field = Field(207);
    pub const NSH_C3: Field = Field(208);
    pub const NSH_C4: Field = Field(209);
    pub const NSH_TTL: Field = Field(210);
}
