//! What is refused, and how gRPC says it.

use std::time::Duration;

use anyhow::Context as _;
use axum::http::Request;
use rpc::client::auth_service_client::AuthServiceClient;
use rpc::messages::{LoginRequest, SignUpRequest, ValidateTokenRequest};
use serde_json::Value;
use service_kit::config::HttpConfig;
use sqlx::Connection as _;
use sqlx::Executor as _;
use tests::database::tenant;
use tests::person::{Organisation, PASSWORD};
use tests::stack::{Stack, http_config};
use tests::until;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

use super::{
    PATIENCE, REFLECTION, TRACE, Test, VALIDATE, channel, code, framed, nobody, refusal, send, validated,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_told_with_its_place() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let mut auth = AuthServiceClient::new(channel(&stack.command_url).await?);
    let good = SignUpRequest {
        tenant_slug: acme.slug.clone(),
        email: "ann@example.com".to_owned(),
        password: PASSWORD.to_owned(),
        ..SignUpRequest::default()
    };
    let nul = "a\0b".to_owned();
    for (bad, status, expected, field) in [
        (
            SignUpRequest { email: "ann".to_owned(), ..good.clone() },
            Code::InvalidArgument,
            "identity.email-malformed",
            "email",
        ),
        (
            SignUpRequest { password: "ann".to_owned(), ..good.clone() },
            Code::InvalidArgument,
            "identity.password-weak",
            "password",
        ),
        (
            SignUpRequest { given_name: " ".to_owned(), ..good.clone() },
            Code::InvalidArgument,
            "text.empty",
            "given_name",
        ),
        (
            SignUpRequest { family_name: nul.clone(), ..good.clone() },
            Code::InvalidArgument,
            "text.not-allowed",
            "family_name",
        ),
        (
            SignUpRequest { language: "klingon!".to_owned(), ..good.clone() },
            Code::InvalidArgument,
            "text.language-malformed",
            "language",
        ),
        (
            SignUpRequest { tenant_slug: nul.clone(), ..good.clone() },
            Code::InvalidArgument,
            "request.nul-character",
            "tenant_slug",
        ),
        (
            SignUpRequest { password: nul.clone(), ..good.clone() },
            Code::InvalidArgument,
            "request.nul-character",
            "password",
        ),
        (
            SignUpRequest { tenant_slug: "nowhere".to_owned(), ..good.clone() },
            Code::NotFound,
            "organisation.not-found",
            "",
        ),
        (
            SignUpRequest { tenant_slug: "platform".to_owned(), ..good.clone() },
            Code::FailedPrecondition,
            "identity.registration-closed",
            "",
        ),
    ] {
        let refused = auth.sign_up(bad).await.err().context(expected)?;
        assert_eq!((refused.code(), code(&refused).as_str()), (status, expected));
        let places = refused.get_details_bad_request().map(|it| it.field_violations).unwrap_or_default();
        assert!(
            places.iter().all(|it| it.field == field) && places.is_empty() == field.is_empty(),
            "{expected}: {places:?}"
        );
    }
    let weak = auth
        .sign_up(SignUpRequest { password: "ann".to_owned(), ..good })
        .await
        .err()
        .context("a refusal")?;
    let reasons = weak.get_details_bad_request().context("places")?.field_violations;
    assert!(reasons.len() > 1 && reasons.iter().any(|it| it.reason == "PASSWORD_TOO_SHORT"), "{reasons:?}");
    let device = LoginRequest { device: nul, ..nobody() };
    assert_eq!(code(&auth.login(device).await.err().context("a refusal")?), "request.nul-character");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_known_is_an_error_and_never_an_answer() -> Test {
    let stack = Stack::commands_only().await?;
    let channel = channel(&stack.command_url).await?;
    let token = stack.owner(tenant(1))?;
    assert!(validated(&channel, &token).await?.valid);
    // The process cannot follow the log any more, so soon it does not know who may act.
    let mut blocker = stack.database.superuser().await?;
    let mut tx = blocker.begin().await?;
    tx.execute("lock table run.heartbeat in access exclusive mode").await?;
    let ask = async || {
        let request = ValidateTokenRequest { access_token: token.clone() };
        AuthServiceClient::new(channel.clone()).validate_token(request).await
    };
    until(PATIENCE, async || Ok(ask().await.is_err())).await?;
    let refused = ask().await.err().context("a refusal")?;
    assert_eq!((refused.code(), code(&refused).as_str()), (Code::Unavailable, "auth.standing-unknown"));
    assert!(refused.get_details_retry_info().is_some());
    tx.rollback().await?;
    until(PATIENCE, async || Ok(ask().await.is_ok_and(|it| it.into_inner().valid))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_not_open_to_everybody_wants_a_token_before_it_sees_a_message() -> Test {
    let stack = Stack::commands_only().await?;
    let channel = channel(&stack.command_url).await?;
    let good = format!("Bearer {}", stack.member(tenant(1))?);
    let forged = format!("Bearer {}", Stack::commands_only().await?.member(tenant(1))?);
    // A message that would be refused as malformed, if it came to that.
    let message = || framed(&[0xff, 0xff]);
    for (authorization, expected) in [
        (None, "auth.token-missing"),
        (Some(&*forged), "auth.token-invalid"),
        (Some("Basic eDp5"), "auth.token-missing"),
    ] {
        let headers: Vec<_> = authorization.map(|it| ("authorization", it)).into_iter().collect();
        let response = send(&channel, REFLECTION, &headers, message()?).await?;
        let status = refusal(response.headers())?;
        assert_eq!((status.code(), code(&status).as_str()), (Code::Unauthenticated, expected));
    }
    let response = send(&channel, REFLECTION, &[("authorization", &good)], message()?).await?;
    assert!(Status::from_header_map(response.headers()).is_none(), "a stream has begun");
    // Neither a token nor its absence makes a method that there is not.
    for headers in [vec![], vec![("authorization", good.as_str())]] {
        for path in ["/quipu.auth.v1.AuthService/DropEverything", "/nowhere.Service/Method"] {
            let status = refusal(send(&channel, path, &headers, message()?).await?.headers())?;
            assert_eq!(status.code(), Code::Unimplemented, "{path}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_layers_are_statuses_with_the_time_to_wait() -> Test {
    let stack = Stack::commands_only().await?;
    let proxies = vec!["127.0.0.1/32".parse()?];
    let limited = HttpConfig { rate_per_address: 1, trusted_proxies: proxies, ..http_config() };
    let limited = channel(&stack.command_api_with(limited).await?.0).await?;
    let headers = [
        ("x-forwarded-for", "192.0.2.1"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let mut refused = None;
    for _ in 0..50 {
        let response = send(&limited, VALIDATE, &headers, framed(&[])?).await?;
        if response.headers().contains_key("grpc-status") {
            refused = Some(response);
            break;
        }
    }
    let refused = refused.context("more than one call a second, and none was refused")?;
    assert_eq!(refused.status(), 200, "gRPC says no within an answer");
    assert_eq!(
        (&refused.headers()["x-request-id"], refused.headers().get("retry-after")),
        (&TRACE.parse()?, None)
    );
    let status = refusal(refused.headers())?;
    assert_eq!((status.code(), code(&status).as_str()), (Code::ResourceExhausted, "rate.limited"));
    assert!(status.get_details_retry_info().and_then(|it| it.retry_delay).is_some_and(|it| !it.is_zero()));
    assert_eq!(status.get_details_request_info().context("a request")?.request_id, TRACE);

    let full = HttpConfig { max_in_flight: 0, ..http_config() };
    let full = channel(&stack.command_api_with(full).await?.0).await?;
    let status = AuthServiceClient::new(full.clone()).login(nobody()).await.err().context("a refusal")?;
    assert_eq!((status.code(), code(&status).as_str()), (Code::Unavailable, "overload.too-many-requests"));
    assert!(status.get_details_retry_info().is_some());
    let health = HealthClient::new(full).check(HealthCheckRequest::default()).await?.into_inner();
    assert_eq!(health.status(), ServingStatus::Serving, "load balancers are answered however busy it is");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_more_patient_than_the_server() -> Test {
    let stack = Stack::commands_only().await?;
    let channel = channel(&stack.command_url).await?;
    let mut message = vec![];
    for (field, text) in [(0x0a, nobody().tenant_slug), (0x12, nobody().email), (0x1a, nobody().password)] {
        message.extend([field, u8::try_from(text.len())?]);
        message.extend(text.bytes());
    }
    let login = "/quipu.auth.v1.AuthService/Login";
    // A shorter time than the call takes is tried beside the layer that keeps it: clients do not wait for the answer.
    for patient in ["20S", "99999999H", "a while"] {
        let status =
            refusal(send(&channel, login, &[("grpc-timeout", patient)], framed(&message)?).await?.headers())?;
        assert_eq!(code(&status), "identity.invalid-credentials", "{patient}");
    }
    // Nobody's patience is greater than the server's: a message that never comes is not waited for beyond that.
    let hasty = HttpConfig { request_timeout: Duration::from_millis(200), ..http_config() };
    let hasty = self::channel(&stack.command_api_with(hasty).await?.0).await?;
    let never =
        Body::new(axum::body::Body::from_stream(futures_util::stream::pending::<anyhow::Result<Vec<u8>>>()));
    let request =
        Request::post(login).header("content-type", "application/grpc").header("grpc-timeout", "1H");
    let response = tokio::time::timeout(PATIENCE, hasty.oneshot(request.body(never)?)).await??;
    assert_eq!(refusal(response.headers())?.code(), Code::DeadlineExceeded);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_or_no_call_is_refused_by_name() -> Test {
    let stack = Stack::commands_only().await?;
    let channel = channel(&stack.command_url).await?;
    let mut truncated = framed(&[0x0a, 1, b'x'])?;
    truncated.pop();
    for (what, body, expected) in [
        ("no protobuf", framed(&[0xff, 0xff])?, (Code::InvalidArgument, "request.malformed-message")),
        (
            "text that is no UTF-8",
            framed(&[0x0a, 1, 0xff])?,
            (Code::InvalidArgument, "request.malformed-message"),
        ),
        ("nothing", vec![], (Code::InvalidArgument, "request.malformed-message")),
        ("a part", truncated, (Code::InvalidArgument, "request.malformed-message")),
        (
            "a flag that there is not",
            vec![7, 0, 0, 0, 0],
            (Code::InvalidArgument, "request.malformed-message"),
        ),
        ("too much", framed(&vec![0; 10_000])?, (Code::ResourceExhausted, "request.body-too-large")),
        (
            "far too much",
            [&[0, 255, 255, 255, 255][..], &[0; 9]].concat(),
            (Code::ResourceExhausted, "request.body-too-large"),
        ),
    ] {
        let status = refusal(send(&channel, VALIDATE, &[], body).await?.headers())?;
        assert_eq!((status.code(), code(&status).as_str()), expected, "{what}");
    }
    let squeezed = send(&channel, VALIDATE, &[("grpc-encoding", "gzip")], framed(&[])?).await?;
    assert_eq!(refusal(squeezed.headers())?.code(), Code::Unimplemented);

    // What is not gRPC is answered as HTTP answers.
    for kind in ["application/json", "application/grpc-web+proto", "application/grpc+json"] {
        let response = send(&channel, VALIDATE, &[("content-type", kind)], framed(&[])?).await?;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (415, &"application/problem+json".parse()?)
        );
    }
    let over_http_1 =
        reqwest::Client::builder().http1_only().build()?.post(format!("{}{VALIDATE}", stack.command_url));
    let response = over_http_1.header("content-type", "application/grpc").body(framed(&[])?).send().await?;
    assert_eq!(response.status().as_u16(), 415);
    let body: Value = serde_json::from_str(&response.text().await?)?;
    assert_eq!(body["code"], "request.not-grpc");
    Ok(())
}
