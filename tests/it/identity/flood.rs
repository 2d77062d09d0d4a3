//! What strangers can fill, and who is kept out by it: what waits for people on their way in, and the limits that many
//! share.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use domain::ids::{ProviderId, TenantId};
use event_store::vault::{Begun, Digest, Vault};
use futures_util::future::{join, join_all, try_join_all};
use reqwest::{Client, Method, StatusCode};
use serde_json::json;
use service_kit::config::RateConfig;
use service_kit::rate::Rate;
use tests::database::{Database, execute, master_key, tenant};
use tests::passkey::Passkey;
use tests::person::{Organisation, PASSWORD, SignedIn};
use tests::relying::{BACK, Relying, parameter, shop};
use tests::stack::{Answer, PUBLIC_URL, Stack, answer};
use tests::tab::Tab;
use uuid::Uuid;

type Test = anyhow::Result<()>;

const HOUR: u64 = 3_600;
const LIMITED: (u16, &str) = (429, "rate.limited");
/// Rows that a tenant may have of what waits.
const ROOM: i64 = 10_000;
/// More than fit, so that room is made a few times.
const FLOOD: usize = 300;

fn said(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.code())
}

/// One origin leaves as many rows as a tenant may have, all of them newer than what is there.
async fn fill(database: &Database, table: &str, of: TenantId) -> Test {
    let columns = match table {
        "authorization_requests" => "request_id, hash, sealed",
        "oauth_states" => "state_id, hash, browser, provider_id, sealed",
        "webauthn_challenges" => "hash",
        other => anyhow::bail!("{other} has no columns here"),
    };
    let values: Vec<&str> = columns
        .split(", ")
        .map(|it| match it {
            "hash" | "browser" => "sha256(n::text::bytea)",
            "sealed" => "'\\x00'::bytea",
            _ => "gen_random_uuid()",
        })
        .collect();
    let statement = format!(
        "insert into vault.{table} (tenant_id, origin, expires_at, {columns})
         select '{of}', sha256('greedy'), now() + interval '11 minutes' + n * interval '1 ms', {}
         from generate_series(1, {ROOM}) n",
        values.join(", ")
    );
    let mut conn = database.superuser().await?;
    Ok(execute(&mut conn, statement).await?)
}

async fn waiting(database: &Database, table: &str, greedy: bool) -> anyhow::Result<i64> {
    let mut conn = database.superuser().await?;
    let is = if greedy { "=" } else { "<>" };
    let count = format!("select count(*) from vault.{table} where origin {is} sha256('greedy')");
    Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&mut conn).await?)
}

