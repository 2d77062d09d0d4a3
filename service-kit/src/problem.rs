//! How HTTP says no: problem details (RFC 9457), the table of edge codes, and the one map from kinds of refusal to
//! transport statuses.
//!
//! A fault is logged once, here, with the trace id; its cause never reaches a client.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::{ErrorKind, Refusal};
use serde::Serialize;
use utoipa::ToSchema;

use crate::audit::Refusals;
use crate::random::NoRandomness;
use crate::telemetry;

/// Media type of every refusal.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// One row of the reference of codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeDoc {
    /// `context.what-went-wrong`; never renamed or used again.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What it means, for every occurrence.
    pub title: &'static str,
    /// What a client should do.
    pub hint: &'static str,
}

macro_rules! edge_codes {
    ($($name:ident $status:literal $code:literal $title:literal $hint:literal;)*) => {
        /// The codes that the edge itself gives, by meaning.
        pub mod code {
            use super::CodeDoc;
            $(
                #[doc = $title]
                pub const $name: CodeDoc = CodeDoc { code: $code, status: $status, title: $title, hint: $hint };
            )*
        }
        /// Every code of the edge; `docs/errors.md` is made from it and from the domain's tables.
        pub const EDGE_CODES: &[CodeDoc] = &[$(code::$name),*];
    };
}

