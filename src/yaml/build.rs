//! From the parser's events to the tree, with its bounds.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag};

use super::syntax;
use super::{DEPTH_MAX, Entry, Kind, NODES_MAX, TEXT_BYTES_MAX, Value};
use crate::diagnostic::{Collector, Place, quoted};

/// The tree of a text's only document. `None`: there is none, and `to` was told why.
///
/// Duplicate keys are told too, but leave the tree usable, so that its other mistakes can be found.
pub fn parse(text: &str, to: &mut Collector<'_>) -> Option<Value> {
    if text.len() > TEXT_BYTES_MAX {
        to.error(
            None,
            format!(
                "the file has {} bytes, more than {TEXT_BYTES_MAX}",
                text.len()
            ),
            "is this the right file? an inventory or a scenario has a few kilobytes",
        );
        return None;
    }
    if let Some((place, character)) = syntax::forbidden_character(text) {
        to.error(
            place,
            format!(
                "the character U+{:04X} may not be in a YAML file",
                u32::from(character)
            ),
            "is this the right file? it must be plain text in UTF-8",
        );
        return None;
    }
    let mut builder = Builder::new(to);
    match builder.run(text) {
        Ok(()) => Some(builder.root.unwrap_or(Value {
            place: Place { line: 1, column: 1 },
            defined: 1..=1,
            tag: None,
            kind: Kind::Null,
        })),
        Err(Stop) => None,
    }
}

/// The text cannot become a tree; the collector was told why.
struct Stop;

/// A collection whose end was not yet seen.
struct Open {
    place: Place,
    tag: Option<String>,
    anchor: usize,
    inside: Inside,
}

enum Inside {
    Sequence(Vec<Value>),
    Mapping {
        entries: Vec<Entry>,
        key: Option<(String, Place)>,
    },
}

/// A value that an alias may stand for.
struct Anchored {
    value: Value,
    nodes: usize,
    depth: usize,
}

struct Builder<'c, 't> {
    to: &'c mut Collector<'t>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    documents: usize,
    root: Option<Value>,
}

impl<'c, 't> Builder<'c, 't> {
    fn new(to: &'c mut Collector<'t>) -> Self {
        Self {
            to,
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            documents: 0,
            root: None,
        }
    }

