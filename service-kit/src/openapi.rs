//! `/openapi.json`, and a page at `/docs` that renders it without loading anything from elsewhere.

mod texts;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use utoipa::openapi::extensions::{Extensions, ExtensionsBuilder};
use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::path::{Operation, Parameter, PathItem};
use utoipa::openapi::schema::{Components, Schema, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

use crate::access::Permission;
use crate::aliases;
use crate::problem::{EDGE_CODES, PROBLEM_JSON, Problem, ProblemBody, code, http_status};

const BUNDLE: &[u8] = include_bytes!("../assets/vendor/swagger-ui-bundle.js");
const STYLE: &[u8] = include_bytes!("../assets/vendor/swagger-ui.css");
const START: &[u8] = include_bytes!("../assets/docs.js");
const PAGE: &[u8] = include_bytes!("../assets/docs.html");

/// The page's own policy: scripts of ours only, nothing to or from elsewhere. Its library sets styles on elements.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
);

/// Marks operations whose every use is recorded in the audit trail.
pub const AUDITED: &str = "x-quipu-audited";

/// Name of the security scheme of access tokens.
pub const BEARER: &str = "bearer";

/// Refusals that any operation may give.
const REFUSALS: [(&str, &str); 5] = [
    ("400", "The request is malformed."),
    ("401", "No valid access token was sent."),
    ("403", "The caller lacks the permission."),
    ("429", "Too many requests; see Retry-After."),
    ("503", "Not now; see Retry-After."),
];

/// Refusals of operations that take a body.
const BODY_REFUSALS: [(&str, &str); 3] = [
    ("408", "The body did not arrive in time."),
    ("413", "The body is larger than the route takes."),
    ("415", "The body is not declared as JSON, or is encoded."),
];

/// The header of a key.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// How far a key counts.
const KEY_SCOPE: &str = ". Keys count for each caller and for each operation apart";
/// The refusal of operations that remember a key.
const KEY_REFUSAL: (&str, &str) = ("422", "The key was used for another request.");

/// What a position in the log looks like: the epoch and a number.
pub const POSITION_PATTERN: &str = "^[0-9]{1,9}-[0-9]{1,18}$";

/// What the headers of our own look like, by name.
const HEADER_PATTERNS: [(&str, &str); 4] = [
    ("Idempotency-Key", "^[!-~]([ -~]{0,253}[!-~])?$"),
    ("If-Match", "^(\\*|[0-9]{1,18}|\"[0-9]{1,18}\")$"),
    ("Quipu-Position", POSITION_PATTERN),
    ("Last-Event-ID", POSITION_PATTERN),
];

/// A way from the answer of an operation to a request that it makes possible. A client's tools follow it, and so does a
/// test that walks through the interface.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// `operationId` of what answered.
    pub from: &'static str,
    /// `operationId` of what can be asked then.
    pub to: &'static str,
    /// The path parameter of that request.
    pub parameter: &'static str,
    /// Where the answer has its value, as a runtime expression of OpenAPI.
    pub value: &'static str,
}

/// Serves a document and the page. Merge it into a router before it is hardened.
pub fn routes(document: &OpenApi) -> Result<Router, serde_json::Error> {
    let json = Bytes::from(serde_json::to_vec(document)?);
    Ok(Router::new()
        .route("/openapi.json", get(move || async move { asset("application/json", json) }))
        .route("/docs", get(page))
        .route("/docs/start.js", get(|| async { fixed("text/javascript; charset=utf-8", START) }))
        .route(
            "/docs/swagger-ui-bundle.js",
            get(|| async { fixed("text/javascript; charset=utf-8", BUNDLE) }),
        )
        .route("/docs/swagger-ui.css", get(|| async { fixed("text/css; charset=utf-8", STYLE) })))
}

/// Completes a document: the bearer scheme, the shape of problems, what every text that is taken must be, other names of
/// paths, and on every operation the refusals that any may give. An operation that sets its own security (`security(())` for a
/// public one) keeps it.
#[must_use]
pub fn complete(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_with(Components::new);
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    components.add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    let mut schemas = vec![(ProblemBody::name().into_owned(), ProblemBody::schema())];
    ProblemBody::schemas(&mut schemas);
    components.schemas.extend(schemas);
    document.paths.paths.values_mut().flat_map(operations).for_each(complete_operation);
    texts::describe(&mut document);
    let description = document.info.description.get_or_insert_default();
    let gap = if description.is_empty() { "" } else { "\n\n" };
    description.push_str(gap);
    description.push_str(aliases::TEXT);
    document
}

