use proptest::prelude::*;

use super::*;
use crate::remote::fake::Fake;
use crate::schedule::describe;

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
        is_disposable: true,
    };
    (1..=count).map(target).collect()
}

fn cut(of: &[&[usize]]) -> Cut {
    let group = |group: &&[usize]| group.iter().copied().map(name).collect();
    resolve(&Groups::Named(of.iter().map(group).collect()), None).unwrap()
}

fn told(grudges: &Grudges) -> String {
    let node = |(node, drops): (&NodeName, &BTreeSet<Drop>)| {
        let drop = |drop: &Drop| {
            let way = match (drop.is_in, drop.is_out) {
                (true, true) => "",
                (true, false) => "<",
                (false, true) => ">",
                (false, false) => "?",
            };
            format!("{way}{}", drop.address)
        };
        let drops: Vec<_> = drops.iter().map(drop).collect();
        format!("{node}: {}", drops.join(" "))
    };
    grudges.iter().map(node).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_side_drops_the_other() {
    let control = [ip("10.77.0.1")];
    let made = grudges(&cut(&[&[1, 2], &[3]]), Way::Both, &targets(3), &control).unwrap();
    insta::assert_snapshot!(told(&made), @r"
    n1: 10.77.0.13 fd77::13
    n2: 10.77.0.13 fd77::13
    n3: 10.77.0.11 10.77.0.12 fd77::11 fd77::12
    ");
    let made = grudges(&cut(&[&[3], &[1, 2]]), Way::In, &targets(3), &control).unwrap();
    insta::assert_snapshot!(told(&made), @"n3: <10.77.0.11 <10.77.0.12 <fd77::11 <fd77::12");
    let made = grudges(&cut(&[&[3], &[1]]), Way::Out, &targets(3), &control).unwrap();
    insta::assert_snapshot!(told(&made), @"n3: >10.77.0.11 >fd77::11");
}

#[test]
fn mistaken_grudges_are_refused() {
    let check = |of: &[&[usize]], control: &str, expected: &str| {
        let error = grudges(&cut(of), Way::Both, &targets(3), &[ip(control)]).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(&[&[1, 2], &[4]], "10.77.0.1", "n4 is no node of this run");
    check(&[&[1, 2], &[2, 3]], "10.77.0.1", "n2 is in two groups");
    check(&[&[1, 2, 3]], "10.77.0.1", "divides nobody");
    check(
        &[&[1, 2], &[3]],
        "fd77::12",
        "fd77::12 of n2 is also the control node's",
    );
    let halves = cut(&[&[1, 2], &[3]]);
    assert!(grudges(&halves, Way::Both, &targets(3), &[]).is_err());
    let mut bare = targets(2);
    bare[1].addresses = vec![ip("172.17.0.1")];
    let control = [ip("10.77.0.1")];
    let error = grudges(&cut(&[&[1], &[2]]), Way::Both, &bare, &control).unwrap_err();
    assert!(error.to_string().contains("n2 has no address"), "{error}");
    let ring = Groups::MajoritiesRing((1..=5).map(name).collect());
    let ring = resolve(&ring, None).unwrap();
    assert!(grudges(&ring, Way::In, &targets(5), &control).is_err());
}

#[test]
fn the_leaders_side_is_made_at_injection() {
    let planned = Groups::WithLeader {
        order: [4, 2, 5, 1, 3].map(name).into(),
        others: 1,
    };
    for (leader, expected) in [(4, "n2 n4 | n1 n3 n5"), (5, "n4 n5 | n1 n2 n3")] {
        let cut = resolve(&planned, Some(&name(leader))).unwrap();
        assert_eq!(describe(&cut.groups), expected);
    }
    for nobody in [None, Some(&name(9))] {
        assert!(resolve(&planned, nobody).is_err());
    }
}

#[test]
fn a_bridge_reaches_both_sides() {
    let planned = Groups::Bridge {
        bridge: name(3),
        sides: [vec![name(1), name(2)], vec![name(4), name(5)]],
    };
    let cut = resolve(&planned, None).unwrap();
    assert_eq!(cut.severed.len(), 8);
    assert!(
        !cut.severed
            .iter()
            .any(|(from, to)| [from, to].contains(&&name(3)))
    );
}

proptest! {
    #[test]
    fn on_a_ring_everybody_reaches_a_majority_and_no_two_the_same(count in 5_usize..=9) {
        let ring: Vec<_> = (1..=count).map(name).collect();
        let severed = resolve(&Groups::MajoritiesRing(ring.clone()), None).unwrap().severed;
        let mut views = BTreeSet::new();
        for node in &ring {
            let reached = |other: &&NodeName| !severed.contains(&(node.clone(), (*other).clone()));
            let view: Vec<_> = ring.iter().filter(reached).collect();
            prop_assert!(view.len() > count / 2, "{node}: {view:?}");
            views.insert(view);
        }
        // On six, three steps to each side would be everybody, and two are a majority of five.
        prop_assert_eq!(views.len(), count);
    }

    #[test]
    fn grudges_are_symmetric_and_spare_the_control_node(groups in prop::collection::vec(0_usize..4, 2..9)) {
        let sides: Vec<Vec<usize>> = (0..4)
            .map(|side| (1..=groups.len()).filter(|n| groups[n - 1] == side).collect())
            .collect();
        let sides: Vec<&[usize]> = sides.iter().map(Vec::as_slice).collect();
        let targets = targets(groups.len());
        let control = [ip("10.77.0.1"), ip("fd77::1")];
        let Ok(made) = grudges(&cut(&sides), Way::Both, &targets, &control) else {
            prop_assert!(groups.iter().all(|side| *side == groups[0]));
            return Ok(());
        };
        for (a, target) in targets.iter().enumerate() {
            for (b, other) in targets.iter().enumerate() {
                let drops = made.get(&target.name).map_or(0, |drops| {
                    let of_other = |drop: &&Drop| other.addresses.contains(&drop.address);
                    drops.iter().filter(of_other).count()
                });
                prop_assert_eq!(drops, if groups[a] == groups[b] { 0 } else { 2 });
            }
        }
        prop_assert!(made.values().flatten().all(|drop| !control.contains(&drop.address)));
    }
}
