//! What requests say that operations do not read: a parameter of the query, or `If-Match`, which the description of an
//! operation does not name is refused, as [`super::Query`] refuses what its type does not.
//!
//! Somebody who asks for `?dry_run=true` where there is no such thing must not be answered as if there were; and a command
//! must not be carried out on a condition that nobody looks at (RFC 9110, section 13.1.1).

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, RefOr};

use crate::problem::{Problem, code};

/// What an operation reads.
#[derive(Debug)]
struct Known {
    query: Vec<String>,
    if_match: bool,
}

/// The methods of a path, each with what it reads.
type ByMethod = Vec<(Method, Known)>;

/// What each operation reads, by path and method.
#[derive(Debug, Clone, Default)]
pub struct KnownParameters(Arc<HashMap<String, ByMethod>>);

impl KnownParameters {
    /// What a description names. Operations for which `is_open` holds take anything, as some standards demand.
    #[must_use]
    pub fn of(document: &OpenApi, is_open: impl Fn(&Operation) -> bool) -> Self {
        let named = document.paths.paths.iter().map(|(path, item)| {
            let closed = operations(item).filter(|(_, it)| !is_open(it));
            (path.clone(), closed.map(|(method, it)| (method, Known::of(it))).collect())
        });
        Self(Arc::new(named.collect()))
    }

    /// What an operation reads; nothing is known of one that is open, or that is not described.
    fn named(&self, path: &str, method: &Method) -> Option<&Known> {
        // Whoever asks for a head is answered by what answers the whole.
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let (_, known) = self.0.get(path)?.iter().find(|(it, _)| it == method)?;
        Some(known)
    }
}

fn operations(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    let all = [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::DELETE, &item.delete),
        (Method::PATCH, &item.patch),
    ];
    all.into_iter().filter_map(|(method, it)| it.as_ref().map(|it| (method, it)))
}

impl Known {
    fn of(operation: &Operation) -> Self {
        let plain = operation.parameters.iter().flatten().filter_map(|it| match it {
            RefOr::T(parameter) => Some(parameter),
            RefOr::Ref(_) => None,
        });
        let (mut query, mut if_match) = (Vec::new(), false);
        for Parameter { name, parameter_in, .. } in plain {
            match parameter_in {
                ParameterIn::Query => query.push(name.clone()),
                ParameterIn::Header => if_match |= name.eq_ignore_ascii_case(header::IF_MATCH.as_str()),
                _ => {}
            }
        }
        Self { query, if_match }
    }
}

/// Layer of routes: refuses a query or a condition that the operation does not read.
pub async fn refuse_unknown(State(known): State<KnownParameters>, request: Request, next: Next) -> Response {
    match unknown(&known, &request) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn unknown(known: &KnownParameters, request: &Request) -> Option<Problem> {
    let query = request.uri().query().filter(|it| !it.is_empty());
    // What only reads may be asked under any condition: it changes nothing.
    let condition = !request.method().is_safe() && request.headers().contains_key(header::IF_MATCH);
    if query.is_none() && !condition {
        return None;
    }
    let known = known.named(request.extensions().get::<MatchedPath>()?.as_str(), request.method())?;
    if condition && !known.if_match {
        return Some(Problem::new(&code::PRECONDITION_UNSUPPORTED, ""));
    }
    unknown_parameter(&known.query, query?)
}

fn unknown_parameter(names: &[String], query: &str) -> Option<Problem> {
    let (name, _) =
        form_urlencoded::parse(query.as_bytes()).find(|(name, _)| !names.iter().any(|it| it == name))?;
    let taken = match names {
        [] => "none is taken here".to_owned(),
        [one] => format!("`{one}` is taken here"),
        several => format!("`{}` are taken here", several.join("`, `")),
    };
    let problem = Problem::new(&code::UNKNOWN_PARAMETER, format!("unknown parameter; {taken}"));
    Some(problem.with("parameter", name.into_owned()))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use http_body_util::BodyExt as _;
    use serde_json::{Value, json};
    use tower::ServiceExt as _;
    use utoipa::OpenApi as _;

    use super::*;

    #[utoipa::path(get, path = "/things/{id}", params(("id" = String, Path), ("live" = bool, Query), ("at" = String, Query)))]
    #[expect(dead_code, reason = "only its description is used")]
    fn things() {}

    #[utoipa::path(put, path = "/things/{id}", params(("if-match" = Option<String>, Header)))]
    #[expect(dead_code, reason = "only its description is used")]
    fn change() {}

    #[utoipa::path(delete, path = "/things/{id}")]
    #[expect(dead_code, reason = "only its description is used")]
    fn remove() {}

    #[utoipa::path(get, path = "/open", tag = "open")]
    #[expect(dead_code, reason = "only its description is used")]
    fn open() {}

    #[derive(utoipa::OpenApi)]
    #[openapi(paths(things, change, remove, open))]
    struct Document;

    async fn ask(method: Method, uri: &str) -> (u16, Value) {
        answer(Request::builder().method(method).uri(uri).body(Body::empty()).unwrap()).await
    }

    async fn answer(request: Request) -> (u16, Value) {
        let is_open = |it: &Operation| it.tags.iter().flatten().any(|it| it == "open");
        let known = KnownParameters::of(&Document::openapi(), is_open);
        let router = Router::new()
            .route("/things/{id}", get(async || "").put(async || "").delete(async || ""))
            .route("/open", get(async || ""))
            .route_layer(from_fn_with_state(known, refuse_unknown));
        let response = router.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    #[tokio::test]
    async fn what_is_described_is_taken_and_nothing_else() {
        for (method, uri, unknown) in [
            (Method::GET, "/things/1", None),
            (Method::GET, "/things/1?", None),
            (Method::GET, "/things/1?live=true&at=x&live=false", None),
            (Method::GET, "/things/1?live=true&Live=x", Some("Live")),
            (Method::GET, "/things/1?id=1", Some("id")),
            (Method::HEAD, "/things/1?live=true", None),
            (Method::GET, "/things/1?a%62c", Some("abc")),
            (Method::DELETE, "/things/1", None),
            (Method::DELETE, "/things/1?live=true", Some("live")),
            (Method::GET, "/open?anything=1", None),
        ] {
            let (status, body) = ask(method, uri).await;
            assert_eq!(status == 400, unknown.is_some(), "{uri} {body}");
            assert_eq!(body["details"]["parameter"].as_str(), unknown, "{uri}");
        }
        let (_, body) = ask(Method::GET, "/things/1?x=1").await;
        assert_eq!(body["code"], json!("request.unknown-parameter"));
        assert_eq!(body["detail"], json!("unknown parameter; `live`, `at` are taken here"));
    }

    #[tokio::test]
    async fn a_command_is_not_carried_out_on_a_condition_that_nobody_looks_at() {
        for (method, refused) in
            [(Method::DELETE, true), (Method::PUT, false), (Method::GET, false), (Method::HEAD, false)]
        {
            let request = Request::builder().method(&method).uri("/things/1").header("If-Match", "\"7\"");
            let (status, body) = answer(request.body(Body::empty()).unwrap()).await;
            assert_eq!(status == 400, refused, "{method} {body}");
            let code = refused.then_some("precondition.unsupported");
            assert_eq!(body["code"].as_str(), code, "{method}");
        }
    }
}
