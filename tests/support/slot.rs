//! Which of several labs a test has: those that nextest lets run side by side have a slot each.

/// The labs that the first of these variables names, divided by blanks, that of this test's slot first.
pub fn labs(variables: &[&str]) -> Vec<String> {
    let named = variables.iter().find_map(|name| std::env::var(name).ok());
    let named = named.filter(|labs| !labs.trim().is_empty());
    let labs = named.unwrap_or_else(|| {
        panic!(
            "{} names a lab that is up (`scripts/lab --name NAME up`); scripts/test sets it",
            variables.join(" or ")
        )
    });
    let slot = std::env::var("NEXTEST_TEST_GROUP_SLOT").ok();
    let slot: usize = slot.and_then(|slot| slot.parse().ok()).unwrap_or(0);
    let mut labs: Vec<_> = labs.split_whitespace().map(str::to_owned).collect();
    let first = slot % labs.len();
    labs.rotate_left(first);
    labs
}
