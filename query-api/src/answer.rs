//! What goes out: JSON with a tag of its content, and texts that are written while they are read.

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use event_schemas::envelope::LogPosition;
use futures_util::Stream;
use read_models::in_epoch;
use serde::Serialize;
use service_kit::problem::Problem;

use crate::reading::{Conditions, QUIPU_POSITION, Reading, position_header};

/// Bytes of the hash that a tag shows.
const TAG_BYTES: usize = 16;

/// Ends the read and answers with its result, or with 304 if the client has it.
pub(crate) async fn json<T: Serialize>(
    reading: Reading,
    conditions: &Conditions,
    content: &T,
) -> Result<Response, Problem> {
    let position = reading.position();
    reading.tx.end().await?;
    let bytes = in_epoch(position.epoch, || serde_json::to_vec(content));
    let bytes = bytes.map_err(|error| Problem::fault(&error))?;
    Ok(tagged(position, conditions, bytes))
}

fn tagged(position: LogPosition, conditions: &Conditions, bytes: Vec<u8>) -> Response {
    let tag = tag(&bytes);
    let known = conditions.known_tags.iter().any(|it| *it == tag || it == "*");
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    stamped(headers, position, "private, no-cache");
    response
}

/// A strong tag: equal content has an equal one.
#[must_use]
pub fn tag(content: &[u8]) -> String {
    let hash = digest(&SHA256, content);
    format!("\"{}\"", BASE64.encode(hash.as_ref().get(..TAG_BYTES).unwrap_or_default()))
}

/// A text in parts. An error cuts the answer off, which its client sees as a broken transfer.
pub(crate) fn streamed(
    position: LogPosition,
    media_type: &'static str,
    file: &str,
    parts: impl Stream<Item = Result<Bytes, PartFailed>> + Send + 'static,
) -> Response {
    let mut response = Body::from_stream(parts).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{file}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    stamped(headers, position, "no-store");
    response
}

fn stamped(headers: &mut HeaderMap, position: LogPosition, caching: &'static str) {
    headers.insert(QUIPU_POSITION, position_header(position));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(header::VARY, HeaderValue::from_static("authorization"));
}

/// A part of a text could not be made; logged where it happened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PartFailed {
    #[error("the read model cannot be read")]
    Database(#[from] sqlx::Error),
    #[error("a row cannot be written as CSV")]
    Csv(#[from] csv::Error),
    #[error("a row cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("the text is not what its checksum says")]
    Changed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_that_is_known_is_not_sent_again() {
        let position = LogPosition { epoch: 1, position: 7 };
        let tagged = |known: &[&str]| {
            let known_tags = known.iter().map(|it| (*it).to_owned()).collect();
            tagged(position, &Conditions { known_tags, ..Conditions::default() }, b"{}".to_vec())
        };
        let first = tagged(&[]);
        assert_eq!(
            (first.status(), &first.headers()[QUIPU_POSITION]),
            (StatusCode::OK, &HeaderValue::from_static("1-7"))
        );
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        assert_eq!(tagged(&["\"other\"", &tag]).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(tagged(&["*"]).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(tagged(&["\"other\""]).status(), StatusCode::OK);
    }
}
