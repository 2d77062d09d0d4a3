//! Reading server-sent events as they arrive. Source: WHATWG HTML, 9.2.6 Interpreting an event stream.

use anyhow::ensure;

/// More than this in one event is no event of ours.
const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One event of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// `message` if the server gave none.
    pub(super) name: String,
    /// What it carries; may be empty.
    pub(super) data: String,
    /// Where to resume after it.
    pub(super) id: Option<String>,
}

/// The part of the stream that is not a whole event yet.
#[derive(Debug, Default)]
pub(super) struct Parser {
    bytes: Vec<u8>,
    event: Event,
    any: bool,
}

impl Parser {
    /// Takes the bytes that came and gives the events that they complete.
    ///
    /// # Errors
    /// If an event is far too large.
    pub(super) fn push(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<Event>> {
        self.bytes.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.bytes.iter().position(|it| *it == b'\n') {
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            self.line(line.trim_end_matches(['\r', '\n']), &mut events);
        }
        ensure!(
            self.bytes.len() + self.event.data.len() <= EVENT_BYTES_MAX,
            "an event of the stream is too large"
        );
        Ok(events)
    }

    fn line(&mut self, line: &str, events: &mut Vec<Event>) {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.any) {
                events.push(event);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            // Comments keep the connection alive; anything else is of no use here.
            _ => return,
        }
        self.any = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b": hello\n\nretry: 1000\n\nid: 1-7\nevent: ledger.transfer-posted\ndata: {\"a\":\ndata: 1}\n\nid: 1-9\r\n\r\n";

    fn event(name: &str, data: &str, id: &str) -> Event {
        Event { name: name.to_owned(), data: data.to_owned(), id: Some(id.to_owned()) }
    }

    #[test]
    fn events_are_whole_wherever_the_stream_is_cut() {
        let whole = [event("ledger.transfer-posted", "{\"a\":\n1}", "1-7"), event("", "", "1-9")];
        for cut in 0..=STREAM.len() {
            let mut parser = Parser::default();
            let mut events = parser.push(&STREAM[..cut]).unwrap();
            events.extend(parser.push(&STREAM[cut..]).unwrap());
            assert_eq!(events, whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_stream_without_an_end_of_line_does_not_fill_the_memory() {
        let mut parser = Parser::default();
        let chunk = vec![b'x'; 1024 * 1024];
        assert!((0..8).any(|_| parser.push(&chunk).is_err()));
    }
}
