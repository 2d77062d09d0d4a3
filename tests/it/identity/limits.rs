//! How often may be tried what guesses at secrets and what sends letters: over several processes, both transports, and behind
//! a proxy.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::organisation::RoleRef;
use event_store::vault::{Digest, Try, Vault};
use futures_util::future::try_join_all;
use reqwest::{Method, StatusCode};
use rpc::client::auth_service_client::AuthServiceClient;
use rpc::messages::LoginRequest;
use serde_json::json;
use service_kit::config::{HttpConfig, RateConfig};
use service_kit::rate::Rate;
use tests::database::{Database, tenant};
use tests::members::Members;
use tests::person::{Organisation, PASSWORD, Person, SignedIn};
use tests::stack::{Answer, Stack, answer, http_config};
use tonic::transport::Endpoint;

type Test = anyhow::Result<()>;

const WRONG: &str = "not-the-password-of-anybody";
const HOUR: u64 = 3_600;
/// Wrong, and looked at.
const LOOKED_AT: (u16, &str) = (401, "identity.invalid-credentials");
const LIMITED: (u16, &str) = (429, "rate.limited");

fn said(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.code())
}

/// Asks one process for something, through a proxy that says from where.
async fn ask(
    acme: &Organisation<'_>,
    base: &str,
    forwarded: &str,
    path: &str,
    body: &serde_json::Value,
) -> anyhow::Result<Answer> {
    let request = acme.stack.request(Method::POST, "", &format!("{base}{path}")).json(body);
    answer(request.header("X-Forwarded-For", forwarded)).await
}

/// Guesses at one process.
async fn guess(
    acme: &Organisation<'_>,
    base: &str,
    forwarded: &str,
    email: &str,
    password: &str,
) -> anyhow::Result<Answer> {
    let body = json!({ "tenant_slug": acme.slug, "email": email, "password": password });
    ask(acme, base, forwarded, "/v1/auth/login", &body).await
}

/// An address that nobody has, another one each time: so that no lock on guessing at one person is met.
fn nobody(n: usize) -> String {
    format!("nobody-{n}@example.com")
}

#[tokio::test]
async fn limits_count_the_hop_of_the_last_trusted_proxy() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let base =
        stack.command_api_limited(RateConfig { rate_sign_in: Rate::new(3, HOUR), ..RateConfig::OFF }).await?;
    let mut next = 0;
    let mut from = async |forwarded: &str| {
        next += 1;
        guess(&acme, &base, forwarded, &nobody(next), WRONG).await
    };
    // What stands left of the last hop that no proxy of ours has written is what the client says, and changes nothing.
    for (hops, expected) in [
        ("198.51.100.7", LOOKED_AT),
        ("203.0.113.1, 198.51.100.7", LOOKED_AT),
        ("203.0.113.2, 198.51.100.7, 127.0.0.9", LOOKED_AT),
        ("203.0.113.3, 198.51.100.7", LIMITED),
        ("198.51.100.7, 203.0.113.3", LOOKED_AT),
        ("198.51.100.8", LOOKED_AT),
        // Of IPv6 a customer has 64 bits at least.
        ("2001:db8:1:2::1", LOOKED_AT),
        ("2001:db8:1:2::2", LOOKED_AT),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", LOOKED_AT),
        ("2001:db8:1:2::3", LIMITED),
        ("2001:db8:1:3::1", LOOKED_AT),
    ] {
        let answer = from(hops).await?;
        assert_eq!(said(&answer), expected, "{hops} {}", answer.text);
    }
    let refused = from("198.51.100.7").await?;
    assert_eq!(refused.json["details"]["policy"], "sign-in");
    assert_eq!(refused.header("ratelimit-policy"), format!("\"sign-in\";q=3;w={HOUR}"));
    assert!(refused.header("ratelimit").starts_with("\"sign-in\";r=0;t="), "{}", refused.header("ratelimit"));
    let wait: u64 = refused.header("retry-after").parse()?;
    assert!((HOUR - 120..=HOUR).contains(&wait), "{wait}");
    let admitted = from("198.51.100.8").await?;
    assert!(
        admitted.header("ratelimit").starts_with("\"sign-in\";r=1;t="),
        "{}",
        admitted.header("ratelimit")
    );
    Ok(())
}

