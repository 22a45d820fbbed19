//! `report.html` in a real browser: runs of every kind, and runs that mean harm.
//!
//! What the pages look like is written to `report/` in cargo's directory for tests, for people.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "report/browser.rs"]
mod browser;
#[path = "report/run.rs"]
mod run;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use browser::{Browser, Look, Tab};
use jtest::scenario::WorkloadKind;
use run::{Run, SECOND};

/// What a page may weigh.
const BYTES_MAX: u64 = 8_000_000;

/// What a browser can open in a second, whatever the length of the run.
const ELEMENTS_MAX: u64 = 30_000;
const POINTS_MAX: u64 = 20_000;

const LIGHT: Look = Look {
    width: 1200,
    dark: false,
    media: "screen",
};
const DARK: Look = Look {
    dark: true,
    ..LIGHT
};
const PHONE: Look = Look {
    width: 400,
    ..LIGHT
};
const PAPER: Look = Look {
    width: 720,
    dark: true,
    media: "print",
};

/// Writes the report of a run directory as a person does.
fn report(directory: &Path) -> PathBuf {
    let output = Command::new(env!("CARGO_BIN_EXE_jtest"))
        .arg("report")
        .arg(directory)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let page = directory.join("report.html");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.trim(), page.display().to_string());
    let bytes = fs::metadata(&page).unwrap().len();
    assert!(bytes < BYTES_MAX, "{bytes}");
    page
}

/// A page without a complaint, with its verdict and its plots, seen in every light.
fn seen(browser: &mut Browser, name: &str, run: &Run) {
    let directory = run.write();
    let page = report(directory.path());
    let bytes = fs::metadata(&page).unwrap().len();
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    let mut tab = browser.open(&page, LIGHT);
    assert_eq!(
        tab.evaluate("document.querySelector('h1').textContent"),
        verdict(name)
    );
    let drawn = tab.evaluate("performance.now()");
    let opened = tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd");
    let elements = count(&mut tab, "*");
    let points = tab
        .evaluate(
            "document.getElementById('plot').data.reduce((sum, trace) => sum + trace.x.length, 0)",
        )
        .as_u64()
        .unwrap();
    println!(
        "{name}: {bytes} bytes, {elements} elements, {points} points, opened in {opened} ms, drawn by {drawn} ms"
    );
    assert!(elements < ELEMENTS_MAX && points < POINTS_MAX);
    assert!(
        tab.evaluate("document.querySelectorAll('#plot .scatterlayer .trace').length")
            .as_u64()
            >= Some(1)
    );
    for (kind, look) in [
        ("light", LIGHT),
        ("dark", DARK),
        ("phone", PHONE),
        ("paper", PAPER),
    ] {
        tab.look(look);
        // What follows the look is drawn by then.
        tab.evaluate("new Promise((done) => setTimeout(done, 300))");
        let picture = pictures.join(format!("{name}-{kind}.png"));
        let height = tab
            .evaluate("document.documentElement.scrollHeight")
            .as_u64()
            .unwrap();
        tab.screenshot(
            &picture,
            look.width,
            u32::try_from(height.min(6000)).unwrap(),
        );
        let width = tab.evaluate("document.documentElement.scrollWidth");
        assert!(
            width.as_u64() <= Some(look.width.into()),
            "{name}, {kind}: {width}"
        );
        let page = tab.evaluate("getComputedStyle(document.body).backgroundColor");
        let is_dark = page != "rgb(255, 255, 255)";
        assert_eq!(is_dark, kind == "dark", "{name}, {kind}: {page}");
    }
    assert_eq!(tab.complaints(), [""; 0]);
}

fn verdict(name: &str) -> &str {
    match name {
        "valid" | "huge" => "valid",
        "invalid" | "fifo" => "invalid",
        _ => "unknown",
    }
}

#[test]
fn runs_of_every_kind_are_pages_that_work() {
    let mut browser = Browser::start();
    seen(&mut browser, "valid", &Run::default());
    seen(
        &mut browser,
        "invalid",
        &Run {
            loses: true,
            ..Run::default()
        },
    );
    seen(
        &mut browser,
        "unknown",
        &Run {
            proven: false,
            ..Run::default()
        },
    );
    seen(
        &mut browser,
        "fifo",
        &Run {
            kind: WorkloadKind::Fifo,
            load_s: 5,
            ..Run::default()
        },
    );
    let empty = Run {
        load_s: 0,
        faults: 0,
        ..Run::default()
    };
    seen(&mut browser, "empty", &empty);
}

