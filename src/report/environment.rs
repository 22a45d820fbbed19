//! What a run needs to be repeated: hosts, versions, configuration files, what the brokers said of
//! themselves at the end.

use std::path::Path;

use super::files;
use crate::inventory::NodeName;
use crate::manifest::Manifest;

/// Bytes of one file that are shown.
const FILE_BYTES_MAX: u64 = 16 << 10;
/// Bytes of all of them.
const BYTES_MAX: usize = 200 << 10;

/// Directories of a node whose files are all shown, and files.
const DIRECTORIES: [&str; 1] = ["config"];
const FILES: [&str; 3] = ["cluster_status.txt", "queues.txt", "status.json"];

/// A file that some nodes have alike.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its path in a node's directory.
    pub name: String,
    /// Whose it is.
    pub nodes: Vec<NodeName>,
    /// What is in it.
    pub text: String,
    /// Whether that is all of it.
    pub is_all: bool,
}

/// The nodes' files, each content once; and how many are left out because there are too many.
pub fn shown(directory: &Path, manifest: &Manifest) -> (Vec<Shown>, usize) {
    let mut shown: Vec<Shown> = Vec::new();
    let (mut bytes, mut left_out) = (0, 0);
    for node in &manifest.nodes {
        let Some(home) = files::of_node(directory, &node.name) else {
            continue;
        };
        for name in wanted(&home) {
            let path = home.join(&name);
            let Some((text, is_all)) = files::beginning(directory, &path, FILE_BYTES_MAX) else {
                continue;
            };
            let text = without_colours(&text);
            let known = shown
                .iter_mut()
                .find(|known| known.name == name && known.text == text);
            if let Some(known) = known {
                known.nodes.push(node.name.clone());
            } else if bytes + text.len() > BYTES_MAX {
                left_out += 1;
            } else {
                bytes += text.len();
                let nodes = vec![node.name.clone()];
                shown.push(Shown {
                    name,
                    nodes,
                    text,
                    is_all,
                });
            }
        }
    }
    (shown, left_out)
}

fn wanted(home: &Path) -> Vec<String> {
    let mut wanted = Vec::new();
    for directory in DIRECTORIES {
        let names = files::names(&home.join(directory));
        wanted.extend(names.iter().map(|name| format!("{directory}/{name}")));
    }
    wanted.extend(FILES.map(str::to_owned));
    wanted
}

/// `RabbitMQ 4.1.4 on Erlang 27.3.4`, as the brokers said when they were asked for the cluster's status;
/// several where they differ.
pub fn versions(shown: &[Shown]) -> Vec<String> {
    let mut versions: Vec<String> = Vec::new();
    let status = shown.iter().filter(|file| file.name == FILES[0]);
    for line in status.flat_map(|file| file.text.lines()) {
        let Some(place) = line.find(": RabbitMQ ") else {
            continue;
        };
        let version: String = line[place + 2..].chars().take(80).collect();
        if version.contains(" on Erlang ") && !versions.contains(&version) {
            versions.push(version);
        }
    }
    versions.truncate(8);
    versions
}

/// Without the sequences that colour a terminal.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|letter: char| !letter.is_ascii_digit() && letter != ';');
        let rest = end.map_or("", |end| &part[end..]);
        plain.push_str(rest.strip_prefix('m').unwrap_or(rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::Run;

    #[test]
    fn a_file_that_nodes_have_alike_is_shown_once() {
        let directory = Run::default().write();
        let path = directory.path();
        for (node, text) in [("n1", "a = 1\n"), ("n2", "a = 1\n"), ("n3", "a = 2\n")] {
            let home = path.join("nodes").join(node);
            std::fs::create_dir_all(home.join("config")).unwrap();
            std::fs::write(home.join("config/rabbitmq.conf"), text).unwrap();
            let status = "\u{1b}[1mVersions\u{1b}[0m\n\nrabbit@n1: RabbitMQ 4.1.4 on Erlang 27\n";
            std::fs::write(home.join("cluster_status.txt"), status).unwrap();
        }
        let manifest = Manifest::read(path).unwrap();
        let (shown, left_out) = shown(path, &manifest);
        let told: Vec<_> = shown
            .iter()
            .map(|file| (file.name.as_str(), file.nodes.len(), file.text.as_str()))
            .collect();
        let status = "Versions\n\nrabbit@n1: RabbitMQ 4.1.4 on Erlang 27\n";
        assert_eq!(
            told,
            [
                ("config/rabbitmq.conf", 2, "a = 1\n"),
                ("cluster_status.txt", 3, status),
                ("config/rabbitmq.conf", 1, "a = 2\n"),
            ]
        );
        assert_eq!(left_out, 0);
        assert_eq!(versions(&shown), ["RabbitMQ 4.1.4 on Erlang 27"]);
    }
}