#[tokio::test]
async fn a_limit_holds_for_both_transports_together() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let base =
        stack.command_api_limited(RateConfig { rate_sign_in: Rate::new(2, HOUR), ..RateConfig::OFF }).await?;
    let mut client = AuthServiceClient::new(Endpoint::from_shared(base.clone())?.connect().await?);
    let call = |n: usize| {
        let message = LoginRequest {
            tenant_slug: acme.slug.clone(),
            email: nobody(n),
            password: WRONG.to_owned(),
            device: String::new(),
        };
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert("x-forwarded-for", "198.51.100.7".parse()?);
        anyhow::Ok(request)
    };
    assert_eq!(said(&guess(&acme, &base, "198.51.100.7", &nobody(1), WRONG).await?), LOOKED_AT);
    let looked_at = client.login(call(2)?).await.err().map(|it| it.code());
    assert_eq!(looked_at, Some(tonic::Code::Unauthenticated));
    assert_eq!(said(&guess(&acme, &base, "198.51.100.7", &nobody(3), WRONG).await?), LIMITED);
    let limited = client.login(call(4)?).await.err().map(|it| it.code());
    assert_eq!(limited, Some(tonic::Code::ResourceExhausted));
    Ok(())
}

#[tokio::test]
async fn an_own_account_does_not_clear_the_limit_of_an_address() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let mallory = acme.join("mallory").await?;
    let base =
        stack.command_api_limited(RateConfig { rate_sign_in: Rate::new(6, HOUR), ..RateConfig::OFF }).await?;
    let from = "198.51.100.7";
    for n in 0..3 {
        assert_eq!(said(&guess(&acme, &base, from, &nobody(n), WRONG).await?), LOOKED_AT);
        SignedIn::of(&guess(&acme, &base, from, &mallory.email, PASSWORD).await?)?;
    }
    let seventh = guess(&acme, &base, from, &mallory.email, PASSWORD).await?;
    assert_eq!(said(&seventh), LIMITED, "{}", seventh.text);
    SignedIn::of(&guess(&acme, &base, "198.51.100.8", &mallory.email, PASSWORD).await?)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_the_limit_of_guesses() -> Test {
    const MOST: usize = 10;
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let rates = RateConfig { rate_sign_in: Rate::new(10, HOUR), ..RateConfig::OFF };
    let bases = [stack.command_api_limited(rates.clone()).await?, stack.command_api_limited(rates).await?];
    let guesses = (0..4 * MOST).map(|n| {
        let (acme, base) = (&acme, &bases[n % 2]);
        async move { guess(acme, base, "198.51.100.7", &nobody(n), WRONG).await }
    });
    let answers = try_join_all(guesses).await?;
    let mut counts = BTreeMap::new();
    answers.iter().for_each(|it| *counts.entry(said(it)).or_insert(0) += 1);
    assert_eq!(counts, BTreeMap::from([(LOOKED_AT, MOST), (LIMITED, 3 * MOST)]));
    Ok(())
}

#[tokio::test]
async fn what_an_address_is_refused_costs_its_organisation_nothing() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let other = Organisation::found(&stack, "other").await?;
    let nowhere = Organisation { slug: "nowhere".to_owned(), ..Organisation::found(&stack, "third").await? };
    let rates = RateConfig {
        rate_sign_in: Rate::new(2, HOUR),
        rate_sign_in_tenant: Rate::new(4, HOUR),
        ..RateConfig::OFF
    };
    let base = stack.command_api_limited(rates).await?;
    // An organisation that is not there is counted like one that is.
    for (who, net) in [(&acme, 1), (&nowhere, 2)] {
        let mut next = 0;
        let mut from = async |host: u8| {
            next += 1;
            guess(who, &base, &format!("10.{net}.0.{host}"), &nobody(next), WRONG).await
        };
        let mut counts = BTreeMap::new();
        for _ in 0..9 {
            *counts.entry(said(&from(1).await?).0).or_insert(0) += 1;
        }
        assert_eq!(counts, BTreeMap::from([(401, 2), (429, 7)]), "{}", who.slug);
        assert_eq!(said(&from(2).await?), LOOKED_AT, "{}", who.slug);
        assert_eq!(said(&from(3).await?), LOOKED_AT, "{}", who.slug);
        let refused = from(4).await?;
        assert_eq!(said(&refused), LIMITED, "{}", who.slug);
        assert_eq!(refused.json["details"]["policy"], "sign-in-tenant");
    }
    assert_eq!(said(&guess(&other, &base, "10.3.0.1", &nobody(1), WRONG).await?), LOOKED_AT);
    Ok(())
}

