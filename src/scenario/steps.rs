//! The `schedule` of a scenario, read from YAML: steps, and steps inside of steps.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::conditions::condition;
use super::faults::fault;
use super::parse::{HOUR, SECOND, length, within};
use super::step::{Await, Choice, FaultStep, Gap, Heal, Lasts, Mix, Repeat, Span, Step};
use crate::catalog::{Kind, Lasting};
use crate::diagnostic::{Collector, quoted};
use crate::yaml::{Fields, Value, parse_duration};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const REPEAT_MAX: u64 = 1000;
const WEIGHT_MAX: u64 = 1000;
const STEPS_MAX: usize = 100;

/// What a step is, by the key that says so.
const ACTIONS: [&str; 7] = [
    "fault", "wait", "await", "heal", "repeat", "parallel", "mix",
];

/// What else a step may have: where it is not clear what the step is, these are not told, too.
const COMPANIONS: [&str; 13] = [
    "at", "name", "groups", "on", "duration", "until", "within", "pause", "stagger", "steps",
    "weight", "for", "choose",
];

/// What a list of steps stands in.
#[derive(Clone, Default)]
struct Scope {
    /// Faults in force that a `heal` can name.
    open: BTreeSet<String>,
    /// Whether the list is done more than once, so that no time in it counts from the load.
    is_repeated: bool,
}

pub(super) fn schedule(steps: Option<&[Value]>, to: &mut Collector<'_>) -> Vec<Step> {
    list(steps.unwrap_or_default(), &mut Scope::default(), to)
}

fn list(steps: &[Value], scope: &mut Scope, to: &mut Collector<'_>) -> Vec<Step> {
    if let Some(beyond) = steps.get(STEPS_MAX) {
        to.error(
            beyond.place,
            format!("a list of {} steps", steps.len()),
            format!("write at most {STEPS_MAX}; `repeat` does steps again"),
        );
    }
    let mut read = Vec::new();
    let mut acted = false;
    for value in steps.iter().take(STEPS_MAX) {
        let Some(mut fields) = value.fields("a step of the schedule", to) else {
            continue;
        };
        let step = step(&mut fields, scope, to);
        fields.finish(to);
        if let Some(Step::Await(awaited)) = &step
            && awaited.condition.needs_step_before()
            && !acted
        {
            to.error(
                value.place,
                "a new leader is waited for, with no step before it in this list that could bring one",
                "begin with a fault, or wait for `{leader: any}`",
            );
        }
        acted |= !matches!(step, None | Some(Step::Wait(_) | Step::Await(_)));
        read.extend(step);
    }
    read
}

fn step(fields: &mut Fields<'_>, scope: &mut Scope, to: &mut Collector<'_>) -> Option<Step> {
    let given: Vec<&'static str> = ACTIONS
        .into_iter()
        .filter(|action| fields.take(action).is_some())
        .collect();
    // `repeat` with a fault says how often.
    let actions: Vec<&str> = given
        .iter()
        .copied()
        .filter(|action| *action != "repeat" || !given.contains(&"fault"))
        .collect();
    match actions.as_slice() {
        ["fault"] => fault_step(fields, scope, to).map(Step::Fault),
        ["wait"] => {
            let read = span(fields, "wait", Span::ZERO, Duration::ZERO..=DAY, to);
            Some(Step::Wait(read))
        }
        ["await"] => awaited(fields, "await", to).map(Step::Await),
        ["heal"] => heal(fields, scope, to).map(Step::Heal),
        ["repeat"] => repeat(fields, scope, to).map(Step::Repeat),
        ["parallel"] => parallel(fields, scope, to).map(Step::Parallel),
        ["mix"] => mix(fields, scope, to).map(Step::Mix),
        [] => {
            fields.know(&COMPANIONS);
            to.error(
                fields.place(),
                "a step that does nothing",
                "write one of `fault`, `wait`, `await`, `heal`, `repeat`, `parallel` and `mix`",
            );
            None
        }
        several => {
            fields.know(&COMPANIONS);
            to.error(
                fields.place(),
                format!("`{}` in one step", several.join("` and `")),
                "make each an entry of its own: steps are done one after another",
            );
            None
        }
    }
}