#[test]
fn a_long_run_is_no_larger_than_a_page_can_be() {
    let long = Run {
        load_s: 8 * 3600,
        pace: SECOND,
        faults: 300,
        words: "many words of evidence ".repeat(20),
        line: format!("<{}>", "a long line & more ".repeat(12)),
        lines_per_s: 1,
        ..Run::default()
    };
    seen(&mut Browser::start(), "huge", &long);
}

fn count(tab: &mut Tab<'_>, rows: &str) -> u64 {
    tab.evaluate(&format!("document.querySelectorAll({rows:?}).length"))
        .as_u64()
        .unwrap()
}

fn set(tab: &mut Tab<'_>, id: &str, value: &str) {
    tab.evaluate(&format!(
        "{{ const element = document.getElementById({id:?}); element.value = {value:?}; \
         for (const kind of ['input', 'change']) element.dispatchEvent(new Event(kind)); }}"
    ));
}

#[test]
fn logs_are_searched_and_follow_the_plots() {
    let directory = Run {
        loses: true,
        ..Run::default()
    }
    .write();
    let page = report(directory.path());
    let mut browser = Browser::start();
    let mut tab = browser.open(&page, LIGHT);
    let all = count(&mut tab, "#log tbody tr");
    assert_eq!(all, 5 * 60 + 5 + 5 + 4);

    set(&mut tab, "search", "AUTOHEAL");
    assert_eq!(count(&mut tab, "#log tbody tr"), 2);
    set(&mut tab, "search", "");
    set(&mut tab, "log-node", "0");
    set(&mut tab, "level", "0");
    assert_eq!(count(&mut tab, "#log tbody tr"), 5);
    set(&mut tab, "level", "3");
    set(&mut tab, "log-node", "all");

    // A moment is picked as a click into a plot does.
    tab.evaluate("document.getElementById('plot').emit('plotly_click', {points: [{x: 51.2}]})");
    set(&mut tab, "around", "1");
    let first = tab.evaluate("document.querySelector('#log tbody tr').cells[0].textContent");
    assert_eq!(first, "51.000 s");
    assert_eq!(count(&mut tab, "#log tbody tr"), 5 * 2 + 4);

    // The buttons of a fault show its time in all plots, and the logs follow.
    tab.evaluate("document.querySelector('button.show').click()");
    set(&mut tab, "when", "shown");
    let range = tab.evaluate("document.getElementById('plot').layout.xaxis.range");
    assert_eq!(range, serde_json::json!([25, 55]));
    assert_eq!(count(&mut tab, "#log tbody tr"), 5 * 31 + 5 + 4);

    // One node's clients alone.
    let sum = "document.getElementById('plot').data[0].y.reduce((sum, rate) => sum + rate)";
    let of_all = tab.evaluate(sum).as_f64().unwrap();
    set(&mut tab, "node", "4");
    let of_one = tab.evaluate(sum).as_f64().unwrap();
    assert!(
        of_one > 1000.0 && of_one < of_all / 3.0,
        "{of_one} of {of_all}"
    );
    assert_eq!(tab.complaints(), [""; 0]);
}

/// Would do something wherever it is taken for markup, an attribute or a script.
const HOSTILE: &str = "</script></title></style></textarea>--><script>window.harm = 1; alert(1)</script>\
    <img src=x onerror=\"window.harm=1\">'\"><svg onload=window.harm=1><a href=\"javascript:window.harm=1\">x</a>";

#[test]
fn hostile_text_does_nothing() {
    let run = Run {
        // A name that is also one of a directory, and one that leads out of it.
        nodes: [&HOSTILE.replace('/', ""), "../../n2", "n3", "<b>n4</b>"]
            .map(str::to_owned)
            .into(),
        loses: true,
        words: HOSTILE.to_owned(),
        line: format!("node rabbit@n1 down: {HOSTILE} \u{2028} \u{1b}[2J"),
        ..Run::default()
    };
    let directory = run.write();
    let page = report(directory.path());
    let mut browser = Browser::start();
    let mut tab = browser.open(&page, LIGHT);
    // All of it is there, as text.
    let text = tab.evaluate("document.body.innerText + document.getElementById('log').textContent");
    assert!(text.as_str().unwrap().contains("<img src=x onerror="));
    assert!(count(&mut tab, "#log tbody tr") > 100);
    // The names of nodes stand beside the plots, and over what is pointed at.
    let labels = tab.evaluate(
        "[...document.querySelectorAll('.y3tick text')].map((tick) => tick.textContent).join()",
    );
    assert!(labels.as_str().unwrap().contains("<b>n4</b>"), "{labels}");
    tab.evaluate("Plotly.Fx.hover('plot', {xval: 32, yval: 0}, ['xy3'])");
    tab.evaluate("document.querySelector('button.show').click()");
    tab.evaluate("new Promise((done) => setTimeout(done, 300))");
    assert_eq!(count(&mut tab, "script"), 3);
    assert_eq!(
        count(
            &mut tab,
            "img, iframe, object, [onerror], [onload], a[href^=javascript]"
        ),
        0
    );
    assert_eq!(tab.evaluate("typeof window.harm"), "undefined");
    assert_eq!(tab.complaints(), [""; 0]);
}

