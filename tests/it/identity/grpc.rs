//! gRPC beside HTTP, on one port: the same rules, limits and refusals, said as gRPC says them.

mod clients;
mod people;
mod refusals;
mod streams;
mod tokens;

use std::time::Duration;

use anyhow::Context as _;
use axum::http::{HeaderMap, Request, Response, Version};
use rpc::client::auth_service_client::AuthServiceClient;
use rpc::messages::{LoginRequest, ValidateTokenRequest, ValidateTokenResponse};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(20);
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const REFLECTION_ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
const VALIDATE: &str = "/quipu.auth.v1.AuthService/ValidateToken";
const OF_TOKENS: [&str; 2] = ["auth.token-invalid", "auth.token-expired"];
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

async fn channel(url: &str) -> anyhow::Result<Channel> {
    Ok(Endpoint::from_shared(url.to_owned())?.connect().await?)
}

/// What the server says of a token.
async fn validated(channel: &Channel, token: &str) -> anyhow::Result<ValidateTokenResponse> {
    let request = ValidateTokenRequest { access_token: token.to_owned() };
    Ok(AuthServiceClient::new(channel.clone()).validate_token(request).await?.into_inner())
}

/// The code of a refusal, as HTTP would give it.
fn code(status: &Status) -> String {
    status.get_details_error_info().and_then(|it| it.metadata.get("code").cloned()).unwrap_or_default()
}

fn nobody() -> LoginRequest {
    LoginRequest {
        tenant_slug: "nobody-has-this".to_owned(),
        email: "nobody@example.com".to_owned(),
        password: "correct horse battery staple".to_owned(),
        device: String::new(),
    }
}

/// Sends a request as it stands: no client of the protocol would send some of these.
async fn send(
    channel: &Channel,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> anyhow::Result<Response<Body>> {
    let mut request = Request::post(path).version(Version::HTTP_2).header("te", "trailers");
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/grpc");
    }
    request = headers.iter().fold(request, |it, (name, value)| it.header(*name, *value));
    let body = Body::new(axum::body::Body::from(body));
    Ok(channel.clone().oneshot(request.body(body)?).await?)
}

/// The status of a call that was refused before there was a message: it stands in the only head that there is.
fn refusal(headers: &HeaderMap) -> anyhow::Result<Status> {
    assert_eq!(headers["content-type"], "application/grpc");
    Status::from_header_map(headers).context("a status among the headers")
}

/// A message as it travels: whether it is compressed, its length, itself.
fn framed(message: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(message.len())?.to_be_bytes());
    bytes.extend(message);
    Ok(bytes)
}