edge_codes! {
    MALFORMED_JSON 400 "request.malformed-json" "the body is not the JSON that is asked for" "send one JSON value in UTF-8 of the documented shape";
    DUPLICATE_FIELD 400 "request.duplicate-field" "a field is given twice" "give each field once";
    NUL_CHARACTER 400 "request.nul-character" "a text holds the character NUL" "leave the character out";
    UNKNOWN_FIELD 400 "request.unknown-field" "a field is not known" "check its spelling against /openapi.json";
    MISSING_FIELD 400 "request.missing-field" "a field is missing" "add the field that `errors` names";
    INVALID_FIELD 400 "request.invalid-field" "a field has the wrong type or form" "see the pointer in `errors`";
    UNKNOWN_PARAMETER 400 "request.unknown-parameter" "a query parameter is not known" "check its spelling against /openapi.json";
    INVALID_PARAMETER 400 "request.invalid-parameter" "a query parameter is missing or has the wrong form" "see `detail`";
    BODY_TOO_LARGE 413 "request.body-too-large" "the body is larger than this route takes" "send less at once";
    UNSUPPORTED_MEDIA_TYPE 415 "request.unsupported-media-type" "the body is not declared as application/json" "send `Content-Type: application/json`";
    MALFORMED_MESSAGE 400 "request.malformed-message" "what was sent is not the message that is asked for" "send one message of the method's type, uncompressed";
    NOT_GRPC 415 "request.not-grpc" "the call is not gRPC" "send `Content-Type: application/grpc` over HTTP/2, or use the HTTP interface";
    BODY_TIMEOUT 408 "request.body-timeout" "the body did not arrive in time" "send the request again";
    TIMEOUT 503 "request.timeout" "the request took longer than it may" "send it again with the same idempotency key";
    NOT_FOUND 404 "request.not-found" "nothing is here" "check the path and the identifier";
    METHOD_NOT_ALLOWED 405 "request.method-not-allowed" "the path does not take this method" "see the `Allow` header";
    TOKEN_MISSING 401 "auth.token-missing" "no access token was sent" "send `Authorization: Bearer <token>`";
    TOKEN_INVALID 401 "auth.token-invalid" "the access token is not one of ours" "log in again";
    TOKEN_EXPIRED 401 "auth.token-expired" "the access token has expired" "refresh it or log in again";
    PERMISSION_MISSING 403 "auth.permission-missing" "the caller may not do this" "ask an owner of the organisation for the permission that `details` names";
    PERMISSION_IN_PERSON 422 "auth.permission-in-person" "a permission is used in person, so no key of a program could ever use it" "leave out what `errors` names; `GET /v1/permissions` says which those are";
    PERMISSION_UNKNOWN 422 "auth.permission-unknown" "there is no such permission" "take the names of `GET /v1/permissions`; `errors` says which are none of them";
    STANDING_UNKNOWN 503 "auth.standing-unknown" "who may act is not known for sure at the moment" "send it again a little later, with the same idempotency key";
    INVALID_CREDENTIALS 401 "identity.invalid-credentials" "organisation, address and password do not belong together" "check all three; a person who was deactivated is answered the same";
    LOCKED 429 "identity.locked" "too many wrong guesses: for a while nothing more is looked at" "wait as long as `Retry-After` says, or ask an administrator";
    CODE_INVALID 401 "identity.code-invalid" "the ticket or the code is not good, or not any more" "type the code that the authenticator shows now, or sign in again for another ticket";
    PASSKEY_INVALID 401 "identity.passkey-invalid" "the passkey, or what it signed, is not good here" "begin again; each answer is good once, for five minutes and on our pages alone";
    PASSKEYS_OFF 503 "identity.passkeys-off" "nobody has said under which name people reach us, which passkeys are bound to" "tell the operator to set QUIPU_PUBLIC_URL, with a name such as localhost and not an address such as 127.0.0.1";
    REFRESH_INVALID 401 "identity.refresh-invalid" "the refresh token is not good, or not any more" "sign in again";
    REFRESH_REUSED 401 "identity.refresh-reused" "the refresh token was used before, so somebody has a copy: its session was ended" "sign in again; change the password if it was not you";
    PASSWORD_WEAK 422 "identity.password-weak" "the password is too weak" "see `errors` for each reason: their codes begin with `password.`";
    PASSWORD_SHORT 422 "password.too-short" "the password has too few characters" "take a longer one; several unrelated words are easy to keep in mind. Stands in `errors`";
    PASSWORD_LONG 422 "password.too-long" "the password has too many characters" "take one of 128 characters at most. Stands in `errors`";
    PASSWORD_COMMON 422 "password.common" "many people use this password, so it is tried first" "take another one. Stands in `errors`";
    PASSWORD_PERSONAL 422 "password.personal" "the password is made of what everybody knows about its owner" "leave name, address and organisation out of it. Stands in `errors`";
    PASSWORD_KINDS 422 "password.kinds-missing" "the password has fewer kinds of characters than the organisation asks for" "mix small letters, large letters, digits and others. Stands in `errors`";
    PASSWORD_GUESSABLE 422 "password.guessable" "the password is quickly guessed" "take several unrelated words. Stands in `errors`, with what would make it better if that is known";
    EMAIL_MALFORMED 400 "identity.email-malformed" "a text is not an address of mail" "write it as `name@example.com`";
    PHONE_MALFORMED 400 "identity.phone-malformed" "a text is not a telephone number" "write 4 to 15 digits, with a plus before them or without, and spaces or dashes between them";
    REGISTRATION_CLOSED 403 "identity.registration-closed" "the organisation takes people by invitation only" "ask a member of it for an invitation";
    CLOSE_UNCONFIRMED 422 "organisation.close-unconfirmed" "the slug is not the one of the organisation that would be closed" "repeat the slug of the organisation in which you are signed in";
    TIER_UNKNOWN 422 "platform.tier-unknown" "the installation has no such tier" "take one of those that `detail` names";
    PROVIDER_UNAVAILABLE 503 "federation.provider-unavailable" "the provider of the sign-in does not answer as it should" "try it again a little later, or sign in in another way";
    PROVIDER_ANSWER_INVALID 422 "federation.answer-invalid" "what the provider of the sign-in says is not to be believed" "begin the sign-in again; if it stays, tell whoever set the provider up what `detail` says";
    PROVIDER_DENIED 403 "federation.denied" "the sign-in was not allowed at the provider" "allow it there, or sign in in another way";
    PROVIDER_NOT_FRESH 403 "federation.not-fresh" "the provider does not say that somebody just showed it who they are" "sign in there anew, or sign in here in another way";
    PROVIDER_STATE_INVALID 401 "federation.state-invalid" "this is not a sign-in that was begun in this browser, or not any more" "begin the sign-in again";
    PROVIDER_TOKEN_MISSING 404 "federation.provider-token-missing" "there is no token of this provider that is good now" "sign in with the provider again; the organisation may not have its tokens kept";
    RETURN_URI_UNKNOWN 400 "federation.return-uri-unknown" "nobody is sent back to this address" "use one of the provider's return addresses, letter by letter";
    HANDOVER_INVALID 401 "federation.handover-invalid" "the code is not good, or not any more" "begin the sign-in again; a code is good once and for a minute";
    FORM_INVALID 403 "page.form-invalid" "the form is not one that we gave to this browser, or not any more" "open the page again and fill its form in";
    OAUTH_OFF 503 "oauth.off" "nobody can sign in to services here now" "tell the operator what `detail` says";
    OAUTH_REQUEST_INVALID 400 "oauth.request-invalid" "the service that sent you here asks in a way that cannot be answered" "go back to it, and tell whoever runs it what `detail` says";
    OAUTH_REQUEST_UNKNOWN 404 "oauth.request-unknown" "this sign-in was used already, or took too long" "go back to the service that sent you here and begin again";
    OAUTH_SCOPE_MISSING 403 "oauth.scope-missing" "this is told to services to which a person signed in" "show an access token that a service got with the scope `openid`";
    USER_CODE_UNKNOWN 404 "oauth.user-code-unknown" "no device waits with this code" "look at the device for the code that it shows now";
    NO_SIGNING_KEY 503 "auth.no-signing-key" "there is no key yet, or no more, to sign tokens with" "send it again a little later";
    KEY_REQUIRED 400 "idempotency.key-required" "this request needs an idempotency key" "send `Idempotency-Key` with a fresh value for each intent";
    KEY_MALFORMED 400 "idempotency.key-malformed" "the idempotency key cannot be used" "send 1 to 255 printable ASCII characters, bare or quoted";
    KEY_REUSED 422 "idempotency.key-reused" "the idempotency key was used for another request" "use a fresh key for another request";
    VERSION_MISMATCH 412 "precondition.version-mismatch" "the thing has changed since it was read" "read it again, then decide again";
    PRECONDITION_MALFORMED 400 "precondition.malformed" "If-Match is not a version" "send the `version` of an answer in quotes, such as `\"3\"`; the ETag of a query is for `If-None-Match` alone";
    PRECONDITION_UNSUPPORTED 400 "precondition.unsupported" "this operation takes no If-Match" "send it without; what takes the header names it in /openapi.json";
    RATE_LIMITED 429 "rate.limited" "too many requests" "wait as long as `Retry-After` says";
    STREAMS_OF_ACTOR 429 "rate.too-many-streams" "the caller has as many live streams open as it may" "close one first, or follow several things with one stream and its filters";
    STREAMS_OF_SERVER 503 "overload.too-many-streams" "the server has as many live streams open as it can" "open it again a little later";
    OVERLOADED 503 "overload.too-many-requests" "the server is working on as much as it can" "send it again a little later";
    QUEUE_FULL 503 "overload.queue-full" "the queue of commands is full" "send it again a little later, with the same idempotency key";
    HASHING 503 "overload.hashing" "more passwords wait to be checked than may" "send it again a little later";
    STORE_UNAVAILABLE 503 "store.unavailable" "the store cannot be reached" "send it again a little later, with the same idempotency key";
    NEWER_EVENT 503 "store.newer-event" "a newer build wrote to what this concerns" "send it again with the same idempotency key; a server of the newer build takes it";
    PROJECTION_BEHIND 503 "read.projection-behind" "the read model has not reached the position that was asked for" "send it again a little later";
    MODEL_PARKED 503 "read.model-parked" "this part of the read model is held for repair" "read as of an earlier position, or ask the operator";
    EPOCH_CHANGED 409 "read.epoch-changed" "the position is of another life of the log" "drop the token and read again without it";
    POSITION_MALFORMED 400 "read.position-malformed" "Quipu-Position is not <epoch>-<position>" "send the header as an answer gave it";
    CURSOR_INVALID 400 "read.cursor-invalid" "the cursor is not one of this list" "begin at the first page";
    CATEGORY_UNKNOWN 404 "read.category-unknown" "there are no streams of this category" "take one of the categories that `details` names";
    VERSION_AHEAD 404 "read.version-ahead" "the stream, or the log, has not come so far" "ask for a version or a position up to the newest one, which `details` names";
    HISTORY_TOO_LONG 422 "read.history-too-long" "too many versions lie between the points to be looked at at once" "ask for points that are nearer to each other; `details` names how many versions may lie between them";
    TIME_IN_FUTURE 400 "read.time-in-future" "the moment asked for has not come" "ask for a moment that has passed";
    AUDIT_NOT_RECORDED 503 "audit.not-recorded" "a sensitive read cannot be recorded now, and is not answered without" "send it again a little later";
    AUDIT_ON_STANDBY 503 "audit.on-standby" "this server reads from a standby, which cannot record sensitive reads" "send it to a server that stands on the primary database";
    AUDIT_TOO_MANY_READS 429 "audit.too-many-reads" "more different sensitive reads came within a minute than are recorded" "wait a minute";
    AUDIT_EXPORT_TOO_LARGE 422 "audit.export-too-large" "the export would have more entries than one may have" "narrow it, by `from` and `to` for example; `details` names how many entries one may have";
    AUDIT_EXPORT_EXISTS 409 "audit.export-exists" "the export's identifier is in use for another export" "take a fresh identifier for each export";
    FAULT 500 "internal.fault" "something went wrong on our side" "send it again; tell us `trace_id` if it stays";
}