/// Writes ways into a document, each into every answer of its operation that tells of success.
pub fn link(document: &mut OpenApi, ways: &[Way]) {
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        for way in ways.iter().filter(|it| operation.operation_id.as_deref() == Some(it.from)) {
            let link = LinkBuilder::new().operation_id(way.to).parameter(way.parameter, way.value).build();
            for (_, response) in operation.responses.responses.iter_mut().filter(|it| it.0.starts_with('2')) {
                if let RefOr::T(response) = response {
                    response.links.insert(way.to.to_owned(), RefOr::T(link.clone()));
                }
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch, &mut item.head]
        .into_iter()
        .flatten()
}

/// Writes the permission of an operation into its description.
pub fn describe_permission<P: Permission>(operation: &mut Operation) {
    let line = format!("Permission: `{}`.", P::NAME);
    let text = operation.description.get_or_insert_with(String::new);
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(&line);
    if P::SENSITIVE {
        text.push_str(" Every use is recorded in the audit trail, before it is answered.");
        let audited = ExtensionsBuilder::new().add(AUDITED, true).build();
        operation.extensions.get_or_insert_with(Extensions::default).merge(audited);
    }
}

fn complete_operation(operation: &mut Operation) {
    let public = operation.security.as_ref().is_some_and(Vec::is_empty)
        || operation.security.as_ref().is_some_and(|all| all.contains(&SecurityRequirement::default()));
    if operation.security.is_none() {
        operation.security = Some(vec![SecurityRequirement::new(BEARER, [] as [&str; 0])]);
    }
    operation.parameters.iter_mut().flatten().for_each(complete_parameter);
    let of_bodies = BODY_REFUSALS.into_iter().filter(|_| operation.request_body.is_some());
    let is_key = |it: &RefOr<Parameter>| matches!(it, RefOr::T(it) if it.name == IDEMPOTENCY_KEY);
    let remembers = operation.parameters.iter().flatten().any(is_key);
    let of_keys = remembers.then_some(KEY_REFUSAL);
    for (status, description) in REFUSALS.into_iter().chain(of_bodies).chain(of_keys) {
        if public && matches!(status, "401" | "403") {
            continue;
        }
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemBody::name()))).build();
        let response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build();
        operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(response));
    }
}

/// Says what a header of ours looks like, and how large a number is. A parameter that may be left out is no `null`: a query or a header has none.
fn complete_parameter(parameter: &mut RefOr<Parameter>) {
    let RefOr::T(parameter) = parameter else { return };
    if parameter.name == IDEMPOTENCY_KEY {
        parameter.description.get_or_insert_default().push_str(KEY_SCOPE);
    }
    let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema else { return };
    if let SchemaType::Array(types) = &schema.schema_type
        && let [one, Type::Null] | [Type::Null, one] = types.as_slice()
    {
        schema.schema_type = SchemaType::Type(one.clone());
    }
    texts::bound(schema);
    if let Some((_, pattern)) = HEADER_PATTERNS.iter().find(|(name, _)| *name == parameter.name) {
        schema.pattern = Some((*pattern).to_owned());
    }
}

async fn page() -> Response {
    let mut response = fixed("text/html; charset=utf-8", PAGE);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
    response
}

fn fixed(media_type: &'static str, content: &'static [u8]) -> Response {
    asset(media_type, Bytes::from_static(content))
}

fn asset(media_type: &'static str, content: Bytes) -> Response {
    const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");
    let headers: [(HeaderName, HeaderValue); 2] =
        [(header::CONTENT_TYPE, HeaderValue::from_static(media_type)), (header::CACHE_CONTROL, CACHE)];
    (headers, content).into_response()
}

/// What each code means, under the address that problems give as their type: `/problems/{code}`.
pub fn problem_pages() -> Router {
    Router::new().route("/problems/{code}", get(problem_page))
}

async fn problem_page(crate::body::Path(wanted): crate::body::Path<String>) -> Result<Response, Problem> {
    let page = |code: &str, status: u16, title: &str, hint: &str| serde_json::json!({ "code": code, "status": status, "title": title, "hint": hint });
    let edge = EDGE_CODES.iter().find(|it| it.code == wanted);
    let edge = edge.map(|doc| page(doc.code, doc.status, doc.title, doc.hint));
    let found = edge.or_else(|| {
        let doc = domain::codes::find(&wanted)?;
        Some(page(doc.code, http_status(doc.kind).as_u16(), doc.title, doc.hint))
    });
    Ok(crate::body::Json(found.ok_or_else(|| Problem::new(&code::NOT_FOUND, ""))?).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use serde_json::{Value, json};
    use tower::ServiceExt;
    use utoipa::OpenApi as _;

    #[expect(dead_code, reason = "only its description is used")]
    #[utoipa::path(get, path = "/v1/things", responses((status = 200, description = "The things.")))]
    async fn things() {}

    #[expect(dead_code, reason = "only its description is used")]
    #[utoipa::path(get, path = "/v1/public", security(()), responses((status = 200, description = "For all.")))]
    async fn public() {}

    #[derive(utoipa::OpenApi)]
    #[openapi(paths(things, public))]
    struct Document;

    #[test]
    fn every_operation_tells_its_refusals_and_its_security() {
        let json = serde_json::to_value(complete(Document::openapi())).unwrap();
        let operation = &json["paths"]["/v1/things"]["get"];
        assert_eq!(operation["security"], json!([{"bearer": []}]));
        let schema = &operation["responses"]["503"]["content"]["application/problem+json"]["schema"];
        assert_eq!(schema["$ref"], "#/components/schemas/Problem");
        assert!(json["components"]["schemas"]["Problem"]["properties"]["trace_id"].is_object());
        assert!(json["components"]["schemas"]["FieldProblem"].is_object());
        assert!(json["paths"]["/v1/public"]["get"]["responses"]["401"].is_null());
        assert!(operation["responses"]["415"].is_null(), "it takes no body");
        for responses in ["/v1/things", "/v1/public"].map(|it| &json["paths"][it]["get"]["responses"]) {
            for response in responses.as_object().unwrap().values() {
                assert!(!response["description"].as_str().unwrap().is_empty());
            }
        }
    }

    #[tokio::test]
    async fn the_page_loads_nothing_from_elsewhere() {
        let router = routes(&Document::openapi()).unwrap().merge(problem_pages());
        for path in
            ["/docs", "/docs/start.js", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/openapi.json"]
        {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{path}");
        }
        let html = std::str::from_utf8(PAGE).unwrap();
        assert!(!html.contains("://") && !html.contains("<script>") && !html.contains("style="));
        let request = Request::builder().uri("/problems/rate.limited").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap()["status"], 429);
    }
}
