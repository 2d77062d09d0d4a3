//! Frames of an event stream, as bytes.

use bytes::Bytes;
use event_schemas::envelope::LogPosition;

/// How long a client waits before it comes back, in milliseconds.
pub(super) const RETRY_MS: u32 = 1_000;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Where to resume after it.
    pub(crate) id: LogPosition,
    /// Its name.
    pub(crate) name: String,
    /// What it carries, as JSON text.
    pub(crate) data: String,
}

impl Frame {
    /// Writes it behind others.
    pub(super) fn write(&self, text: &mut String) {
        text.push_str(&format!("id: {}\nevent: {}\n", self.id, self.name));
        // A line break within the text would end the field; clients put the lines together again.
        for line in self.data.split(['\n', '\r']) {
            text.push_str("data: ");
            text.push_str(line);
            text.push('\n');
        }
        text.push('\n');
    }
}

/// What every stream begins with.
pub(super) fn opening(at: LogPosition) -> Bytes {
    Bytes::from(format!("retry: {RETRY_MS}\nid: {at}\n\n"))
}

/// Moves the place to resume at without an event: clients keep the `id` of a block without data and dispatch nothing.
/// The comment keeps intermediaries from closing the connection.
pub(super) fn place(at: LogPosition) -> Bytes {
    Bytes::from(format!(":\nid: {at}\n\n"))
}

/// The server's own last word; no type of event has a name without a dot.
pub(super) fn farewell(name: &str, at: LogPosition) -> Bytes {
    let mut text = String::new();
    let data = serde_json::json!({ "resume_after": at.to_string() }).to_string();
    Frame { id: at, name: name.to_owned(), data }.write(&mut text);
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: LogPosition = LogPosition { epoch: 1, position: 7 };

    #[test]
    fn a_frame_is_what_the_standard_says() {
        let mut text = String::new();
        Frame { id: AT, name: "a.b-c".to_owned(), data: "{\n\"d\": 1}".to_owned() }.write(&mut text);
        assert_eq!(text, "id: 1-7\nevent: a.b-c\ndata: {\ndata: \"d\": 1}\n\n");
        assert_eq!(opening(AT), "retry: 1000\nid: 1-7\n\n");
        assert_eq!(place(AT), ":\nid: 1-7\n\n");
        assert_eq!(farewell("goodbye", AT), "id: 1-7\nevent: goodbye\ndata: {\"resume_after\":\"1-7\"}\n\n");
    }
}