#[tokio::test]
async fn letters_to_a_person_are_limited_whoever_asks_and_whether_there_is_one() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    acme.join("ann").await?;
    let rates = RateConfig {
        rate_recover: Rate::new(5, HOUR),
        rate_recover_person: Rate::new(3, HOUR),
        ..RateConfig::OFF
    };
    let base = stack.command_api_limited(rates).await?;
    let mut answers = Vec::new();
    for (net, email) in [(1, "ann@example.com"), (2, "eve@example.com")] {
        let mut said_of_one = Vec::new();
        for host in 0..4 {
            let path = ["/v1/auth/password/forgot", "/v1/auth/verify-email/resend"][host % 2];
            let body = json!({ "tenant_slug": acme.slug, "email": email });
            let answer = ask(&acme, &base, &format!("10.{net}.0.{host}"), path, &body).await?;
            said_of_one.push((answer.status, answer.code().to_owned(), answer.json["details"].clone()));
        }
        answers.push(said_of_one);
    }
    assert_eq!(answers[0], answers[1], "whether there is such a person is not told");
    assert_eq!(answers[0].iter().map(|it| it.0.as_u16()).collect::<Vec<_>>(), [202, 202, 202, 429]);
    assert_eq!(answers[0][3].2["policy"], "recover-person");
    // And one address asks for no more than so many, of whoever it be; a weak password is no letter.
    let register = async |email: String, password: &str| {
        let body = json!({ "tenant_slug": acme.slug, "email": email, "password": password });
        ask(&acme, &base, "10.3.0.1", "/v1/auth/register", &body).await
    };
    for n in 0..8 {
        assert_eq!(register(nobody(n), "short").await?.code(), "identity.password-weak");
    }
    for n in 0..5 {
        assert_eq!(register(nobody(n), PASSWORD).await?.status, StatusCode::CREATED);
    }
    let sixth = register(nobody(6), PASSWORD).await?;
    assert_eq!((said(&sixth), &sixth.json["details"]["policy"]), (LIMITED, &json!("recover")));
    Ok(())
}

#[tokio::test]
async fn what_a_member_has_sent_is_counted_at_the_member_and_not_at_the_strangers_beside_them() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let people = [acme.join("ann").await?, acme.join("bob").await?, acme.join("cat").await?];
    let owner = Members::of(&stack, acme.tenant)?.join(&[RoleRef::OWNER]).await?;
    let rates = RateConfig {
        rate_recover: Rate::new(1, HOUR),
        rate_letters_member: Rate::new(2, HOUR),
        ..RateConfig::OFF
    };
    let base = stack.command_api_limited(rates).await?;
    let forgot = async |email: String| {
        let body = json!({ "tenant_slug": acme.slug, "email": email });
        ask(&acme, &base, "10.3.0.1", "/v1/auth/password/forgot", &body).await
    };
    assert_eq!(forgot(nobody(1)).await?.status, StatusCode::ACCEPTED);
    assert_eq!(said(&forgot(nobody(2)).await?), LIMITED, "the address has no more");
    let reset = async |person: &Person| {
        let url = format!("{base}/v1/users/{}/password-reset", person.user);
        let request = stack.request(Method::POST, &owner.token, &url).header("X-Forwarded-For", "10.3.0.1");
        answer(request).await
    };
    for person in &people[..2] {
        assert_eq!(reset(person).await?.status, StatusCode::ACCEPTED);
    }
    let third = reset(&people[2]).await?;
    assert_eq!((said(&third), &third.json["details"]["policy"]), (LIMITED, &json!("letters-member")));
    Ok(())
}

