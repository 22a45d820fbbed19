//! The documentation does what it says: its commands are run here, or covered by a test on hosts, or marked
//! as not run, with the reason.
//!
//! A comment right above a fenced block says which:
//!
//! - `<!-- run -->`: every command is run here, and has to succeed. In a `console` block what it prints is
//!   compared; a line `...` stands for any lines.
//! - `<!-- tested by: FILE TEST -->`: that test does the same on hosts.
//! - `<!-- not run: REASON -->`.
//! - `<!-- file: NAME -->`: the block is a file of this name, which the page's commands find.
//! - `<!-- from: FILE -->`: the block is an excerpt; its lines are in that file, in this order. All `rust` is.
//!
//! A block of commands (`sh` or `console`, and the `yaml` of a CI system) with none of them fails. Whichever
//! it is, what a block says to `jtest` has to be a command line that jtest takes. Each page has a directory
//! of its own, in which `runs` holds what the run in `tests/docs` left; `tests/docs/record` makes it anew.
//!
//! With `JTEST_DOCS=write` in the environment what the commands print is written into the pages.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

#[path = "docs/page.rs"]
mod page;
#[path = "docs/session.rs"]
mod session;

use std::fs;
use std::path::{Path, PathBuf};

use page::{Block, Means, Page, Shown};
use session::Session;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page of the documentation, by its path below the root.
fn pages() -> Vec<Page> {
    let mut paths = vec![
        PathBuf::from("README.md"),
        PathBuf::from("ARCHITECTURE.md"),
        PathBuf::from("provisioning/cloud/README.md"),
    ];
    for directory in ["docs", "docs/guides"] {
        for entry in fs::read_dir(root().join(directory)).unwrap() {
            let path = Path::new(directory).join(entry.unwrap().file_name());
            if path.extension().is_some_and(|extension| extension == "md") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let read = |path: PathBuf| Page::parse(&path, &fs::read_to_string(root().join(&path)).unwrap());
    paths.into_iter().map(read).collect()
}

/// Fails with all that was found.
fn assert_none(mistakes: Vec<String>) {
    assert!(mistakes.is_empty(), "\n{}\n", mistakes.join("\n"));
}

#[test]
fn every_block_of_commands_says_how_it_is_tested() {
    let pages = pages();
    let mistakes: Vec<_> = pages
        .iter()
        .flat_map(|page| page.mistakes.clone())
        .collect();
    assert_none(mistakes);
    let blocks = pages.iter().flat_map(|page| &page.blocks);
    let run = blocks
        .filter(|block| block.means == Some(Means::Run))
        .count();
    assert!(run >= 10, "only {run} blocks are run");
}

#[test]
fn a_test_that_a_block_names_exists() {
    let mut mistakes = Vec::new();
    for page in pages() {
        for block in &page.blocks {
            let Some(Means::TestedBy { file, test }) = &block.means else {
                continue;
            };
            let text = fs::read_to_string(root().join(file)).unwrap_or_default();
            if !text.contains(&format!("fn {test}()")) {
                mistakes.push(block.at(&page, &format!("there is no test `{test}` in {file}")));
            }
        }
    }
    assert_none(mistakes);
}

#[test]
fn an_excerpt_is_what_the_source_says() {
    let mut mistakes = Vec::new();
    for page in pages() {
        for block in &page.blocks {
            let Some(Means::From(file)) = &block.means else {
                continue;
            };
            let text = fs::read_to_string(root().join(file)).unwrap_or_default();
            if let Some(line) = page::is_not_in(&block.text(), &text) {
                mistakes.push(block.at(&page, &format!("{file} does not say `{line}` here")));
            }
        }
    }
    assert_none(mistakes);
}

#[test]
fn jtest_takes_every_command_line() {
    let mut mistakes = Vec::new();
    for page in pages() {
        let session = Session::new();
        for block in page.blocks.iter().filter(|block| block.has_commands()) {
            for command in block.commands() {
                if let Err(mistake) = session.parses(&command.line) {
                    mistakes.push(block.at(&page, &format!("`{}`: {mistake}", command.line)));
                }
            }
        }
    }
    assert_none(mistakes);
}

#[test]
fn what_is_marked_as_run_runs_and_prints_what_is_shown() {
    let mut mistakes = Vec::new();
    for page in pages() {
        let session = Session::new();
        for block in &page.blocks {
            match &block.means {
                Some(Means::File(name)) => session.write(name, &block.text()),
                Some(Means::Run) => {
                    for command in block.commands() {
                        mistakes.extend(run(&session, &page, block, &command));
                    }
                }
                _ => {}
            }
        }
    }
    assert_none(mistakes);
}

fn run(session: &Session, page: &Page, block: &Block, command: &Shown) -> Option<String> {
    let printed = match session.run(&command.line) {
        Err(printed) => {
            let told = format!("`{}` failed:\n{printed}", command.line);
            return Some(block.at(page, &told));
        }
        Ok(printed) => printed,
    };
    if block.language != "console" || page::is_as_shown(&command.output, &printed) {
        return None;
    }
    if std::env::var("JTEST_DOCS").is_ok_and(|what| what == "write") {
        let path = root().join(&page.path);
        let text = fs::read_to_string(&path).unwrap();
        let shown = format!("$ {}\n{}", command.line, command.output);
        assert_eq!(text.matches(&shown).count(), 1, "{shown}");
        let printed: String = printed
            .lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect();
        let now = text.replace(&shown, &format!("$ {}\n{printed}", command.line));
        fs::write(&path, now).unwrap();
        return None;
    }
    let told = format!("`{}` prints:\n{printed}", command.line);
    Some(block.at(page, &told))
}

#[test]
fn every_link_leads_somewhere() {
    let mut mistakes = Vec::new();
    for page in pages() {
        let home = page.path.parent().unwrap();
        for link in &page.links {
            let path = link.split('#').next().unwrap();
            let is_outside = link.contains("://") || link.starts_with("mailto:");
            if !is_outside && !path.is_empty() && !root().join(home).join(path).exists() {
                mistakes.push(format!("{}: there is no {link}", page.path.display()));
            }
        }
    }
    assert_none(mistakes);
}

#[test]
fn a_page_that_breaks_the_rules_is_told() {
    let check = |text: &str, expected: &str| {
        let page = Page::parse(Path::new("page.md"), text);
        let told = page.mistakes.join("\n");
        assert!(told.contains(expected), "{text}\n{told}");
    };
    check("```sh\njtest faults\n```\n", "page.md:1: nothing says");
    check("```\nsome\n```\n", "page.md:1: the block has no language");
    check("text\n\n    jtest faults\n", "page.md:3: commands belong");
    check(
        "<!-- not run: -->\n```sh\njtest\n```\n",
        "page.md:2: nothing says",
    );
    check(
        "<!-- runs -->\n```sh\njtest\n```\n",
        "page.md:2: nothing says",
    );
    check("```sh\njtest\n", "page.md:1: the block has no end");
    check(
        "<!-- run -->\n```console\njtest\n```\n",
        "page.md:2: a console block begins with `$ `",
    );

    check(
        "```yaml\nrun: jtest faults\n```\n",
        "page.md:1: nothing says",
    );

    let page = Page::parse(
        Path::new("page.md"),
        "<!-- run -->\n```console\n$ jtest \\\n    faults   # all\nloss\n...\n```\n",
    );
    let commands = page.blocks[0].commands();
    assert_eq!(commands[0].line, "jtest \\\n    faults   # all");
    assert!(page::is_as_shown(
        &commands[0].output,
        "loss\nmore\nand more\n"
    ));
    assert!(!page::is_as_shown(&commands[0].output, "more\nloss\n"));
    assert!(!page::is_as_shown("a\n", "a\nb\n"));
    assert!(!page::is_as_shown("...\nb\n", "a\nb\nc\n"));
    assert!(page::is_as_shown("...\nb\n", "a\nb\n"));

    let source = "fn a() {\n    b();\n}\nfn c() {}\n";
    assert_eq!(
        page::is_not_in("a() {\nfn c() {}\n", source),
        Some("a() {".to_owned())
    );
    assert_eq!(
        page::is_not_in("fn a() {\n    ...\nfn c() {}\n", source),
        None
    );
    assert!(page::is_not_in("fn c() {}\nfn a() {\n", source).is_some());

    let session = Session::new();
    assert!(session.parses("jtest run --inventori lab.yaml").is_err());
    assert!(session.parses("jtest fault inject | less").is_ok());
    assert!(
        session
            .parses("cargo run --release -- faults --mark")
            .is_err()
    );
    assert!(session.parses("scripts/nothing up").is_err());
    assert!(
        session
            .parses("jtest plan --seed ${{ github.run_number }}")
            .is_ok()
    );
    assert!(
        session
            .parses("ssh $control jtest plan --seed $N --node 3")
            .is_err()
    );
    assert!(
        session
            .run("jtest scenarios | grep -q '^partitions '")
            .is_ok()
    );
    assert!(session.run("jtest scenarios nothing").is_err());
}
