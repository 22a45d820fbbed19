use super::*;
use crate::remote::fake::Fake;

const PORT: u16 = 25672;
const KEY: &str = "f1";
const OTHER: &str = "f2";

/// A rule that drops what goes to an address.
fn out(key: &str, address: IpAddr) -> (String, Direction, IpAddr) {
    (key.to_owned(), Direction::Out, address)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn name(n: usize) -> NodeName {
    NodeName(format!("n{n}"))
}

/// n1, n2, n3 with an address of each family.
fn targets() -> Vec<Target> {
    let target = |n: usize| Target {
        name: name(n),
        host: Fake::new(format!("n{n}")).into_host(),
        addresses: vec![
            ip(&format!("10.77.0.{}", 10 + n)),
            ip(&format!("fd77::{}", 10 + n)),
        ],
        is_disposable: true,
    };
    (1..=3).map(target).collect()
}

/// n1 and n2 on one side, n3 on the other.
fn severed() -> BTreeSet<(NodeName, NodeName)> {
    let pairs = [(1, 3), (2, 3), (3, 1), (3, 2)];
    pairs.map(|(from, to)| (name(from), name(to))).into()
}

fn all_counted() -> BTreeSet<(NodeName, Direction)> {
    let both = |n| [(name(n), Direction::In), (name(n), Direction::Out)];
    (1..=3).flat_map(both).collect()
}

/// Everyone sees everyone like this; `dropped` packets went to each address.
fn sights(seen: impl Fn(usize, usize) -> (Reach, u64)) -> Sights {
    let targets = targets();
    let mut sights = Sights::new();
    for from in 1..=3 {
        let mut sight = Sight::default();
        for to in (1..=3).filter(|to| *to != from) {
            let (reach, dropped) = seen(from, to);
            for address in &targets[to - 1].addresses {
                sight.reach.insert((*address, PORT), reach);
                sight.dropped.insert(out(KEY, *address), dropped);
            }
        }
        sights.insert(name(from), sight);
    }
    sights
}

/// As it is once our rules are gone.
fn without_rules(mut sights: Sights) -> Sights {
    for sight in sights.values_mut() {
        sight.dropped.clear();
    }
    sights
}

fn whole(_: usize, _: usize) -> (Reach, u64) {
    (Reach::Open, 0)
}

fn cut(from: usize, to: usize) -> (Reach, u64) {
    if (from == 3) == (to == 3) {
        (Reach::Open, 0)
    } else {
        (Reach::Silent, 2)
    }
}

fn with<T>(
    before: &Sights,
    counted: &BTreeSet<(NodeName, Direction)>,
    judge: impl Fn(&Expectation<'_>) -> T,
) -> T {
    judge(&Expectation {
        targets: &targets(),
        severed: &severed(),
        cut_ports: &[PORT],
        counted,
        before,
        key: KEY,
    })
}

fn judge(before: &Sights, during: &Sights) -> (bool, String) {
    let proof = with(before, &all_counted(), |expectation| {
        expectation.judge_cut(during)
    });
    (proof.proven, proof.evidence.join("\n"))
}

#[test]
fn a_cut_that_bites_is_proven() {
    let (proven, evidence) = judge(&sights(whole), &sights(cut));
    insta::assert_snapshot!(evidence, @r"
    n1→n3: silent at 2 of 2 addresses, 4 packets dropped
    n2→n3: silent at 2 of 2 addresses, 4 packets dropped
    n3→n1: silent at 2 of 2 addresses, 4 packets dropped
    n3→n2: silent at 2 of 2 addresses, 4 packets dropped
    4 of 4 ways that are not cut still answer
    ");
    assert!(proven);
}

#[test]
fn a_cut_that_does_not_bite_is_not() {
    let check = |before: &Sights, during: &Sights, expected: &str| {
        let (proven, evidence) = judge(before, during);
        assert!(!proven && evidence.contains(expected), "{evidence}");
    };
    let before = sights(whole);
    check(
        &before,
        &before,
        "n1→n3: not proven: 10.77.0.13 port 25672 still answers (open)",
    );
    let idle = sights(|from, to| (cut(from, to).0, 0));
    check(&Sights::new(), &idle, "it did not answer before either");
    check(&before, &Sights::new(), "n1 did not say what it sees");
    check(
        &before,
        &idle,
        "silent, but nothing to 10.77.0.13 was dropped",
    );
    let too_much = sights(|_, _| (Reach::Silent, 1));
    check(&before, &too_much, "n1→n2: cut, though it should not be");
    let leak = |from, to| {
        if (from, to) == (3, 1) {
            (Reach::Refused, 1)
        } else {
            cut(from, to)
        }
    };
    check(
        &before,
        &sights(leak),
        "n3→n1: not proven: 10.77.0.11 port 25672 still answers (refused)",
    );
    let mut v6_open = sights(cut);
    let sight = v6_open.get_mut(&name(2)).unwrap();
    sight.reach.insert((ip("fd77::13"), PORT), Reach::Open);
    check(
        &before,
        &v6_open,
        "n2→n3: not proven: fd77::13 port 25672 still answers",
    );
}

#[test]
fn a_broker_that_is_down_does_not_hide_a_cut() {
    let down = sights(|_, to| (if to == 3 { Reach::Refused } else { Reach::Open }, 0));
    assert!(judge(&down, &sights(cut)).0);
}

#[test]
fn what_was_cut_before_is_known_by_its_packets() {
    let before = sights(|from, to| (cut(from, to).0, 0));
    let (proven, evidence) = judge(&before, &sights(cut));
    assert!(
        proven && evidence.contains("silent before already, 4 packets dropped"),
        "{evidence}"
    );
}

#[test]
fn what_another_fault_drops_proves_nothing() {
    let mut during = sights(cut);
    for sight in during.values_mut() {
        let rules = std::mem::take(&mut sight.dropped).into_iter();
        let other = rules.map(|((_, _, address), packets)| (out(OTHER, address), packets));
        sight.dropped = other.collect();
    }
    assert!(!judge(&sights(whole), &during).0);
    let before = sights(|from, to| (cut(from, to).0, 0));
    assert!(!judge(&before, &during).0);
}

#[test]
fn one_way_counts_where_the_rules_are() {
    let counted = BTreeSet::from([(name(3), Direction::In)]);
    let silent = |from: usize, to: usize| (cut(from, to).0, 0);
    let judge = |during: &Sights| {
        with(&sights(whole), &counted, |expectation| {
            expectation.judge_cut(during)
        })
        .proven
    };
    let mut during = sights(silent);
    assert!(!judge(&during));
    let sight = during.get_mut(&name(3)).unwrap();
    for peer in ["10.77.0.11", "fd77::11", "10.77.0.12", "fd77::12"] {
        let rule = (KEY.to_owned(), Direction::In, ip(peer));
        sight.dropped.insert(rule, 3);
    }
    assert!(judge(&during));
}

#[test]
fn a_flap_shows_in_packets_alone() {
    let judge = |during: &Sights| {
        with(&sights(whole), &all_counted(), |expectation| {
            expectation.judge_flap(during)
        })
        .proven
    };
    assert!(judge(&sights(|from, to| (Reach::Open, cut(from, to).1))));
    assert!(!judge(&sights(whole)));
    assert!(!judge(&sights(|_, _| (Reach::Silent, 1))));
}

#[test]
fn what_another_cut_holds_apart_is_not_waited_for() {
    let mut after = sights(cut);
    for (node, sight) in &mut after {
        // n3 and n1 are cut by another fault, n3 and n2 are whole again.
        let is_cut = |address: &IpAddr| match node.0.as_str() {
            "n1" => ["10.77.0.13", "fd77::13"].contains(&&*address.to_string()),
            "n3" => ["10.77.0.11", "fd77::11"].contains(&&*address.to_string()),
            _ => false,
        };
        let rules = std::mem::take(&mut sight.dropped);
        let cut = rules.into_keys().filter(|(_, _, address)| is_cut(address));
        sight.dropped = cut
            .map(|(_, _, address)| (out(OTHER, address), 5))
            .collect();
        for ((address, _), reach) in &mut sight.reach {
            if !is_cut(address) {
                *reach = Reach::Open;
            }
        }
    }
    let before = sights(whole);
    let judge = |after: &Sights| {
        with(&before, &all_counted(), |expectation| {
            expectation.judge_reunion(after)
        })
    };
    let proof = judge(&after);
    assert_eq!(
        proof.evidence,
        ["8 of 8 ways that answered before answer again"]
    );
    assert!(proof.proven);
    let sight = after.get_mut(&name(2)).unwrap();
    sight.reach.insert((ip("10.77.0.13"), PORT), Reach::Silent);
    assert!(!judge(&after).proven);
}

#[test]
fn a_reunion_needs_every_way_that_answered() {
    let before = sights(whole);
    let judge = |after: &Sights| {
        with(&before, &all_counted(), |expectation| {
            expectation.judge_reunion(after)
        })
    };
    let proof = judge(&without_rules(before.clone()));
    assert_eq!(
        proof.evidence,
        ["12 of 12 ways that answered before answer again"]
    );
    assert!(proof.proven);
    assert!(judge(&without_rules(sights(|_, _| (Reach::Refused, 0)))).proven);
    let proof = judge(&without_rules(sights(cut)));
    assert!(!proof.proven);
    assert_eq!(proof.evidence[0], "n1→n3: 10.77.0.13 port 25672 is silent");
    assert!(!judge(&Sights::new()).proven);
    let proof = judge(&sights(whole));
    assert!(!proof.proven);
    assert_eq!(proof.evidence[0], "n1: rules of this cut are still there");
    assert!(!judge(&sights(cut)).proven);
}