/// One fault of one place in the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldProblem {
    /// RFC 6901 pointer into the body.
    pub pointer: String,
    /// Code, as in the problem itself.
    pub code: String,
    /// One fragment for a person.
    pub detail: String,
}

/// The body of a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Reference of the meaning: `/problems/<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the code means.
    #[schema(value_type = String)]
    pub title: Cow<'static, str>,
    /// HTTP status.
    pub status: u16,
    /// `context.what-went-wrong`.
    #[schema(value_type = String)]
    pub code: Cow<'static, str>,
    /// What went wrong this time.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Where in the request, if it is there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// The figures behind it, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub details: BTreeMap<Cow<'static, str>, String>,
    /// Names this request in our logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// A refusal on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    body: Box<ProblemBody>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of the edge, with what went wrong this time (or nothing).
    #[must_use]
    pub fn new(code: &CodeDoc, detail: impl Into<String>) -> Self {
        Self::build(Cow::Borrowed(code.code), Cow::Borrowed(code.title), code.status, detail.into())
    }

    /// A fault: logged here with its causes and the trace id, answered as `internal.fault` without them.
    #[must_use]
    pub fn fault(error: &(dyn Error + 'static)) -> Self {
        let trace_id = telemetry::current_trace_id().map(|it| it.to_string());
        tracing::error!(trace_id, error = %chain(error), "fault");
        Self::new(&code::FAULT, "")
    }

    /// The store cannot be reached now. The cause is logged, not answered.
    #[must_use]
    pub fn store_unavailable(error: &(dyn Error + 'static)) -> Self {
        let trace_id = telemetry::current_trace_id().map(|it| it.to_string());
        tracing::warn!(trace_id, error = %chain(error), "store unavailable");
        Self::new(&code::STORE_UNAVAILABLE, "")
    }

    /// A refusal at one place of the body.
    #[must_use]
    pub fn field(
        code: impl Into<Cow<'static, str>>,
        kind: ErrorKind,
        pointer: String,
        detail: String,
    ) -> Self {
        let code = code.into();
        let it = Self::build(code.clone(), title_of(&code), http_status(kind).as_u16(), detail.clone());
        it.at(FieldProblem { pointer, code: code.into_owned(), detail })
    }

    /// Adds a place of the request.
    #[must_use]
    pub fn at(mut self, field: FieldProblem) -> Self {
        self.body.errors.push(field);
        self
    }

    /// Adds a figure.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.body.details.insert(name.into(), value.into());
        self
    }

    /// Sets how many seconds a client should wait.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Sets a header of the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.retain(|(it, _)| *it != name);
        self.headers.push((name, value));
        self
    }

    /// Its HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.body.code
    }

    /// Its body, for places that answer in another way (items of a batch, gRPC).
    #[must_use]
    pub fn body(&self) -> &ProblemBody {
        &self.body
    }

    fn build(code: Cow<'static, str>, title: Cow<'static, str>, status: u16, detail: String) -> Self {
        let body = ProblemBody {
            kind: format!("/problems/{code}"),
            title,
            status,
            code,
            detail,
            errors: Vec::new(),
            details: BTreeMap::new(),
            trace_id: telemetry::current_trace_id().map(|it| it.to_string()),
        };
        let it = Self { body: Box::new(body), headers: Vec::new() };
        match status {
            401 => it.header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            429 | 503 => it.retry_after(1),
            _ => it,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = http_status(refusal.kind).as_u16();
        let mut it = Self::build(refusal.code.clone(), title_of(&refusal.code), status, refusal.message);
        it.body.details = refusal.details;
        it
    }
}

