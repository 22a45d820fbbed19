//! Asking a broker itself, in its own language.
//!
//! A question is an Erlang expression, given through standard input so that it may hold
//! a secret; names and secrets go into it as bytes, so that they cannot be code. Its value comes
//! back as JSON, written out in hexadecimal digits, which pass every way of printing unharmed; in several strings, since a
//! list of more than 65,535 characters is no string to every one of them.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::SHELL;
use crate::remote::{Host, RemoteError, Script};

/// What the way to the broker and back may take beyond the broker's own time.
const GRACE: Duration = Duration::from_secs(5);

/// Of an answer, in one string.
const PART_BYTES: usize = 16_384;

/// A text as an Erlang binary.
pub(super) fn binary(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
    format!("<<{}>>", bytes.join(","))
}

/// Texts as a list of Erlang binaries.
pub(super) fn list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| binary(text)).collect();
    format!("[{}]", texts.join(","))
}

/// An expression's text with its lines of comment left out and words replaced by binaries.
pub(super) fn fill(template: &str, words: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for line in template.lines().filter(|line| !line.starts_with("%%")) {
        text.push_str(line);
        text.push('\n');
    }
    for (word, value) in words {
        text = text.replace(word, &binary(value));
    }
    text
}

/// The same with one word more, replaced by a list of binaries.
pub(super) fn fill_list(
    template: &str,
    words: &[(&str, &str)],
    word: &str,
    values: &[String],
) -> String {
    fill(template, words).replace(word, &list(values))
}

/// Evaluates an expression in the broker on a host; its value is what `rabbit_json` can write.
pub(super) async fn evaluate<T: DeserializeOwned>(
    host: &Host,
    purpose: &str,
    expression: &str,
    deadline: Duration,
) -> Result<T, RemoteError> {
    let script = Script::new(purpose, format!("{SHELL}\nrabbit_ask \"$1\""))
        .arg(deadline.as_secs().to_string())
        .stdin(wrapped(expression))
        .deadline(deadline + GRACE);
    let said = host.run(&script).await?.text();
    understand(&said).map_err(|reason| RemoteError::Rejected {
        node: host.node().clone(),
        purpose: purpose.to_owned(),
        reason,
    })
}

pub(super) fn wrapped(expression: &str) -> String {
    format!(
        "Value = begin\n{expression}end,\n\
         JsonParts = fun JsonParts(<<Part:{PART_BYTES}/binary, Rest/binary>>) -> [Part | JsonParts(Rest)]; JsonParts(Rest) -> [Rest] end,\n\
         [lists:flatten([io_lib:format(\"~2.16.0b\", [Byte]) || <<Byte>> <= Part])\n\
             || Part <- JsonParts(iolist_to_binary(rabbit_json:encode(Value)))].\n"
    )
}

pub(super) fn understand<T: DeserializeOwned>(said: &str) -> Result<T, String> {
    let strange = || {
        let shown: String = said.chars().take(300).collect();
        format!("the broker answered {shown:?}")
    };
    let value = said.trim().strip_prefix("{ok").ok_or_else(strange)?;
    // Long texts may be printed as several strings, one a line.
    let digits: Vec<u8> = value.bytes().filter(u8::is_ascii_hexdigit).collect();
    let json: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    serde_json::from_slice(&json.ok_or_else(strange)?)
        .map_err(|error| format!("{} ({error})", strange()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_data() {
        let name = "q\">>, os:cmd(\"id\"), <<\"\n.";
        let text = fill("%% NAME\nf(NAME)", &[("NAME", name)]);
        assert!(text.starts_with("f(<<113,34,62,"), "{text}");
        assert!(!text.contains("cmd") && !text.contains("%%"), "{text}");
    }

    #[test]
    fn a_word_can_stand_for_a_list() {
        let names = ["a", "b"].map(str::to_owned);
        let text = fill_list("f(VHOST, QUEUES)", &[("VHOST", "/")], "QUEUES", &names);
        assert_eq!(text, "f(<<47>>, [<<97>>,<<98>>])\n");
        assert_eq!(fill_list("QUEUES", &[], "QUEUES", &[]), "[]\n");
    }

    #[test]
    fn both_ways_of_printing_are_read() {
        for said in [
            "{ok, \"5b312c2278225d\"}",
            "{ok,\"5b312c\"\n    \"2278225d\"}\n",
            "{ok, [\"5b312c\", \"2278225d\"]}",
            "{ok,[\"5b312c\",\n     \"2278225d\",[]]}\n",
        ] {
            assert_eq!(
                understand::<(u8, String)>(said),
                Ok((1, "x".into())),
                "{said}"
            );
        }
    }

    #[test]
    fn an_error_is_told_as_it_came() {
        let error = understand::<u8>("{error, \"*** eval: {'EXIT',undef}\"}").unwrap_err();
        assert!(error.contains("undef"), "{error}");
        for strange in [
            "",
            "{ok, \"5\"}",
            "{ok, \"5b\"}",
            "{ok, never}",
            "Error: no",
        ] {
            assert!(understand::<u8>(strange).is_err(), "{strange}");
        }
    }
}
