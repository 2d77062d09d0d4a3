//! The link of an invitation is told to one person: it is opaque, and stands nowhere but in their letter.

use anyhow::Context as _;
use domain::organisation::RoleRef;
use event_store::keyring::IndexOf;
use event_store::vault::Digest;
use reqwest::StatusCode;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use service_kit::bearer::{Bearer, Kind};
use sqlx::PgConnection;
use tests::person::{Organisation, PASSWORD};
use tests::stack::Stack;
use uuid::Uuid;

use super::{DONE, INVALID, Test, accept, act, decline, invite, invited, link, links, member, said};

/// CVE-2026-1529: an invitation as a signed token that is believed. Here it is a name that is looked up.
#[tokio::test]
async fn cve_2026_1529_an_invitation_is_opaque_and_looked_up() -> Test {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    let stack = Stack::commands_only().await?;
    let (acme, globex) =
        (Organisation::found(&stack, "acme").await?, Organisation::found(&stack, "globex").await?);
    let owner = member(&acme, RoleRef::OWNER).await?;
    let invitation = invited(&acme, &owner.token, "ann@example.com", json!(["user"])).await?;
    let token = link(&acme, "ann@example.com").await?;
    assert!(token.starts_with("qm_") && !token.contains('.'), "not a signed token");
    let claims = json!({
        "sub": "ann@example.com", "email": "ann@example.com", "invitation": invitation,
        "organisation": acme.tenant, "roles": ["owner"], "typ": "invitation", "exp": 4_000_000_000_u64,
    });
    let part = |it: &Value| BASE64.encode(it.to_string());
    let mut forged: Vec<String> = ["none", "None", "HS256", "RS256", "ES256", "EdDSA"]
        .iter()
        .map(|alg| format!("{}.{}.{}", part(&json!({ "alg": alg, "typ": "JWT" })), part(&claims), "c2lnbmVk"))
        .collect();
    forged.push(owner.token.clone());
    let other = Bearer::make(Kind::Mail, acme.tenant, Bearer::parse(Kind::Mail, &token)?.id)?;
    forged.push(other.text().expose_secret().to_owned());
    // The right secret, under the name of another organisation.
    let parts: Vec<&str> = token.split('_').collect();
    let foreign = Bearer::make(Kind::Mail, globex.tenant, Uuid::now_v7())?;
    let foreign = foreign.text().expose_secret().to_owned();
    forged.push(
        parts
            .iter()
            .enumerate()
            .map(|(n, it)| if n == 1 { foreign.split('_').nth(1).unwrap_or(it) } else { it })
            .collect::<Vec<_>>()
            .join("_"),
    );
    forged.extend([token[..token.len() - 1].to_owned(), format!("{token}a"), token.to_uppercase()]);
    forged.extend(["".to_owned(), "qm_".to_owned(), "\u{ff}".to_owned(), "x".repeat(7_000)]);
    for text in &forged {
        assert_eq!(said(&accept(&acme, text, PASSWORD).await?), INVALID, "{text}");
        assert_eq!(said(&decline(&acme, text).await?), INVALID, "{text}");
    }
    // A link of another kind opens nothing here, and this one nothing elsewhere.
    acme.register("bob").await?;
    let verify = acme.link("verify-address", 1).await?;
    assert_eq!(said(&accept(&acme, &verify, PASSWORD).await?), INVALID);
    for (path, body) in [
        ("/v1/auth/verify-email", json!({ "token": token })),
        ("/v1/auth/email/confirm", json!({ "token": token })),
        ("/v1/auth/password/reset", json!({ "token": token, "new_password": PASSWORD })),
    ] {
        assert_eq!(acme.post("", path, &body).await?.code(), "identity.link-invalid", "{path}");
    }
    assert_eq!(said(&accept(&acme, &token, PASSWORD).await?), DONE, "all of that consumed nothing");
    Ok(())
}

/// Everything that a table holds, as text.
async fn all_text(conn: &mut PgConnection, schemas: &[&str]) -> anyhow::Result<Vec<(String, String)>> {
    let tables: Vec<(String,)> = sqlx::query_as(
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = any($1) order by 1",
    )
    .bind(schemas.iter().map(ToString::to_string).collect::<Vec<_>>())
    .fetch_all(&mut *conn)
    .await?;
    let mut all = Vec::new();
    for (table,) in tables {
        let sql = format!("select coalesce(string_agg(t::text, e'\\n'), '') from {table} t");
        all.push((table, sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut *conn).await?));
    }
    Ok(all)
}

/// CVE-2026-16072, keycloak#50998: the link of an invitation in what administrators are shown.
#[tokio::test]
async fn cve_2026_16072_no_answer_event_or_list_holds_the_link() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = member(&acme, RoleRef::OWNER).await?;
    let sent = invite(&acme, &owner.token, "ann@example.com", json!(["user"])).await?;
    assert_eq!(sent.status, StatusCode::CREATED, "{}", sent.text);
    let id = sent.json["id"].as_str().context("an id")?.to_owned();
    let resent = act(&acme, &owner.token, &id, "resend").await?;
    assert_eq!(resent.status, StatusCode::OK, "{}", resent.text);
    let mut told = vec![("an answer".to_owned(), sent.text), ("an answer".to_owned(), resent.text.clone())];
    let position = resent.header("quipu-position").to_owned();
    for path in ["/v1/invitations", "/v1/events?limit=100", "/v1/users", "/v1/members"] {
        let shown = stack.get_at(&owner.token, path, &position).await?;
        assert_eq!(shown.status, StatusCode::OK, "{path} {}", shown.text);
        told.push((path.to_owned(), shown.text));
    }
    let mut conn = stack.database.superuser().await?;
    told.extend(all_text(&mut conn, &["store", "read", "run", "keys"]).await?);
    assert!(told.iter().any(|(_, text)| text.contains("organisation.invitation-resent")));
    let mut hidden = Vec::new();
    for token in links(&acme, "ann@example.com").await? {
        let hash = Digest(Bearer::parse(Kind::Mail, &token)?.hash());
        let secret = token.rsplit('_').next().context("a secret")?.to_owned();
        hidden.extend([secret, hash.to_string()]);
    }
    assert_eq!(hidden.len(), 4);
    for (place, text) in &told {
        for secret in &hidden {
            assert!(!text.to_lowercase().contains(&secret.to_lowercase()), "{place}");
        }
    }
    // Not even the vault has the link itself.
    for (table, text) in all_text(&mut conn, &["vault"]).await? {
        assert!(!hidden.iter().step_by(2).any(|it| text.contains(it.as_str())), "{table}");
    }
    Ok(())
}

#[tokio::test]
async fn lists_of_invitations_hold_no_hash() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = member(&acme, RoleRef::OWNER).await?;
    let sent = invite(&acme, &owner.token, "ann@example.com", json!(["user"])).await?;
    let list = stack.get_at(&owner.token, "/v1/invitations", sent.header("quipu-position")).await?;
    assert_eq!(list.json["items"].as_array().map(Vec::len), Some(1), "{}", list.text);
    let fields: Vec<&str> =
        list.json["items"][0].as_object().expect("a row").keys().map(String::as_str).collect();
    for field in fields {
        assert!(!["token", "hash", "secret", "link"].iter().any(|it| field.contains(it)), "{field}");
    }
    // Nor does the address stand there in a form in which it could be looked up.
    let address = acme.master()?.index(acme.tenant, IndexOf::Email, b"ann@example.com");
    assert!(!list.text.contains(&address.to_string()));
    Ok(())
}