impl From<NoRandomness> for Problem {
    fn from(error: NoRandomness) -> Self {
        Self::fault(&error)
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        if is_passing(&error) { Self::store_unavailable(&error) } else { Self::fault(&error) }
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        // A problem made in a spawned task did not know its request.
        if self.body.trace_id.is_none() {
            self.body.trace_id = telemetry::current_trace_id().map(|it| it.to_string());
        }
        let status = self.status();
        telemetry::note_code(&self.body.code);
        let bytes = serde_json::to_vec(&self.body).unwrap_or_default();
        let mut response = (status, bytes).into_response();
        let mut refusals = Refusals::default();
        refusals.add(self.body.code.clone(), self.body.status);
        response.extensions_mut().insert(refusals);
        // For a layer that answers in another way than HTTP does.
        response.extensions_mut().insert(*self.body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.extend(self.headers);
        response
    }
}

/// The one map of kinds to HTTP.
#[must_use]
pub const fn http_status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Rejected => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
    }
}

impl ProblemBody {
    /// The one map of refusals to gRPC status numbers (grpc.io, "Status codes and their use in gRPC"). It follows from the
    /// HTTP status, but where gRPC has a status that says more.
    #[must_use]
    pub fn grpc_status(&self) -> i32 {
        match &*self.code {
            // DEADLINE_EXCEEDED
            "request.timeout" | "request.body-timeout" => return 4,
            // ALREADY_EXISTS
            "identity.email-taken" | "organisation.slug-taken" => return 6,
            // FAILED_PRECONDITION: the caller is known and may, once something else is done.
            "auth.step-up-required"
            | "identity.email-unverified"
            | "identity.registration-closed"
            | "identity.second-factor-required"
            | "organisation.not-active" => return 9,
            // UNIMPLEMENTED: over gRPC it is always a method.
            "request.not-found" | "request.method-not-allowed" | "request.not-grpc" => return 12,
            _ => {}
        }
        match self.status {
            400 => 3,
            401 => 16,
            403 => 7,
            404 => 5,
            409 | 412 => 10,
            413 | 429 => 8,
            // A rule about what was sent, or one about how things are.
            422 if self.errors.is_empty() => 9,
            422 => 3,
            503 => 14,
            500 => 13,
            _ => 2,
        }
    }
}