    fn run(&mut self, text: &str) -> Result<(), Stop> {
        let mut options = Options::default();
        options.set_emit_comments(false);
        for event in Parser::new_from_str_with_options(text, options) {
            match event {
                Ok((event, span)) => self.event(event, place_of(&span), span.end.line())?,
                Err(error) => {
                    syntax::report(&error, text, self.to);
                    return Err(Stop);
                }
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, place: Place, end_line: usize) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return self.stop(
                        place,
                        "a second document begins here",
                        "keep one document in a file: remove the `---`",
                    );
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = style != ScalarStyle::Plain;
                let value = Value {
                    place,
                    defined: place.line..=end_line,
                    tag: tag_of(tag.as_deref()),
                    kind: if !quoted && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                        Kind::Null
                    } else {
                        Kind::Scalar {
                            text: text.into_owned(),
                            quoted,
                        }
                    },
                };
                self.node(1, place)?;
                self.complete(value, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.begin(place, anchor, tag.as_deref(), Inside::Sequence(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                let inside = Inside::Mapping {
                    entries: Vec::new(),
                    key: None,
                };
                self.begin(place, anchor, tag.as_deref(), inside)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(end_line),
            Event::Alias(anchor) => self.alias(anchor, place),
            // Stream marks, ends of documents, and metadata that the options leave out.
            _ => Ok(()),
        }
    }

    fn begin(
        &mut self,
        place: Place,
        anchor: usize,
        tag: Option<&Tag>,
        inside: Inside,
    ) -> Result<(), Stop> {
        self.node(1, place)?;
        self.deep(1, place)?;
        self.open.push(Open {
            place,
            tag: tag_of(tag),
            anchor,
            inside,
        });
        Ok(())
    }

    fn end(&mut self, end_line: usize) -> Result<(), Stop> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let kind = match open.inside {
            Inside::Sequence(values) => Kind::Sequence(values),
            Inside::Mapping { entries, .. } => {
                self.duplicates(&entries);
                Kind::Mapping(self.merge(entries))
            }
        };
        let value = Value {
            place: open.place,
            defined: open.place.line..=end_line,
            tag: open.tag,
            kind,
        };
        self.complete(value, open.anchor)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Stop> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return self.stop(
                place,
                "this alias is inside the value that it stands for",
                "write the value out",
            );
        };
        let (nodes, depth) = (anchored.nodes, anchored.depth);
        self.node(nodes, place)?;
        self.deep(depth, place)?;
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Ok(());
        };
        let mut value = anchored.value.clone();
        value.place = place;
        self.complete(value, 0)
    }

    /// Puts a finished value where it belongs.
    fn complete(&mut self, value: Value, anchor: usize) -> Result<(), Stop> {
        if anchor != 0 {
            let (nodes, depth) = measure(&value);
            self.anchors.insert(
                anchor,
                Anchored {
                    value: value.clone(),
                    nodes,
                    depth,
                },
            );
        }
        match self.open.last_mut().map(|open| &mut open.inside) {
            None => self.root = Some(value),
            Some(Inside::Sequence(values)) => values.push(value),
            Some(Inside::Mapping { entries, key }) => match key.take() {
                Some((key, place)) => entries.push(Entry { key, place, value }),
                None => {
                    let place = value.place;
                    let text = match value.kind {
                        Kind::Scalar { text, .. } => text,
                        Kind::Null => String::new(),
                        Kind::Sequence(_) | Kind::Mapping(_) => {
                            return self.stop(
                                place,
                                "a list or a mapping stands where a key should be",
                                "put quotes around text that begins with `{` or `[`, as in \"{{ lookup('env', 'NAME') }}\"",
                            );
                        }
                    };
                    *key = Some((text, place));
                }
            },
        }
        Ok(())
    }

    fn duplicates(&mut self, entries: &[Entry]) {
        let mut first: HashMap<&str, Place> = HashMap::new();
        for entry in entries {
            match first.get(entry.key.as_str()) {
                None => {
                    first.insert(&entry.key, entry.place);
                }
                Some(place) => self.to.error(
                    entry.place,
                    format!(
                        "{} is already on line {} of this mapping",
                        quoted(&entry.key),
                        place.line
                    ),
                    "remove one of the two, or give it a name of its own",
                ),
            }
        }
    }

    /// Merge keys: what they bring gives way to what is written beside them.
    fn merge(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let (merges, mut merged): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.key == "<<");
        if merges.is_empty() {
            return merged;
        }
        let mut keys: HashSet<String> = merged.iter().map(|entry| entry.key.clone()).collect();
        for merge in merges {
            let sources = match merge.value.kind {
                Kind::Sequence(sources) => sources,
                Kind::Null | Kind::Scalar { .. } | Kind::Mapping(_) => vec![merge.value],
            };
            for source in sources {
                let Kind::Mapping(brought) = source.kind else {
                    self.to.error(
                        source.place,
                        "`<<` merges mappings, and this is none",
                        "name an anchored mapping: `<<: *name`",
                    );
                    continue;
                };
                for entry in brought {
                    if keys.insert(entry.key.clone()) {
                        merged.push(entry);
                    }
                }
            }
        }
        merged
    }

    fn node(&mut self, nodes: usize, place: Place) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        self.stop(
            place,
            format!("the file holds more than {NODES_MAX} values once its aliases are resolved"),
            "remove aliases of aliases, or values that nothing needs",
        )
    }

    fn deep(&mut self, levels: usize, place: Place) -> Result<(), Stop> {
        if self.open.len() + levels <= DEPTH_MAX {
            return Ok(());
        }
        self.stop(
            place,
            format!("values are nested deeper than {DEPTH_MAX} levels"),
            "is this the right file? flatten it",
        )
    }

    fn stop(&mut self, place: Place, message: impl AsRef<str>, remedy: &str) -> Result<(), Stop> {
        self.to.error(place, message, remedy);
        Err(Stop)
    }
}

/// How many values, how many levels of collections.
fn measure(value: &Value) -> (usize, usize) {
    let inside: Vec<(usize, usize)> = match &value.kind {
        Kind::Null | Kind::Scalar { .. } => return (1, 0),
        Kind::Sequence(values) => values.iter().map(measure).collect(),
        Kind::Mapping(entries) => entries
            .iter()
            .map(|entry| {
                let (nodes, depth) = measure(&entry.value);
                (nodes + 1, depth)
            })
            .collect(),
    };
    inside
        .into_iter()
        .fold((1, 1), |(nodes, depth), (inner_nodes, inner_depth)| {
            (nodes + inner_nodes, depth.max(inner_depth + 1))
        })
}

/// YAML's own tags say nothing that a reader does not know, and `!unsafe` only tells Ansible
/// not to expand a text.
fn tag_of(tag: Option<&Tag>) -> Option<String> {
    let tag = tag?;
    let shown = tag.original();
    (!tag.is_yaml_core_schema() && shown != "!" && shown != "!unsafe").then_some(shown)
}

fn place_of(span: &Span) -> Place {
    Place {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}