#[tokio::test]
async fn links_are_looked_at_so_often_and_no_more() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let base =
        stack.command_api_limited(RateConfig { rate_links: Rate::new(4, HOUR), ..RateConfig::OFF }).await?;
    let body = |path: &str| match path {
        "/v1/auth/password/reset" => json!({ "token": "qm_", "new_password": PASSWORD }),
        _ => json!({ "token": "qm_" }),
    };
    for (path, expected) in [
        ("/v1/auth/verify-email", "identity.link-invalid"),
        ("/v1/auth/password/reset", "identity.link-invalid"),
        ("/v1/organizations/confirm", "identity.link-invalid"),
        ("/v1/auth/verify-email", "identity.link-invalid"),
        ("/v1/auth/verify-email", "rate.limited"),
        ("/v1/auth/password/reset", "rate.limited"),
        ("/v1/organizations/confirm", "rate.limited"),
    ] {
        let answer = ask(&acme, &base, "198.51.100.7", path, &body(path)).await?;
        assert_eq!(answer.code(), expected, "{path} {}", answer.text);
    }
    Ok(())
}

#[tokio::test]
async fn a_session_is_refreshed_so_often_and_a_refusal_uses_no_token_up() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let (mut tokens, other) = (acme.sign_in(&ann).await?, acme.sign_in(&ann).await?);
    let base =
        stack.command_api_limited(RateConfig { rate_refresh: Rate::new(2, HOUR), ..RateConfig::OFF }).await?;
    for _ in 0..2 {
        tokens = SignedIn::of(&acme.refresh_at(&base, &tokens.refresh).await?)?;
    }
    assert_eq!(said(&acme.refresh_at(&base, &tokens.refresh).await?), LIMITED);
    SignedIn::of(&acme.refresh_at(&base, &other.refresh).await?)?;
    SignedIn::of(&acme.refresh(&tokens.refresh).await?)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_an_api_has_a_limit_of_its_own() -> Test {
    let stack = Stack::commands_only().await?;
    let maker = Members::of(&stack, tenant(1))?.join(&[RoleRef::ADMIN]).await?;
    let make = async || {
        let body = json!({ "name": "Nightly", "permissions": ["ledger.open-account"] });
        let made = stack.post(&maker.token, "/v1/api-keys", &body).await?;
        anyhow::ensure!(made.status == StatusCode::CREATED, "{} {}", made.status, made.text);
        Ok(made.json["key"].as_str().unwrap_or_default().to_owned())
    };
    let (one, other) = (make().await?, make().await?);
    let (base, _) = stack.command_api_with(HttpConfig { rate_per_api_key: 2, ..http_config() }).await?;
    // What is asked is nonsense: whoever is admitted is told so.
    let ask = async |key: &str| {
        answer(stack.request(Method::POST, key, &format!("{base}/v1/ledger/accounts"))).await
    };
    let answers = try_join_all((0..50).map(|_| ask(&one))).await?;
    let limited: Vec<&Answer> = answers.iter().filter(|it| said(it) == LIMITED).collect();
    assert!(!limited.is_empty() && limited.len() < answers.len(), "{} of {}", limited.len(), answers.len());
    for refused in limited {
        assert_eq!(refused.json["details"]["policy"], "api-key");
        assert_eq!(refused.header("ratelimit-policy"), "\"api-key\";q=2;w=1");
    }
    let admitted = |it: &Answer| it.status == StatusCode::UNSUPPORTED_MEDIA_TYPE;
    assert!(answers.iter().all(|it| said(it) == LIMITED || admitted(it)));
    assert!(admitted(&ask(&other).await?), "another key has its own");
    assert!(admitted(&ask(&maker.token).await?), "and so has whoever made them");
    Ok(())
}

/// A try under a policy of sixty a minute.
fn sixty_a_minute(subject: u8) -> Try {
    let subject = Digest([subject; 32]);
    Try { tenant: tenant(1), policy: 1, subject, most: 60, span: Duration::from_secs(60) }
}