/// Whether a database error is of a moment, so that the same request may work a little later.
#[must_use]
pub fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        // A server that dies while it is talked to says nothing that makes sense; another connection may.
        | sqlx::Error::Protocol(_)
        | sqlx::Error::BeginFailed => true,
        // Connection lost; resources; shutdown, start-up, statement timeout; lock timeout; idle in transaction.
        sqlx::Error::Database(it) => it.code().is_some_and(|code| {
            let passing = ["08", "53", "57P", "57014", "55P03", "25P0"];
            passing.iter().any(|prefix| code.starts_with(prefix))
        }),
        _ => false,
    }
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(it) = cause {
        text.push_str(": ");
        text.push_str(&it.to_string());
        cause = it.source();
    }
    text
}

fn title_of(code: &str) -> Cow<'static, str> {
    if let Some(doc) = EDGE_CODES.iter().find(|it| it.code == code) {
        return Cow::Borrowed(doc.title);
    }
    if let Some(doc) = domain::codes::find(code) {
        return Cow::Borrowed(doc.title);
    }
    Cow::Owned(code.split_once('.').map_or(code, |(_, what)| what).replace('-', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_well_formed() {
        let codes: BTreeSet<_> = EDGE_CODES.iter().map(|it| it.code).collect();
        assert_eq!(codes.len(), EDGE_CODES.len());
        for it in EDGE_CODES {
            let (context, what) = it.code.split_once('.').unwrap();
            assert!(
                format!("{context}{what}").chars().all(|c| c.is_ascii_lowercase() || c == '-'),
                "{}",
                it.code
            );
            assert!(StatusCode::from_u16(it.status).unwrap().as_u16() >= 400);
            assert!(!it.title.ends_with('.') && !it.hint.ends_with('.'), "{}", it.code);
        }
    }

    #[test]
    fn a_refusal_keeps_its_code_and_figures() {
        let refusal = Refusal {
            code: "ledger.insufficient-funds".into(),
            kind: ErrorKind::Rejected,
            message: "the account has too little".into(),
            details: [("available".into(), "1.00 EUR".to_owned())].into(),
        };
        let problem = Problem::from(refusal);
        assert_eq!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let json = serde_json::to_value(problem.body()).unwrap();
        assert_eq!(json["type"], "/problems/ledger.insufficient-funds");
        assert_eq!(json["title"], "the account has less available than is required");
        assert_eq!(json["details"]["available"], "1.00 EUR");
    }

    #[test]
    fn kinds_have_the_status_of_grpc_that_means_them() {
        for (kind, number) in [
            (ErrorKind::Invalid, 3),
            (ErrorKind::NotFound, 5),
            (ErrorKind::Conflict, 10),
            (ErrorKind::Rejected, 9),
            (ErrorKind::Unauthenticated, 16),
            (ErrorKind::Forbidden, 7),
        ] {
            let problem = Problem::from(Refusal {
                code: "a.refusal".into(),
                kind,
                message: String::new(),
                details: BTreeMap::new(),
            });
            assert_eq!(problem.body().grpc_status(), number, "{kind:?}");
        }
        let weak =
            Problem::field("identity.password-weak", ErrorKind::Rejected, "/password".into(), String::new());
        assert_eq!(weak.body().grpc_status(), 3, "a rule about what was sent");
    }

    #[test]
    fn every_code_of_the_edge_has_a_status_of_grpc_that_is_not_unknown() {
        // Of the one who sends JSON that is not declared as such.
        for doc in EDGE_CODES.iter().filter(|it| **it != code::UNSUPPORTED_MEDIA_TYPE) {
            let number = Problem::new(doc, "").body().grpc_status();
            assert!((3..=16).contains(&number), "{}: {number}", doc.code);
            // DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNAVAILABLE: what clients may try again.
            let is_passing = matches!(doc.status, 408 | 413 | 429 | 503);
            assert_eq!(matches!(number, 4 | 8 | 14), is_passing, "{}: {number}", doc.code);
        }
    }

    #[test]
    fn faults_do_not_tell_their_cause_and_unavailability_says_when_to_retry() {
        let fault = Problem::from(sqlx::Error::Configuration("password=hunter2".into()));
        assert_eq!(fault.code(), "internal.fault");
        assert!(!format!("{fault:?}").contains("hunter2"));
        let response = Problem::from(sqlx::Error::PoolTimedOut).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
    }
}