/// `jtest serve`, ended with the test.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(runs: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_jtest"))
            .args(["serve", "--port", "0", "--runs"])
            .arg(runs)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut said).unwrap();
        let url = said.split(' ').next().unwrap().to_owned();
        Self { child, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _it_may_be_gone = self.child.kill();
        let _it_may_be_gone = self.child.wait();
    }
}

#[test]
fn a_served_report_works_and_hostile_text_in_it_does_nothing() {
    let run = Run {
        loses: true,
        words: HOSTILE.to_owned(),
        line: format!("node rabbit@n1 down: {HOSTILE}"),
        ..Run::default()
    };
    let (runs, written) = (tempfile::tempdir().unwrap(), run.write());
    report(written.path());
    let mut check = Command::new(env!("CARGO_BIN_EXE_jtest"));
    let judged = check.arg("check").arg(written.path()).output().unwrap();
    assert_eq!(judged.status.code(), Some(1));
    let scenario = runs.path().join("partitions");
    fs::create_dir(&scenario).unwrap();
    fs::rename(written.keep(), scenario.join("20261126T101112Z")).unwrap();

    let server = Server::start(runs.path());
    let mut browser = Browser::start();
    let mut tab = browser.visit(&server.url, LIGHT);
    let verdict = tab.evaluate("document.querySelector('table').innerText");
    assert!(verdict.as_str().unwrap().contains("invalid"), "{verdict}");
    assert_eq!(tab.complaints(), [""; 0]);
    tab.follow("document.querySelector('a[href$=\"/report.html\"]').click()");
    assert_eq!(
        tab.evaluate("document.querySelector('h1').textContent"),
        "invalid"
    );
    assert!(count(&mut tab, "#plot .scatterlayer .trace") > 0);
    set(&mut tab, "search", "AUTOHEAL");
    assert_eq!(count(&mut tab, "#log tbody tr"), 2);
    tab.evaluate("document.querySelector('button.show').click()");
    let range = tab.evaluate("document.getElementById('plot').layout.xaxis.range");
    assert_eq!(range, serde_json::json!([25, 55]));
    assert_eq!(count(&mut tab, "img, iframe, [onerror], [onload]"), 0);
    assert_eq!(tab.evaluate("typeof window.harm"), "undefined");
    assert_eq!(tab.evaluate("window.origin"), "null");
    assert_eq!(tab.complaints(), [""; 0]);
}

#[test]
fn a_script_that_is_not_the_pages_own_is_refused() {
    let directory = Run::default().write();
    let page = report(directory.path());
    let text = fs::read_to_string(&page).unwrap();
    let harm = "<script>window.harm = 1</script><img src=x onerror='window.harm = 1'></main>";
    fs::write(&page, text.replace("</main>", harm)).unwrap();
    let mut browser = Browser::start();
    let mut tab = browser.open(&page, LIGHT);
    assert_eq!(count(&mut tab, "script"), 4);
    assert_eq!(tab.evaluate("typeof window.harm"), "undefined");
    assert!(
        tab.evaluate("document.querySelectorAll('#plot .trace').length")
            .as_u64()
            > Some(0)
    );
    assert!(
        tab.complaints()
            .iter()
            .any(|told| told.contains("Content Security Policy"))
    );
}

#[test]
fn a_run_that_broke_off_has_a_report() {
    let directory = Run {
        loses: true,
        ..Run::default()
    }
    .write();
    let path = directory.path();
    fs::remove_dir_all(path.join("nodes")).unwrap();
    for file in ["history.arrow", "events.jsonl"] {
        let bytes = fs::read(path.join(file)).unwrap();
        fs::write(path.join(file), &bytes[..bytes.len() * 2 / 3]).unwrap();
    }
    let page = report(path);
    let mut browser = Browser::start();
    let mut tab = browser.open(&page, LIGHT);
    assert_eq!(
        tab.evaluate("document.querySelector('h1').textContent"),
        "unknown"
    );
    assert_eq!(count(&mut tab, "#log tbody tr"), 0);
    assert_eq!(tab.complaints(), [""; 0]);
}
