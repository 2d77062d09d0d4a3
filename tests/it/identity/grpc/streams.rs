//! Health, and calls that stay open.

use std::time::Duration;

use anyhow::Context as _;
use rpc::server::auth_service_server::SERVICE_NAME as AUTH;
use tests::database::tenant;
use tests::stack::Stack;
use tests::until;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::{PATIENCE, REFLECTION, REFLECTION_ALPHA, Test, channel, code, framed, refusal, send};

#[tokio::test(flavor = "multi_thread")]
async fn health_is_what_readyz_says_and_whoever_watches_learns_of_the_end() -> Test {
    let stack = Stack::commands_only().await?;
    let shutdown = CancellationToken::new();
    let (url, served) = stack.command_api_until(shutdown.clone()).await?;
    let mut health = HealthClient::new(channel(&url).await?);
    let of = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for service in ["", AUTH, "grpc.health.v1.Health"] {
        assert_eq!(
            health.check(of(service)).await?.into_inner().status(),
            ServingStatus::Serving,
            "{service}"
        );
    }
    let unknown = health.check(of("nowhere.Service")).await.err().context("a refusal")?;
    assert_eq!(unknown.code(), Code::NotFound);
    let mut nowhere = health.watch(of("nowhere.Service")).await?.into_inner();
    assert_eq!(said(nowhere.message().await?), Some(ServingStatus::ServiceUnknown));
    let mut watched = health.watch(of(AUTH)).await?.into_inner();
    assert_eq!(said(watched.message().await?), Some(ServingStatus::Serving));
    shutdown.cancel();
    assert_eq!(said(watched.message().await?), Some(ServingStatus::NotServing));
    assert_eq!(said(watched.message().await?), None, "the stream ends with the process");
    assert_eq!(said(nowhere.message().await?), None);
    // Nobody who watches keeps a process from its end.
    tokio::time::timeout(Duration::from_secs(8), served).await???;
    Ok(())
}

/// Tools of some years ago know it by the name that it had first.
#[tokio::test(flavor = "multi_thread")]
async fn the_protocol_is_told_under_either_name_of_reflection_and_to_nobody_without_a_token() -> Test {
    let stack = Stack::commands_only().await?;
    let channel = channel(&stack.command_url).await?;
    let token = format!("Bearer {}", stack.member(tenant(1))?);
    // Field 7, `list_services`.
    let list = || framed(&[0x3a, 1, b'*']);
    for path in [REFLECTION, REFLECTION_ALPHA] {
        let stranger = send(&channel, path, &[], list()?).await?;
        assert_eq!(code(&refusal(stranger.headers())?), "auth.token-missing", "{path}");
        let told = send(&channel, path, &[("authorization", &token)], list()?).await?;
        let told = axum::body::to_bytes(axum::body::Body::new(told.into_body()), 10_000).await?;
        for service in [AUTH, "grpc.health.v1.Health"] {
            let is_told = told.windows(service.len()).any(|it| it == service.as_bytes());
            assert!(is_told, "{path} does not tell of {service}");
        }
    }
    Ok(())
}

fn said(message: Option<HealthCheckResponse>) -> Option<ServingStatus> {
    message.map(|it| it.status())
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_have_places_and_give_them_back() -> Test {
    let stack = Stack::commands_only().await?;
    let channel = channel(&stack.command_url).await?;
    let mut health = HealthClient::new(channel.clone());
    let mut watchers = Vec::new();
    let refused = loop {
        anyhow::ensure!(watchers.len() < 90, "there is no end to it");
        match health.watch(HealthCheckRequest::default()).await {
            Ok(stream) => watchers.push(stream),
            Err(refused) => break refused,
        }
    };
    assert_eq!(watchers.len(), 64);
    assert_eq!((refused.code(), code(&refused).as_str()), (Code::Unavailable, "overload.too-many-streams"));
    let token = format!("Bearer {}", stack.member(tenant(1))?);
    let reflection = send(&channel, REFLECTION, &[("authorization", &token)], vec![]).await?;
    assert_eq!(
        code(&refusal(reflection.headers())?),
        "overload.too-many-streams",
        "all streams share the places"
    );
    assert!(health.check(HealthCheckRequest::default()).await.is_ok(), "calls are not streams");
    drop(watchers);
    until(PATIENCE, || {
        let mut health = health.clone();
        async move { Ok(health.watch(HealthCheckRequest::default()).await.is_ok()) }
    })
    .await?;
    // A watcher that names an end is let go at it.
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    request.metadata_mut().insert("grpc-timeout", "300m".parse()?);
    let mut brief = health.watch(request).await?.into_inner();
    assert_eq!(said(brief.message().await?), Some(ServingStatus::Serving));
    let end = tokio::time::timeout(PATIENCE, brief.message()).await?;
    assert_eq!(end.err().map(|it| it.code()), Some(Code::Unavailable));
    Ok(())
}
