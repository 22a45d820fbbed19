//! JSON that stands inside a page.

use serde::Serialize;

/// JSON without any character that HTML could take for its own, so that no text in it can end the element
/// that it stands in.
///
/// # Errors
///
/// The value cannot be written as JSON.
pub fn json(value: &impl Serialize) -> serde_json::Result<String> {
    let plain = serde_json::to_string(value)?;
    let mut text = String::with_capacity(plain.len());
    for letter in plain.chars() {
        match letter {
            // Outside of strings JSON has none of them, and inside they may be written so.
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            _ => text.push(letter),
        }
    }
    Ok(text)
}

/// How many bytes a text takes at most as [`json`].
pub fn json_length(text: &str) -> usize {
    let bytes = text.chars().map(|letter| match letter {
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => 6,
        '"' | '\\' => 2,
        letter if letter.is_control() => 6,
        letter => letter.len_utf8(),
    });
    bytes.sum::<usize>() + 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_means_the_same_and_holds_no_markup(text in ".*") {
            let hostile = format!("</script><!--{text}&");
            let written = json(&hostile).unwrap();
            prop_assert!(!written.contains(['<', '>', '&']));
            prop_assert!(written.len() <= json_length(&hostile));
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), hostile);
        }
    }
}
