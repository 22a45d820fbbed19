use proptest::prelude::*;

use super::*;
use crate::remote::fake::Fake;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn name(n: usize) -> NodeName {
    NodeName(format!("n{n}"))
}

/// n1, n2, ... with an address of each family, and a container bridge that all have.
fn targets(count: usize) -> Vec<Target> {
    let target = |n: usize| Target {
        name: name(n),
        host: Fake::new(format!("n{n}")).into_host(),
        addresses: vec![
            ip(&format!("10.77.0.{}", 10 + n)),
            ip(&format!("fd77::{}", 10 + n)),
            ip("172.17.0.1"),
        ],
    };
    (1..=count).map(target).collect()
}

fn groups(of: &[&[usize]]) -> Vec<Vec<NodeName>> {
    let group = |group: &&[usize]| group.iter().copied().map(name).collect();
    of.iter().map(group).collect()
}

#[test]
fn each_side_drops_the_other() {
    let grudges = grudges(&groups(&[&[1, 2], &[3]]), &targets(3), &[ip("10.77.0.1")]).unwrap();
    let text: Vec<_> = grudges
        .iter()
        .map(|(node, drop)| {
            let drop: Vec<_> = drop.iter().map(ToString::to_string).collect();
            format!("{node}: {}", drop.join(" "))
        })
        .collect();
    insta::assert_snapshot!(text.join("\n"), @r"
    n1: 10.77.0.13 fd77::13
    n2: 10.77.0.13 fd77::13
    n3: 10.77.0.11 10.77.0.12 fd77::11 fd77::12
    ");
}

#[test]
fn mistaken_grudges_are_refused() {
    let check = |of: &[&[usize]], control: &str, expected: &str| {
        let error = grudges(&groups(of), &targets(3), &[ip(control)]).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(&[&[1, 2], &[4]], "10.77.0.1", "n4 is no node of this run");
    check(&[&[1, 2], &[2, 3]], "10.77.0.1", "n2 is in two groups");
    check(
        &[&[1, 2], &[3]],
        "fd77::12",
        "fd77::12 of n2 is also the control node's",
    );
    assert!(grudges(&groups(&[&[1, 2], &[3]]), &targets(3), &[]).is_err());
    let mut bare = targets(2);
    bare[1].addresses = vec![ip("172.17.0.1")];
    let error = grudges(&groups(&[&[1], &[2]]), &bare, &[ip("10.77.0.1")]).unwrap_err();
    assert!(error.to_string().contains("n2 has no address"), "{error}");
}

#[test]
fn the_leaders_side_is_made_at_injection() {
    let planned = Groups::WithLeader {
        order: [4, 2, 5, 1, 3].map(name).into(),
        others: 1,
    };
    let check = |leader: usize, expected: &str| {
        assert_eq!(
            describe(&resolve(&planned, Some(&name(leader))).unwrap()),
            expected
        );
    };
    check(4, "n2 n4 | n1 n3 n5");
    check(2, "n2 n4 | n1 n3 n5");
    check(3, "n3 n4 | n1 n2 n5");
    assert!(resolve(&planned, None).is_err());
    assert!(resolve(&planned, Some(&name(9))).is_err());
}

proptest! {
    #[test]
    fn grudges_are_symmetric_complete_and_spare_the_control_node(
        group_of in prop::collection::vec(0..4usize, 2..9),
    ) {
        let targets = targets(group_of.len());
        let control = ip("10.77.0.1");
        let groups: Vec<Vec<_>> = (0..4)
            .map(|g| (1..=group_of.len()).filter(|n| group_of[n - 1] == g).map(name).collect())
            .collect();
        let grudges = grudges(&groups, &targets, &[control]).unwrap();
        for a in 1..=group_of.len() {
            let drop = &grudges[&name(a)];
            prop_assert!(!drop.contains(&control));
            prop_assert!(!drop.contains(&ip("172.17.0.1")));
            for b in 1..=group_of.len() {
                let cut = group_of[a - 1] != group_of[b - 1];
                for address in &targets[b - 1].addresses[..2] {
                    prop_assert_eq!(drop.contains(address), cut);
                }
                let back = grudges[&name(b)].contains(&targets[a - 1].addresses[0]);
                prop_assert_eq!(drop.contains(&targets[b - 1].addresses[0]), back);
            }
        }
    }
}

/// Everyone sees everyone like this; `dropped` packets went to each address.
fn sights(count: usize, seen: impl Fn(usize, usize) -> (Reach, u64)) -> Sights {
    let mut sights = Sights::new();
    for from in 1..=count {
        let mut sight = Sight::default();
        for to in (1..=count).filter(|to| *to != from) {
            let (reach, dropped) = seen(from, to);
            for address in &targets(count)[to - 1].addresses[..2] {
                sight.reach.insert(*address, reach);
                sight.dropped.insert((Direction::Out, *address), dropped);
            }
        }
        sights.insert(name(from), sight);
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

fn judge(before: &Sights, during: &Sights) -> (bool, String) {
    let proof = judge_cut(&groups(&[&[1, 2], &[3]]), &targets(3), before, during);
    (proof.proven, proof.evidence.join("\n"))
}

#[test]
fn a_cut_that_bites_is_proven() {
    let (proven, evidence) = judge(&sights(3, whole), &sights(3, cut));
    insta::assert_snapshot!(evidence, @r"
    n1→n3: silent at 2 of 2 addresses, 4 packets dropped
    n2→n3: silent at 2 of 2 addresses, 4 packets dropped
    n3→n1: silent at 2 of 2 addresses, 4 packets dropped
    n3→n2: silent at 2 of 2 addresses, 4 packets dropped
    2 of 2 ways within the groups still connect
    ");
    assert!(proven);
}

#[test]
fn a_cut_that_does_not_bite_is_not() {
    let check = |before: &Sights, during: &Sights, expected: &str| {
        let (proven, evidence) = judge(before, during);
        assert!(!proven && evidence.contains(expected), "{evidence}");
    };
    let before = sights(3, whole);
    check(
        &before,
        &before,
        "n1→n3: not proven: 10.77.0.13 still answers (open)",
    );
    check(
        &Sights::new(),
        &sights(3, cut),
        "it could not connect before either",
    );
    check(&before, &Sights::new(), "n1 did not say what it sees");
    let idle = sights(3, |from, to| (cut(from, to).0, 0));
    check(
        &before,
        &idle,
        "silent, but nothing to 10.77.0.13 was dropped",
    );
    let too_much = sights(3, |_, _| (Reach::Silent, 1));
    check(&before, &too_much, "n1→n2: cut, though in one group");
    let leak = |from, to| {
        if (from, to) == (3, 1) {
            (Reach::Refused, 1)
        } else {
            cut(from, to)
        }
    };
    check(
        &before,
        &sights(3, leak),
        "n3→n1: not proven: 10.77.0.11 still answers (refused)",
    );
    let mut v6_open = sights(3, cut);
    v6_open
        .get_mut(&name(2))
        .unwrap()
        .reach
        .insert(ip("fd77::13"), Reach::Open);
    check(
        &before,
        &v6_open,
        "n2→n3: not proven: fd77::13 still answers",
    );
}

#[test]
fn a_reunion_needs_every_way_that_was_open() {
    let (before, targets) = (sights(3, whole), targets(3));
    let proof = judge_reunion(&targets, &before, &before);
    assert_eq!(
        proof.evidence,
        ["12 of 12 ways that were open before connect again"]
    );
    assert!(proof.proven);
    let stopped = sights(3, |_, _| (Reach::Refused, 0));
    assert!(judge_reunion(&targets, &before, &stopped).proven);
    let proof = judge_reunion(&targets, &before, &sights(3, cut));
    assert!(!proof.proven);
    assert_eq!(proof.evidence[0], "n1→n3: 10.77.0.13 is silent");
    assert!(!judge_reunion(&targets, &before, &Sights::new()).proven);
}
