//! The action set (OpenFlow 1.5 §5.6): at most one action of a kind, done in a fixed order.

use openflow::action::Action;

/// Place in the order; actions of the same place with the same key replace one another.
fn place(action: &Action) -> Option<u8> {
    Some(match action {
        Action::StripVlan { .. } => 1,
        Action::PopMpls(_) => 2,
        Action::Decap(_) => 3,
        Action::Encap(_) => 4,
        Action::PushMpls(_) => 5,
        Action::PushVlan(_) => 6,
        Action::DecTtl { .. } => 7,
        Action::DecMplsTtl => 8,
        Action::DecNshTtl => 9,
        Action::SetEthSrc(_)
        | Action::SetEthDst(_)
        | Action::SetIpv4Src(_)
        | Action::SetIpv4Dst(_)
        | Action::SetIpDscp(_)
        | Action::SetIpEcn(_)
        | Action::SetIpTtl(_)
        | Action::SetL4Src { .. }
        | Action::SetL4Dst { .. }
        | Action::SetVlanVid { .. }
        | Action::SetVlanPcp { .. }
        | Action::SetMplsLabel(_)
        | Action::SetMplsTc(_)
        | Action::SetMplsTtl(_)
        | Action::SetTunnel { .. }
        | Action::SetField(_)
        | Action::Move(_) => 10,
        Action::SetQueue(_) => 11,
        _ => return None,
    })
}

/// The actions of a set in the order of their execution. Of group, output, resubmit and connection tracking, the first
/// of this list that is there is the one that is done, last.
#[must_use]
pub fn in_order(set: &[Action]) -> Vec<Action> {
    let mut out = Vec::new();
    for step in 1..=11u8 {
        if step == 10 {
            // All of them, in the order in which they were written: later ones overwrite fields.
            out.extend(set.iter().filter(|a| place(a) == Some(10)).cloned());
        } else if let Some(last) = set.iter().rev().find(|a| place(a) == Some(step)) {
            out.push(last.clone());
        }
    }
    let last = |test: fn(&Action) -> bool| set.iter().rev().find(|a| test(a)).cloned();
    let end = last(|a| matches!(a, Action::Group(_)))
        .or_else(|| last(|a| matches!(a, Action::Output { .. } | Action::OutputReg { .. } | Action::Controller(_))))
        .or_else(|| last(|a| matches!(a, Action::Resubmit(_))))
        .or_else(|| last(|a| matches!(a, Action::Ct(_))));
    // Without anything that sends the packet on, the set does nothing.
    match end {
        Some(end) => {
            out.push(end);
            out
        }
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::OfPort;

    #[test]
    fn order_and_replacement() {
        let output = |port| Action::Output { port: OfPort(port), max_len: 0 };
        let set =
            [output(1), Action::SetQueue(5), Action::PushVlan(0x8100), Action::StripVlan { pop: true }, output(2)];
        let expect = [Action::StripVlan { pop: true }, Action::PushVlan(0x8100), Action::SetQueue(5), output(2)];
        assert_eq!(in_order(&set), expect);
        assert_eq!(in_order(&set[1..4]), []);
    }
}
