//! The second way in: gRPC, on the listener of HTTP and by the same rules. A method calls the functions that routes call, a
//! refusal is the same problem, and it is counted, limited, traced and logged by the same layers. Only how it is said
//! differs, and that is decided last ([`answered`]).
//!
//! | what | where |
//! |---|---|
//! | who may call what, and for how long | [`door`], [`deadline`] |
//! | how a refusal is said | [`refusal`] |
//! | the services | [`auth`], [`health`]; reflection is the library's |
//!
//! **Invariant:** a method that is not listed in [`OPEN`] wants an access token.

mod auth;
mod deadline;
mod door;
mod health;
mod refusal;

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::post_service;
use rpc::Method;
use rpc::server::auth_service_server::AuthServiceServer;
use service_kit::health::Health;
use service_kit::token::TOKEN_BYTES_MAX;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic_health::pb::FILE_DESCRIPTOR_SET as HEALTH;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET as REFLECTION;
use tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET as REFLECTION_ALPHA;
use tonic_reflection::server::Builder as Reflection;
use tower::Service;

use auth::Auth;
use door::{Door, at_the_door};
use health::Readiness;

use crate::identity::Identity;

/// Methods that may be called without a token: those with which one comes to have a token, the one that looks at one, and
/// those of load balancers. Reflection is not among them: whoever holds a stream open has said who it is.
const OPEN: &[&str] = &[
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/quipu.auth.v1.AuthService/SignUp",
    "/quipu.auth.v1.AuthService/Login",
    "/quipu.auth.v1.AuthService/ForgotPassword",
    "/quipu.auth.v1.AuthService/ResetPassword",
    "/quipu.auth.v1.AuthService/ValidateToken",
];
/// Bytes of a message at most: an access token of the largest size, and what a message adds to it.
const MESSAGE_BYTES_MAX: usize = TOKEN_BYTES_MAX + 1024;
/// Streams of a process at most.
const STREAMS_MAX: usize = 64;

/// What the services need.
pub(crate) struct Services {
    /// Who people are.
    pub(crate) identity: Identity,
    /// Whether the process can work.
    pub(crate) health: Health,
    /// Ends streams.
    pub(crate) shutdown: CancellationToken,
}

/// A route for each method of each service. Before [`service_kit::access::verified_by`].
///
/// # Errors
/// If a description that was compiled in cannot be read.
pub(crate) fn routes(services: Services) -> anyhow::Result<Router> {
    let Services { identity, health, shutdown } = services;
    let described = [rpc::DESCRIPTORS, HEALTH, REFLECTION, REFLECTION_ALPHA].map(rpc::methods).into_iter();
    let methods: Vec<Method> = described.collect::<Result<Vec<_>, _>>().context("a protocol")?.concat();
    let streams = Arc::new(Semaphore::new(STREAMS_MAX));
    let auth = AuthServiceServer::new(Auth(identity)).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let health = Readiness::new(health, &methods, Arc::clone(&streams), shutdown.clone());
    let health = HealthServer::new(health).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let describes = || {
        let both = Reflection::configure().register_encoded_file_descriptor_set(rpc::DESCRIPTORS);
        both.register_encoded_file_descriptor_set(HEALTH)
    };
    let what = "the description of the protocols";
    let reflection = describes().build_v1().context(what)?.max_decoding_message_size(MESSAGE_BYTES_MAX);
    // Tools that are a few years old ask for it under its first name.
    let before = describes().build_v1alpha().context(what)?.max_decoding_message_size(MESSAGE_BYTES_MAX);
    let router = with(Router::new(), &methods, &auth);
    let router = with(router, &methods, &health);
    let router = with(router, &methods, &reflection);
    let router = with(router, &methods, &before);
    let door = Arc::new(Door::new(&methods, streams, shutdown));
    Ok(router.route_layer(from_fn_with_state(door, at_the_door)))
}

fn with<S>(router: Router, methods: &[Method], service: &S) -> Router
where
    S: Service<Request, Error = Infallible, Response: IntoResponse, Future: Send> + NamedService,
    S: Clone + Send + Sync + 'static,
{
    let its = methods.iter().filter(|it| it.service == S::NAME);
    its.fold(router, |router, it| router.route(&it.path, post_service(service.clone())))
}

/// Lets refusals be said as the caller speaks. Around all else, since layers refuse too.
pub(crate) fn answered(router: Router) -> Router {
    router.layer(from_fn(refusal::speak))
}
