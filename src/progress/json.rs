//! Each event as a line of JSON.

use std::io::Write;

use super::aside::View;
use crate::event::Record;

pub(super) struct Json<W> {
    out: W,
}

impl<W: Write> Json<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write + Send + 'static> View for Json<W> {
    fn show(&mut self, record: &Record) {
        // A reader that has seen enough must not stop a run.
        let _nobody_to_tell = serde_json::to_vec(record)
            .map_err(std::io::Error::from)
            .and_then(|mut line| {
                line.push(b'\n');
                self.out.write_all(&line)?;
                self.out.flush()
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Stage};

    #[test]
    fn a_line_is_an_event_as_the_file_has_it() {
        let record = Record {
            time: 12,
            event: Event::StageBegan { stage: Stage::Load },
        };
        let mut json = Json::new(Vec::new());
        json.show(&record);
        assert_eq!(
            String::from_utf8(json.out).unwrap(),
            "{\"time\":12,\"event\":\"stage-began\",\"stage\":\"load\"}\n"
        );
    }
}
