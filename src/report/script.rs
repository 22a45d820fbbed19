//! The scripts of the page, and the policy that lets the browser run these and no other.

use base64ct::{Base64, Encoding};
use plotly::Plot;
use sha2::{Digest, Sha256};

/// What the page itself does.
pub const OWN: &str = include_str!("../../templates/report.js");

/// The script that draws, with its licence (MIT) at its head. The crate gives it as elements, with one for
/// formulas after it, which nothing here needs.
pub fn plotly() -> String {
    let elements = Plot::offline_js_sources();
    let script = elements
        .split_once('>')
        .and_then(|(_, rest)| rest.split_once("</script>"));
    script.map_or_else(String::new, |(script, _)| script.to_owned())
}

/// A Content-Security-Policy under which only these scripts run, and nothing is fetched.
pub fn policy(scripts: &[&str]) -> String {
    let sources: Vec<String> = scripts
        .iter()
        .map(|script| {
            let hash = Base64::encode_string(&Sha256::digest(script.as_bytes()));
            format!("'sha256-{hash}'")
        })
        .collect();
    format!(
        "default-src 'none'; script-src {}; style-src 'unsafe-inline'; img-src data: blob:; \
         base-uri 'none'; form-action 'none'",
        sources.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drawing_script_is_one_and_names_its_licence() {
        let script = plotly();
        assert!(script.len() > 1_000_000 && script.len() < 5_000_000);
        assert!(!script.contains("<script") && !script.contains("</script"));
        assert!(script[..300].contains("Licensed under the MIT license"));
    }

    #[test]
    fn a_hash_is_as_browsers_make_it() {
        // The example of the recommendation CSP Level 2.
        let policy = policy(&["alert('Hello, world.');"]);
        assert!(policy.contains("'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"));
    }
}