fn fault_step(
    fields: &mut Fields<'_>,
    scope: &mut Scope,
    to: &mut Collector<'_>,
) -> Option<FaultStep> {
    let fault = fault(fields, to);
    let kind = fault.as_ref().map(|fault| fault.kind.0);
    let at = at(fields, scope, to);
    let name = name(fields, to);
    let lasts = lasts(kind, name.as_deref(), fields, to);
    let repeat = fields.u64("repeat", 1..=REPEAT_MAX, to).unwrap_or(1);
    let gap = gap(fields, to);
    if repeat > 1 && gap.is_none() {
        fields.require("pause", "1m", to);
    }
    if repeat > 1 && lasts == Some(Lasts::UntilHealed) {
        to.error(
            fields.take("repeat").map(|value| value.place),
            "a fault that stays in force cannot be injected again",
            "add `duration: 1m`, or repeat it with its `heal`: `{repeat: 3, steps: [...]}`",
        );
    }
    if let Some(name) = &name
        && !scope.open.insert(name.clone())
    {
        to.error(
            fields.take("name").map(|value| value.place),
            format!("a fault of the name {} is in force already", quoted(name)),
            "choose another name, or heal the other one before",
        );
    }
    Some(FaultStep {
        at,
        name,
        fault: fault?,
        lasts: lasts?,
        repeat: u32::try_from(repeat).unwrap_or(1),
        gap: gap.unwrap_or(Gap::NONE),
    })
}

fn at(fields: &mut Fields<'_>, scope: &Scope, to: &mut Collector<'_>) -> Option<Duration> {
    let value = fields.take("at")?;
    if scope.is_repeated {
        to.error(
            value.place,
            "`at` counts from the beginning of the load, and this step is done more than once",
            "write `wait` before it",
        );
    }
    Some(length(
        fields,
        "at",
        Duration::ZERO,
        Duration::ZERO..=WEEK,
        to,
    ))
}

fn name(fields: &mut Fields<'_>, to: &mut Collector<'_>) -> Option<String> {
    let value = fields.take("name")?;
    let name = value.text("`name`", to)?;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) || name == "all" {
        to.error(
            value.place,
            format!("{} cannot be the name of a fault", quoted(name)),
            "use up to 64 letters, digits, `-`, `_` and `.`; `all` means every fault",
        );
    }
    Some(name.to_owned())
}

/// How long the fault stays. What a kind cannot have, and what does not go together, is told.
fn lasts(
    kind: Option<&'static Kind>,
    name: Option<&str>,
    fields: &mut Fields<'_>,
    to: &mut Collector<'_>,
) -> Option<Lasts> {
    let (duration, until) = (fields.take("duration"), fields.take("until"));
    let is_moment = kind.is_some_and(|kind| kind.lasting == Lasting::Moment);
    let place = duration.or(until).map(|value| value.place);
    if let (true, Some(kind)) = (is_moment, kind) {
        let ends = [
            ("duration", place),
            ("name", fields.take("name").map(|v| v.place)),
        ];
        if let Some((key, place)) = ends.into_iter().find(|(_, place)| place.is_some()) {
            let key = if key == "duration" && duration.is_none() {
                "until"
            } else {
                key
            };
            to.error(
                place,
                format!(
                    "{} is over when it is done: it has no `{key}`",
                    quoted(kind.name)
                ),
                format!("remove `{key}`; `wait` after it if the next step is to come later"),
            );
        }
    } else if duration.is_some() && until.is_some() {
        to.error(
            until.map(|value| value.place),
            "`duration` and `until` in one step",
            "keep one of them: a fault lasts so long, or until a condition holds",
        );
    } else if let (Some(place), Some(name)) = (place, name) {
        to.error(
            place,
            format!(
                "the fault {} is healed by itself, so no `heal` can name it",
                quoted(name)
            ),
            "remove `name`, or what ends the fault",
        );
    }
    let until = until.and_then(|_| awaited(fields, "until", to).map(Lasts::Until));
    let longest = SECOND / 10..=24 * HOUR;
    let duration =
        duration.map(|_| Lasts::For(span(fields, "duration", Span::exactly(SECOND), longest, to)));
    Some(match (is_moment, duration.or(until)) {
        (true, _) => Lasts::Moment,
        (false, Some(lasts)) => lasts,
        (false, None) => Lasts::UntilHealed,
    })
}