#[tokio::test]
async fn a_rate_of_sixty_a_minute_admits_sixty_in_a_minute() -> Test {
    let database = Database::fresh().await?;
    let vault = Vault::new(database.pool("quipu_command")?);
    let tried = async || anyhow::Ok(vault.count_tries(&[sixty_a_minute(1)]).await?[0]);
    for n in 1..=60 {
        assert_eq!(tried().await?.used, n);
    }
    let refused = tried().await?;
    assert_eq!(refused.used, 61);
    assert!((Duration::from_secs(1)..=Duration::from_secs(60)).contains(&refused.ends_in), "{refused:?}");
    for _ in 0..9 {
        assert_eq!(tried().await?.used, 61, "what is refused is not counted any further");
    }
    assert_eq!(vault.count_tries(&[sixty_a_minute(2)]).await?[0].used, 1, "others are counted apart");
    let mut conn = database.superuser().await?;
    let age = "update vault.rate_windows set began_at = began_at - interval '59 seconds' where subject = $1";
    sqlx::query(age).bind([1_u8; 32].as_slice()).execute(&mut conn).await?;
    assert_eq!(tried().await?.used, 61, "a minute is not over before it is");
    let age = "update vault.rate_windows set began_at = began_at - interval '1 second' where subject = $1";
    sqlx::query(age).bind([1_u8; 32].as_slice()).execute(&mut conn).await?;
    assert_eq!(vault.look_at_tries(&sixty_a_minute(1)).await?, None);
    assert_eq!(tried().await?.used, 1);
    assert_eq!(
        vault.look_at_tries(&sixty_a_minute(1)).await?.map(|it| it.used),
        Some(1),
        "looking counts nothing"
    );
    Ok(())
}

#[tokio::test]
async fn windows_that_are_over_are_swept_away() -> Test {
    let database = Database::fresh().await?;
    let vault = Vault::new(database.pool("quipu_command")?);
    vault.count_tries(&[sixty_a_minute(1)]).await?;
    vault.count_tries(&[sixty_a_minute(2)]).await?;
    let mut conn = database.superuser().await?;
    let age = "update vault.rate_windows set began_at = began_at - interval '25 hours' where subject = $1";
    sqlx::query(age).bind([1_u8; 32].as_slice()).execute(&mut conn).await?;
    let swept = Vault::new(database.pool("quipu_reactor")?).sweep(100).await?;
    assert!(swept.iter().all(|it| it.gone == u64::from(it.kind == "rate_windows")), "{swept:?}");
    assert_eq!(vault.look_at_tries(&sixty_a_minute(2)).await?.map(|it| it.used), Some(1));
    let left: i64 =
        sqlx::query_scalar("select count(*) from vault.rate_windows").fetch_one(&mut conn).await?;
    assert_eq!(left, 1);
    Ok(())
}

/// A client that asks again after a crash is not shut out: its answer sends no second letter.
#[tokio::test]
async fn a_repeated_request_is_no_second_letter() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = Members::of(&stack, acme.tenant)?.join(&[RoleRef::OWNER]).await?;
    let rates = RateConfig { rate_invitations_member: Rate::new(2, HOUR), ..RateConfig::OFF };
    let base = stack.command_api_limited(rates).await?;
    let make = async |name: &str| {
        let request = stack.request(Method::POST, &owner.token, &format!("{base}/v1/users"));
        let body = json!({ "email": format!("{name}@example.com") });
        answer(request.header("Idempotency-Key", name).json(&body)).await
    };
    let first = make("ann").await?;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    for _ in 0..4 {
        let again = make("ann").await?;
        assert_eq!((again.status, &again.json["id"]), (first.status, &first.json["id"]), "{}", again.text);
    }
    assert_eq!(make("bob").await?.status, StatusCode::CREATED, "that is the second one");
    assert_eq!(said(&make("eve").await?), LIMITED);
    assert_eq!(make("ann").await?.status, StatusCode::CREATED, "what is known is told");
    Ok(())
}
