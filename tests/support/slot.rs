//! Which of several labs a test has: those that nextest lets run side by side have a slot each.

/// Of the labs that the first of these variables names, divided by blanks, the one of this test's slot.
pub fn lab(variables: &[&str]) -> String {
    let named = variables.iter().find_map(|name| std::env::var(name).ok());
    let labs = named.unwrap_or_else(|| {
        panic!(
            "{} names a lab that is up (`scripts/lab --name NAME up`); scripts/test sets it",
            variables.join(" or ")
        )
    });
    let slot = std::env::var("NEXTEST_TEST_GROUP_SLOT").ok();
    let slot = slot.and_then(|slot| slot.parse().ok()).unwrap_or(0);
    let labs: Vec<_> = labs.split_whitespace().collect();
    labs[slot % labs.len()].to_owned()
}