fn awaited(fields: &mut Fields<'_>, key: &'static str, to: &mut Collector<'_>) -> Option<Await> {
    let condition = fields.take(key).and_then(|value| condition(value, to));
    fields.require("within", "60s", to);
    let within = length(fields, "within", 60 * SECOND, SECOND..=DAY, to);
    Some(Await {
        condition: condition?,
        within,
    })
}

fn heal(fields: &mut Fields<'_>, scope: &mut Scope, to: &mut Collector<'_>) -> Option<Heal> {
    let value = fields.take("heal")?;
    let name = value.text("`heal`", to)?;
    if name == "all" {
        scope.open.clear();
        return Some(Heal::All);
    }
    if !scope.open.remove(name) {
        let known: Vec<String> = scope.open.iter().map(|name| format!("`{name}`")).collect();
        let remedy = if known.is_empty() {
            "give a fault before it a `name` and no `duration`, or write `heal: all`".to_owned()
        } else {
            format!("in force here are {}; or write `all`", known.join(", "))
        };
        to.error(
            value.place,
            format!("no fault of the name {} is in force here", quoted(name)),
            remedy,
        );
    }
    Some(Heal::Named(name.to_owned()))
}

fn repeat(fields: &mut Fields<'_>, scope: &mut Scope, to: &mut Collector<'_>) -> Option<Repeat> {
    let times = fields.u64("repeat", 1..=REPEAT_MAX, to);
    let gap = gap(fields, to).unwrap_or(Gap::NONE);
    fields.require("steps", "[...]", to);
    let was_repeated = std::mem::replace(&mut scope.is_repeated, true);
    let steps = fields.sequence("steps", to);
    let steps = inner(steps, fields, scope, to);
    scope.is_repeated = was_repeated;
    Some(Repeat {
        times: u32::try_from(times?).unwrap_or(1),
        steps,
        gap,
    })
}

/// The steps of a list that must have some.
fn inner(
    steps: Option<&[Value]>,
    fields: &Fields<'_>,
    scope: &mut Scope,
    to: &mut Collector<'_>,
) -> Vec<Step> {
    if steps.is_some_and(<[Value]>::is_empty) {
        to.error(
            fields.place(),
            "a list without steps",
            "write at least one step, such as `{wait: 10s}`",
        );
    }
    list(steps.unwrap_or_default(), scope, to)
}

fn parallel(
    fields: &mut Fields<'_>,
    scope: &mut Scope,
    to: &mut Collector<'_>,
) -> Option<Vec<Vec<Step>>> {
    let branches = fields.sequence("parallel", to)?;
    if branches.len() < 2 {
        to.error(
            fields.place(),
            format!("`parallel` with {} lists of steps", branches.len()),
            "give it two lists or more: `[[{...}], [{...}]]`",
        );
    }
    let outside = scope.clone();
    let mut read = Vec::new();
    for branch in branches {
        // What one list does first or last nobody knows, so another cannot name its faults.
        let mut own = outside.clone();
        if let Some(steps) = branch.sequence("a list of steps that run beside others", to) {
            read.push(inner(Some(steps), fields, &mut own, to));
        }
        let begun = own.open.difference(&outside.open).cloned();
        scope.open.extend(begun.collect::<Vec<_>>());
        scope
            .open
            .retain(|name| own.open.contains(name) || !outside.open.contains(name));
    }
    Some(read)
}