/// Room was made by whoever had the most, and not more of it than needed.
async fn only_the_greedy_lost(database: &Database, table: &str, kept: i64) -> Test {
    assert_eq!(waiting(database, table, false).await?, kept, "{table}");
    let left = waiting(database, table, true).await?;
    // Who comes at the same moment may make room as well.
    assert!((ROOM / 2..=ROOM - 100).contains(&left), "{table}: {left}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_floods_passkeys_and_others_still_sign_in() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let session = acme.sign_in(&ann).await?;
    let mut passkey = Passkey::at(PUBLIC_URL)?;
    let options = acme.post(&session.access, "/v1/auth/passkeys/options", &json!(null)).await?;
    let added = acme.post(&session.access, "/v1/auth/passkeys", &passkey.make(&options.json)?).await?;
    assert_eq!(added.status, StatusCode::CREATED, "{}", added.text);
    let base = stack.command_api_limited(RateConfig::OFF).await?;
    let begin = async |from: &str| {
        let request = stack.request(Method::POST, "", &format!("{base}/v1/auth/passkey-sign-in/options"));
        let request = request.header("X-Forwarded-For", from).json(&json!({ "tenant_slug": acme.slug }));
        let begun = answer(request).await?;
        anyhow::ensure!(begun.status == StatusCode::OK, "{} {}", begun.status, begun.text);
        anyhow::Ok(begun.json)
    };
    let before = begin("192.0.2.1").await?;
    fill(&stack.database, "webauthn_challenges", acme.tenant).await?;
    let begun = try_join_all((0..FLOOD).map(|n| begin(["198.51.100.7", "198.51.100.8"][n % 2]))).await?;
    assert_eq!(begun.len(), FLOOD, "nobody is refused");
    only_the_greedy_lost(&stack.database, "webauthn_challenges", i64::try_from(FLOOD)? + 1).await?;
    let after = begin("192.0.2.2").await?;
    for options in [before, after] {
        let signed = passkey.sign(&acme.slug, &options)?;
        SignedIn::of(&acme.post("", "/v1/auth/passkey-sign-in", &signed).await?)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_services_flood_and_whoever_was_sent_before_still_signs_in() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let sent = tab.get(&shop.authorize("openid", &[])?).await?;
    let begin = sent.header("location").to_owned();
    assert!(begin.starts_with("/sign-in?request=qp_"), "{begin}");
    fill(&stack.database, "authorization_requests", acme.tenant).await?;
    let base = stack.command_api_limited(RateConfig::OFF).await?;
    let http = tests::oidc::browser()?;
    let url = format!("{base}{}", shop.authorize("openid", &[])?);
    let flood = (0..FLOOD).map(|n| {
        let from = ["198.51.100.7", "198.51.100.8"][n % 2];
        answer(http.get(&url).header("X-Forwarded-For", from))
    });
    for answer in try_join_all(flood).await? {
        assert!(answer.header("location").starts_with("/sign-in?request=qp_"), "{}", answer.text);
    }
    only_the_greedy_lost(&stack.database, "authorization_requests", i64::try_from(FLOOD)? + 1).await?;
    let back = shop.walk(&mut tab, &ann, &begin).await?;
    assert!(back.as_str().starts_with(BACK) && parameter(&back, "code").is_some(), "{back}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_at_providers_make_room_for_each_other_in_their_own_tenant() -> Test {
    let database = Database::fresh().await?;
    let (vault, master) = (Vault::new(database.pool("quipu_command")?), master_key()?);
    let begin = async |of: TenantId, origin: u8| {
        let (state, hash) = (Uuid::now_v7(), Digest([origin; 32]));
        let begun = Begun {
            tenant: of,
            state,
            hash,
            browser: hash,
            provider: ProviderId::new(Uuid::from_u128(1)),
            user: None,
            whose: hash,
            content: b"what is kept",
        };
        let gone = vault.begin_oauth(&begun, Duration::from_secs(600), &master).await?;
        anyhow::Ok((state, hash, gone))
    };
    let (state, hash, gone) = begin(tenant(1), 1).await?;
    assert_eq!(gone, 0);
    let (others, of_others, _) = begin(tenant(2), 1).await?;
    fill(&database, "oauth_states", tenant(1)).await?;
    let made =
        try_join_all((0..FLOOD).map(|n| begin(tenant(1), u8::try_from(2 + n % 20).unwrap_or(2)))).await?;
    let gone: u64 = made.iter().map(|it| it.2).sum();
    assert!(gone >= 100, "{gone}");
    only_the_greedy_lost(&database, "oauth_states", i64::try_from(FLOOD)? + 2).await?;
    assert_eq!(begin(tenant(2), 1).await?.2, 0, "another tenant is not full");
    for (of, state, hash) in [(tenant(1), state, hash), (tenant(2), others, of_others)] {
        assert!(vault.take_oauth(of, state, hash, hash, &master).await?.is_some());
    }
    Ok(())
}

#[tokio::test]
async fn where_none_is_greedy_what_is_over_goes_first_and_then_the_oldest() -> Test {
    let database = Database::fresh().await?;
    let vault = Vault::new(database.pool("quipu_command")?);
    let mut conn = database.superuser().await?;
    // Each of another origin: 50 are over, and of the rest the first are the oldest.
    let each = format!(
        "insert into vault.webauthn_challenges (tenant_id, hash, origin, expires_at)
         select '{}', sha256(n::text::bytea), sha256(('of' || n)::bytea),
                now() + case when n <= 50 then interval '-1 hour' else interval '1 minute' end + n * interval '1 ms'
         from generate_series(1, {ROOM}) n",
        tenant(1)
    );
    execute(&mut conn, each).await?;
    let put = async |byte: u8| {
        let hash = Digest([byte; 32]);
        anyhow::Ok(vault.put_challenge(tenant(1), hash, hash, None, Duration::from_secs(300)).await?)
    };
    assert_eq!((put(1).await?, put(2).await?), (100, 0));
    let left: i64 = sqlx::query_scalar(
        "select min(n)::bigint from generate_series(1, 200) n
         where exists (select from vault.webauthn_challenges it where it.hash = sha256(n::text::bytea))",
    )
    .fetch_one(&mut conn)
    .await?;
    assert_eq!(left, 101);
    Ok(())
}

#[tokio::test]
async fn services_send_somebody_so_often_from_one_address() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let rates = RateConfig {
        rate_authorize: Rate::new(2, HOUR),
        rate_device_codes_address: Rate::new(2, HOUR),
        ..RateConfig::OFF
    };
    let base = stack.command_api_limited(rates).await?;
    let http = tests::oidc::browser()?;
    let url = format!("{base}{}", shop.authorize("openid", &[])?);
    let send = async |http: &Client, from: &str, accept: &str| {
        answer(http.get(&url).header("X-Forwarded-For", from).header("accept", accept)).await
    };
    for (from, status) in [
        ("198.51.100.7", 303),
        ("198.51.100.7", 303),
        ("198.51.100.7", 429),
        ("198.51.100.8", 303),
        ("2001:db8:1:2::1", 303),
        ("2001:db8:1:2::2", 303),
        ("2001:db8:1:2::3", 429),
        ("2001:db8:1:3::1", 303),
    ] {
        let sent = send(&http, from, "*/*").await?;
        assert_eq!(sent.status.as_u16(), status, "{from} {}", sent.text);
    }
    let refused = send(&http, "198.51.100.7", "*/*").await?;
    assert_eq!((said(&refused), &refused.json["details"]["policy"]), (LIMITED, &json!("authorize")));
    assert!(!refused.header("retry-after").is_empty());
    let page = send(&http, "198.51.100.7", "text/html").await?;
    assert_eq!(page.status.as_u16(), 429);
    assert!(page.header("content-type").starts_with("text/html"), "{}", page.text);

    // What one address asks for devices is not taken from what all devices of a service have.
    let ask = async |from: &str| {
        let secret = shop.secret.as_deref().context("a secret")?;
        let request = http.post(format!("{base}/oauth2/device_authorization"));
        let request = request.basic_auth(&shop.client_id, Some(secret)).header("X-Forwarded-For", from);
        anyhow::Ok(answer(tests::relying::form(request, &[("scope", "openid")])).await?.status.as_u16())
    };
    for (from, status) in
        [("198.51.100.7", 200), ("198.51.100.7", 200), ("198.51.100.7", 429), ("198.51.100.8", 200)]
    {
        assert_eq!(ask(from).await?, status, "{from}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_use_an_organisation_up_and_known_devices_still_sign_in() -> Test {
    const MOST: usize = 5;
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let (ann, bob) = (acme.join("ann").await?, acme.join("bob").await?);
    let (anns, bobs) = (acme.sign_in(&ann).await?.device, acme.sign_in(&bob).await?.device);
    let rates = RateConfig {
        rate_sign_in_tenant: Rate::new(u32::try_from(MOST)?, HOUR),
        rate_sign_in_known: Rate::new(3, HOUR),
        ..RateConfig::OFF
    };
    let bases = [stack.command_api_limited(rates.clone()).await?, stack.command_api_limited(rates).await?];
    let strangers = (0..12 * MOST).map(|n| {
        let (acme, base) = (&acme, &bases[n % 2]);
        let body = json!({
            "tenant_slug": acme.slug, "email": format!("nobody-{n}@example.com"), "password": "not-the-password",
        });
        let request = acme.stack.request(Method::POST, "", &format!("{base}/v1/auth/login")).json(&body);
        answer(request.header("X-Forwarded-For", format!("10.0.{n}.1")))
    });
    let known = async {
        let mut signed_in = Vec::new();
        for n in 0..3 {
            signed_in.push(acme.log_in_at(&bases[n % 2], &ann.email, PASSWORD, &anns).await?);
        }
        anyhow::Ok(signed_in)
    };
    let (strangers, known) = join(join_all(strangers), known).await;
    let mut counts = BTreeMap::new();
    for stranger in strangers {
        *counts.entry(said(&stranger?).0).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([(401, MOST), (429, 11 * MOST)]));
    for signed_in in known? {
        SignedIn::of(&signed_in)?;
    }
    // A device is known for one person, and what it kept cannot be made up.
    for (email, cookie) in
        [(&ann.email, ""), (&bob.email, &*anns), (&ann.email, &bobs), (&ann.email, &anns[..anns.len() - 1])]
    {
        let refused = acme.log_in_at(&bases[0], email, PASSWORD, cookie).await?;
        assert_eq!(
            (said(&refused), &refused.json["details"]["policy"]),
            (LIMITED, &json!("sign-in-tenant")),
            "{email} {cookie}"
        );
    }
    // Known devices have a limit as well, each person their own, in all processes together.
    let at_once = (0..24).map(|n: usize| {
        let (acme, base, bob, bobs) = (&acme, &bases[n % 2], &bob, &bobs);
        async move { acme.log_in_at(base, &bob.email, PASSWORD, bobs).await }
    });
    let mut admitted = 0;
    for answer in try_join_all(at_once).await? {
        if said(&answer) == LIMITED {
            assert_eq!(answer.json["details"]["policy"], "sign-in-known");
        } else {
            SignedIn::of(&answer)?;
            admitted += 1;
        }
    }
    assert_eq!(admitted, 3);
    Ok(())
}
