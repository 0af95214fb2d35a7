//! Groups and meters of a switch.

use flow::text::ParseContext;
use openflow::message::*;
use openflow::text::{parse_group_line, parse_meter};
use openflow::{GroupId, Message, MeterId, Protocols};

use super::client::{Result, Socket, Vconn, open_for_flow_mod};
use super::flows::{dump_parts, print_error, send_bundle};
use super::offline::for_each_line;
use super::{Settings, json, log_warnings};

/// Runs a command about groups.
pub async fn run(s: &Settings, name: &str, args: &[String]) -> Result<u8> {
    match name {
        "add-group" => change(s, args, GroupCommand::Add, false).await,
        "add-groups" => change(s, args, GroupCommand::Add, true).await,
        "mod-group" => {
            let command = if s.may_create { GroupCommand::AddOrMod } else { GroupCommand::Modify };
            change(s, args, command, false).await
        }
        "del-groups" => change(s, args, GroupCommand::Delete, false).await,
        "insert-buckets" => change(s, args, GroupCommand::InsertBucket, false).await,
        "remove-buckets" => change(s, args, GroupCommand::RemoveBucket, false).await,
        "dump-groups" => dump(s, args).await,
        "dump-group-stats" => dump_stats(s, args).await,
        _ => {
            let mut v = Vconn::open(s, &args[0], Socket::Management).await?;
            dump_parts(s, &mut v, &Message::GroupFeaturesRequest, None).await
        }
    }
}

async fn change(s: &Settings, args: &[String], command: GroupCommand, is_file: bool) -> Result<u8> {
    let text = args.get(1).map_or("", String::as_str);
    let names = s.names_to_accept(&args[0]).await?;
    let mut cx = ParseContext::new(names.as_ref());
    let mut usable = Protocols::OF10_ANY.or(Protocols::OF11_UP);
    let mut messages = Vec::new();
    let mut one = |line: &str, words: bool| {
        let parsed = parse_group_line(&mut cx, line, command, words);
        log_warnings(&mut cx);
        let (gm, u) = parsed?;
        usable = usable.and(u);
        messages.push(Message::GroupMod(gm));
        Ok(())
    };
    if is_file || text == "-" {
        for_each_line(text, |line| one(line, true))?;
    } else if command == GroupCommand::Delete && text.is_empty() {
        messages.push(Message::GroupMod(GroupMod {
            command,
            ty: GroupType::All,
            group: GroupId::ALL,
            bucket_id: BUCKET_ALL,
            buckets: Vec::new(),
            props: GroupProps::default(),
        }));
    } else {
        one(text, false)?;
    }
    if s.bundle {
        return send_bundle(s, &args[0], messages, usable).await;
    }
    let mut v = open_for_flow_mod(s, &args[0], usable).await?;
    let inserts = |m: &Message| matches!(m, Message::GroupMod(g) if g.command == GroupCommand::InsertBucket);
    if v.version > openflow::Version::V10 && messages.iter().any(inserts) {
        v.needs(openflow::Version::V15, "insert-bucket")?;
    }
    match v.transact_noreply(&messages).await? {
        Some(error) => Ok(print_error(s, &error)),
        None => Ok(0),
    }
}

fn group_of(args: &[String]) -> Result<GroupId> {
    match args.get(1).map(String::as_str) {
        None => Ok(GroupId::ALL),
        Some(s) if s.eq_ignore_ascii_case("all") => Ok(GroupId::ALL),
        Some(s) if s.eq_ignore_ascii_case("any") => Ok(GroupId::ANY),
        Some(s) => {
            flow::text::number::parse_u32(s).map(GroupId).ok_or_else(|| format!("{s}: group is not a valid number"))
        }
    }
}

async fn dump(s: &Settings, args: &[String]) -> Result<u8> {
    let group = group_of(args)?;
    let names = s.names_to_show(&args[0]).await?;
    let mut v = Vconn::open(s, &args[0], Socket::Management).await?;
    if s.json {
        return json::dump_groups(&mut v, group, names.as_ref()).await;
    }
    dump_parts(s, &mut v, &Message::GroupDescRequest(group), names.as_ref()).await
}

async fn dump_stats(s: &Settings, args: &[String]) -> Result<u8> {
    let mut group = GroupId::ALL;
    if let Some(text) = args.get(1) {
        let mut cx = ParseContext::new(None);
        group = openflow::text::parse_group(&mut cx, text, GroupCommand::Delete)?.0.group;
    }
    // The original looks names up here although it uses none of them.
    if args.len() < 2 || s.accepts_names() {
        let _ = s.names_to_accept(&args[0]).await?;
    }
    let mut v = Vconn::open(s, &args[0], Socket::Management).await?;
    dump_parts(s, &mut v, &Message::GroupStatsRequest(group), None).await
}

/// Runs a command about meters.
pub async fn run_meter(s: &Settings, name: &str, args: &[String]) -> Result<u8> {
    let switch = &args[0];
    match name {
        "add-meter" => change_meter(s, switch, &args[1], MeterCommand::Add).await,
        "mod-meter" => change_meter(s, switch, &args[1], MeterCommand::Modify).await,
        "del-meter" | "del-meters" => {
            let text = args.get(1).map_or("meter=all", String::as_str);
            change_meter(s, switch, text, MeterCommand::Delete).await
        }
        "meter-features" => {
            let mut v = open_for_flow_mod(s, switch, Protocols::OF13_UP).await?;
            dump_parts(s, &mut v, &Message::MeterFeaturesRequest, None).await
        }
        _ => {
            let meter = match args.get(1) {
                Some(text) => parse_meter(text, MeterCommand::Delete)?.0.meter.meter,
                None => MeterId::ALL,
            };
            let mut v = open_for_flow_mod(s, switch, Protocols::OF13_UP).await?;
            if s.json {
                return json::dump_meters(&mut v, meter, name == "meter-stats").await;
            }
            let m = if name == "meter-stats" {
                Message::MeterStatsRequest(meter)
            } else {
                Message::MeterConfigRequest(meter)
            };
            dump_parts(s, &mut v, &m, None).await
        }
    }
}

async fn change_meter(s: &Settings, switch: &str, text: &str, command: MeterCommand) -> Result<u8> {
    let (m, usable) = parse_meter(text, command)?;
    let mut v = open_for_flow_mod(s, switch, usable).await?;
    match v.transact_noreply(&[Message::MeterMod(m)]).await? {
        Some(error) => Ok(print_error(s, &error)),
        None => Ok(0),
    }
}