fn mix(fields: &mut Fields<'_>, scope: &mut Scope, to: &mut Collector<'_>) -> Option<Mix> {
    let mut fields = fields.mapping("mix", to)?;
    fields.require("for", "5m", to);
    fields.require("choose", "[{weight: 1, fault: ...}]", to);
    let lasts = length(&mut fields, "for", 60 * SECOND, SECOND..=WEEK, to);
    let gap = gap(&mut fields, to).unwrap_or(Gap::NONE);
    let choices = fields.sequence("choose", to);
    if choices.is_some_and(<[Value]>::is_empty) {
        to.error(
            fields.place(),
            "a mix with nothing to choose from",
            "write at least one choice, such as `{weight: 1, fault: kill, on: one, duration: 10s}`",
        );
    }
    let mut choose = Vec::new();
    for value in choices.unwrap_or_default() {
        // Whether a choice is ever made is not known: what it leaves in force has no name outside.
        let mut own = Scope {
            is_repeated: true,
            ..scope.clone()
        };
        choose.extend(choice(value, &mut own, to));
    }
    fields.finish(to);
    Some(Mix { lasts, gap, choose })
}

fn choice(value: &Value, scope: &mut Scope, to: &mut Collector<'_>) -> Option<Choice> {
    let mut fields = value.fields("a choice of a mix", to)?;
    let weight = fields.u64("weight", 1..=WEIGHT_MAX, to).unwrap_or(1);
    let steps = if fields.take("steps").is_some() && fields.take("repeat").is_none() {
        let steps = fields.sequence("steps", to);
        inner(steps, &fields, scope, to)
    } else {
        step(&mut fields, scope, to).into_iter().collect()
    };
    fields.finish(to);
    Some(Choice {
        weight: u32::try_from(weight).unwrap_or(1),
        steps,
    })
}

fn gap(fields: &mut Fields<'_>, to: &mut Collector<'_>) -> Option<Gap> {
    let stagger = fields.take("stagger");
    if fields.take("pause").is_some() {
        if let Some(stagger) = stagger {
            to.error(
                stagger.place,
                "`pause` and `stagger` in one step",
                "keep one of them: `stagger: 10s` is a pause of 0s to 20s",
            );
        }
        let pause = span(fields, "pause", Span::ZERO, Duration::ZERO..=DAY, to);
        return Some(Gap::Pause(pause));
    }
    stagger?;
    let mean = length(fields, "stagger", SECOND, SECOND / 1000..=DAY / 2, to);
    Some(Gap::Stagger(mean))
}

/// A duration, or a range of them: `10s..30s`.
fn span(
    fields: &mut Fields<'_>,
    key: &'static str,
    default: Span,
    range: RangeInclusive<Duration>,
    to: &mut Collector<'_>,
) -> Span {
    let what = format!("`{key}`");
    let Some(value) = fields.take(key) else {
        return default;
    };
    let Some(text) = value.text(&what, to) else {
        return default;
    };
    let Some((min, max)) = text.split_once("..") else {
        let Some(length) = value.duration(&what, to) else {
            return default;
        };
        within(&what, value, length, &range, to);
        return Span::exactly(length);
    };
    let (Some(min), Some(max)) = (parse_duration(min.trim()), parse_duration(max.trim())) else {
        to.error(
            value.place,
            format!("{what} must be a duration or a range, not {}", quoted(text)),
            "write whole numbers with units: `10s`, `10s..30s`",
        );
        return default;
    };
    if min > max {
        to.error(
            value.place,
            format!(
                "{what} is a range that ends before it begins: {}",
                quoted(text)
            ),
            "write the shorter time first",
        );
    }
    within(&what, value, min, &range, to);
    within(&what, value, max, &range, to);
    Span { min, max }
}
