//! A page of Markdown, as far as its commands go.

use std::path::{Path, PathBuf};

/// What becomes of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Means {
    /// It is run.
    Run,
    /// A test does the same.
    TestedBy { file: String, test: String },
    /// It is not run.
    NotRun,
    /// It is a file.
    File(String),
    /// It is an excerpt of a file of ours.
    From(String),
}

impl Means {
    fn parse(line: &str) -> Option<Self> {
        let comment = line.strip_prefix("<!--")?.strip_suffix("-->")?.trim();
        if comment == "run" {
            return Some(Self::Run);
        }
        let (word, rest) = comment.split_once(':')?;
        let rest = rest.trim();
        match word {
            "not run" if !rest.is_empty() => Some(Self::NotRun),
            "file" => Some(Self::File(rest.to_owned())),
            "from" => Some(Self::From(rest.to_owned())),
            "tested by" => {
                let (file, test) = rest.split_once(' ')?;
                Some(Self::TestedBy {
                    file: file.to_owned(),
                    test: test.to_owned(),
                })
            }
            _ => None,
        }
    }
}

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    line: usize,
    pub language: String,
    pub means: Option<Means>,
    lines: Vec<String>,
}

/// A command with what the page says that it prints.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown {
    pub line: String,
    pub output: String,
}

impl Block {
    /// Whether it holds commands.
    pub fn has_commands(&self) -> bool {
        match self.language.as_str() {
            "sh" | "console" => true,
            "yaml" => self.lines.iter().any(|line| of_ci(line).is_some()),
            _ => false,
        }
    }

    pub fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Its commands, in order; a backslash at the end of a line goes on on the next.
    pub fn commands(&self) -> Vec<Shown> {
        let mut all: Vec<Shown> = Vec::new();
        let mut goes_on = false;
        for line in &self.lines {
            let begins = match self.language.as_str() {
                "console" => line.strip_prefix("$ "),
                "yaml" => match of_ci(line) {
                    None => continue,
                    command => command,
                },
                _ if line.trim().is_empty() || line.starts_with('#') => continue,
                _ => Some(line.as_str()),
            };
            match (all.last_mut(), begins) {
                (Some(last), _) if goes_on => last.line.push_str(&format!("\n{line}")),
                (_, Some(command)) => all.push(Shown {
                    line: command.to_owned(),
                    output: String::new(),
                }),
                (Some(last), None) => last.output.push_str(&format!("{line}\n")),
                (None, None) => {}
            }
            goes_on = (begins.is_some() || goes_on) && line.ends_with('\\');
        }
        all
    }

    /// A mistake with its place.
    pub fn at(&self, page: &Page, told: &str) -> String {
        format!("{}:{}: {told}", page.path.display(), self.line)
    }
}

/// A page.
#[derive(Debug)]
pub struct Page {
    pub path: PathBuf,
    pub blocks: Vec<Block>,
    pub links: Vec<String>,
    pub mistakes: Vec<String>,
}

impl Page {
    pub fn parse(path: &Path, text: &str) -> Self {
        let mut page = Self {
            path: path.to_owned(),
            blocks: Vec::new(),
            links: Vec::new(),
            mistakes: Vec::new(),
        };
        let mut above = "";
        let mut lines = (1..).zip(text.lines());
        while let Some((number, line)) = lines.next() {
            if let Some(language) = line.trim_start().strip_prefix("```") {
                let indent = line.len() - line.trim_start().len();
                let mut block = Block {
                    line: number,
                    language: language.trim().to_owned(),
                    means: Means::parse(above.trim()),
                    lines: Vec::new(),
                };
                let mut has_end = false;
                for (_, line) in lines.by_ref() {
                    has_end = line.trim() == "```";
                    if has_end {
                        break;
                    }
                    block
                        .lines
                        .push(line.get(indent..).unwrap_or("").to_owned());
                }
                page.judge(&block, has_end);
                page.blocks.push(block);
            } else {
                page.text(number, line);
            }
            above = line;
        }
        page
    }

    fn text(&mut self, number: usize, line: &str) {
        let is_command =
            |word: &str| matches!(word, "jtest" | "cargo" | "$") || word.starts_with("scripts/");
        let first = line.split_whitespace().next();
        if line.starts_with("    ") && first.is_some_and(is_command) {
            let told = "commands belong into a fenced block, with a comment above that says how it is tested";
            self.mistakes
                .push(format!("{}:{number}: {told}", self.path.display()));
        }
        let links = line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        self.links.extend(links.map(ToOwned::to_owned));
    }

    fn judge(&mut self, block: &Block, has_end: bool) {
        let mut tell = |told: &str| {
            self.mistakes
                .push(format!("{}:{}: {told}", self.path.display(), block.line));
        };
        if !has_end {
            tell("the block has no end");
        }
        if block.language.is_empty() {
            tell("the block has no language; `text` is one");
        }
        let is_told = matches!(
            block.means,
            Some(Means::Run | Means::TestedBy { .. } | Means::NotRun)
        );
        if block.has_commands() && !is_told {
            tell("nothing says how this block is tested; see tests/docs.rs");
        }
        if block.language == "rust" && !matches!(block.means, Some(Means::From(_))) {
            tell("nothing says from which file this is");
        }
        let first = block.lines.first().map_or("", String::as_str);
        if block.language == "console" && !first.starts_with("$ ") {
            tell("a console block begins with `$ ` and a command");
        }
    }
}

/// The first line of an excerpt that a text does not have after those before it; a line `...` is none.
pub fn is_not_in(excerpt: &str, text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim);
    let excerpt = excerpt.lines().map(str::trim);
    let mut wanted = excerpt.filter(|line| !matches!(*line, "" | "..."));
    let missing = wanted.find(|wanted| !lines.any(|line| line == *wanted));
    missing.map(ToOwned::to_owned)
}

/// The command of a line in a CI system's file.
fn of_ci(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("run: ").or(line.strip_prefix("- "))?;
    let first = line.split_whitespace().next()?;
    (first == "jtest" || first.starts_with("scripts/")).then_some(line)
}

/// Whether a command printed what is shown; a line `...` stands for any lines.
pub fn is_as_shown(shown: &str, printed: &str) -> bool {
    let shown: Vec<_> = shown.lines().map(str::trim_end).collect();
    let printed: Vec<_> = printed.lines().map(str::trim_end).collect();
    fits(&shown, &printed)
}

fn fits(shown: &[&str], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((&"...", rest)) => (0..=printed.len()).any(|skipped| fits(rest, &printed[skipped..])),
        Some((line, rest)) => printed
            .split_first()
            .is_some_and(|(first, others)| first == line && fits(rest, others)),
    }
}
