//! Every queue of a broker, as its leader has it, in a table for people: `queues.txt`.
//!
//! The broker is asked itself: `rabbitmqctl list_queues` starts an Erlang of its own for that.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;

use super::Member;
use super::evaluate::{evaluate, fill};
use crate::remote::RemoteError;

const QUEUES: &str = concat!(include_str!("vhosts.erl"), include_str!("queues.erl"));

/// What is told of a queue besides its virtual host and its name.
const COLUMNS: [&str; 7] = [
    "type",
    "policy",
    "pid",
    "state",
    "messages_ready",
    "messages_unacknowledged",
    "consumers",
];

/// Queues that are told of; a cluster that is not jtest's may have any number.
const MOST: usize = 1000;

const DEADLINE: Duration = Duration::from_secs(25);

#[derive(Deserialize)]
struct Queues {
    rows: Vec<Vec<String>>,
    /// How many queues there are besides.
    more: u64,
}

/// The table as this node has it.
pub(super) async fn table(member: &Member) -> Result<String, RemoteError> {
    let purpose = "ask the broker for its queues";
    let answer = evaluate(&member.host, purpose, &question(), DEADLINE).await?;
    Ok(written(&answer))
}

fn question() -> String {
    fill(QUEUES, &[])
        .replace("COLUMNS", &format!("[{}]", COLUMNS.join(",")))
        .replace("MOST", &MOST.to_string())
}

fn written(queues: &Queues) -> String {
    let mut text = format!("vhost\tname\t{}\n", COLUMNS.join("\t"));
    for row in &queues.rows {
        let fields: Vec<String> = row.iter().map(|field| plain(field)).collect();
        text.push_str(&fields.join("\t"));
        text.push('\n');
    }
    if queues.more > 0 {
        let _ = writeln!(text, "({} queues more)", queues.more);
    }
    text
}

/// A name from outside, in one field of one line.
fn plain(field: &str) -> String {
    let mut plain = String::new();
    for letter in field.chars() {
        if letter.is_control() || letter == '\\' {
            plain.extend(letter.escape_default());
        } else {
            plain.push(letter);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_its_field() {
        let queues: Queues = serde_json::from_str(
            r#"{"rows": [["/", "a\tb\nc\\d é", "quorum", "", "<rabbit@n1.1.2.3>", "running", "1", "0", "0"],
                         ["other", "q", "does not answer"]], "more": 2}"#,
        )
        .unwrap();
        assert_eq!(
            written(&queues),
            "vhost\tname\ttype\tpolicy\tpid\tstate\tmessages_ready\tmessages_unacknowledged\tconsumers\n\
             /\ta\\tb\\nc\\\\d é\tquorum\t\t<rabbit@n1.1.2.3>\trunning\t1\t0\t0\n\
             other\tq\tdoes not answer\n\
             (2 queues more)\n"
        );
    }
}
