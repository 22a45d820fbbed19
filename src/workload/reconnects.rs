//! The connections that a client loses or does not get: how many it may try to replace, and which are worth telling.

/// Counts them.
#[derive(Debug)]
pub(super) struct Reconnects {
    allowed: u32,
    made: u32,
    /// Attempts to connect that failed in a row.
    refused: u32,
}

impl Reconnects {
    /// It may reconnect so often.
    pub(super) fn new(allowed: u32) -> Self {
        Self {
            allowed,
            made: 0,
            refused: 0,
        }
    }

    /// A connection was lost, or none was made. Says whether that is news, as a loss and the first failure after it are; or
    /// why the client has to give up.
    pub(super) fn lost(&mut self, was_connected: bool, reason: &str) -> Result<bool, String> {
        if self.made == self.allowed {
            return Err(format!(
                "{} reconnects did not suffice: {reason}",
                self.made
            ));
        }
        self.made += 1;
        self.refused = if was_connected { 0 } else { self.refused + 1 };
        Ok(self.refused <= 1)
    }

    /// There is a connection; after how many attempts that failed, where that is news.
    pub(super) fn connected(&mut self) -> Option<u32> {
        Some(std::mem::take(&mut self.refused)).filter(|refused| *refused > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_told_once_and_not_for_ever() {
        let mut reconnects = Reconnects::new(4);
        let told: Vec<_> = [false, false, true, false]
            .map(|was_connected| reconnects.lost(was_connected, "refused"))
            .into();
        assert_eq!(told, [Ok(true), Ok(false), Ok(true), Ok(true)]);
        assert_eq!(
            (reconnects.connected(), reconnects.connected()),
            (Some(1), None)
        );
        let gave_up = reconnects.lost(true, "refused").unwrap_err();
        assert_eq!(gave_up, "4 reconnects did not suffice: refused");
    }
}
