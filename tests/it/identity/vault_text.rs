//! What is handed out to people is nowhere in the database: only hashes of it are, and what is sealed.

use std::collections::BTreeSet;

use anyhow::Context as _;
use event_store::vault::Mail;
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection};
use tests::person::{Organisation, PASSWORD, SignedIn};
use tests::stack::{Stack, answer};

type Test = anyhow::Result<()>;

/// Every row of every table as text, bytes in hexadecimal.
async fn dump(conn: &mut PgConnection) -> anyhow::Result<Vec<(String, String)>> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p', 'm') and not c.relispartition
             and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') order by 1",
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut rows = Vec::new();
    for table in tables {
        let all = format!("select t::text from {table} t");
        let texts: Vec<String> = sqlx::query_scalar(AssertSqlSafe(all)).fetch_all(&mut *conn).await?;
        rows.extend(texts.into_iter().map(|text| (table.clone(), text)));
    }
    Ok(rows)
}

/// A text, what stands behind the readable part of it, and both as bytes in hexadecimal.
fn forms(secret: &str) -> Vec<String> {
    let hex = |text: &str| text.bytes().map(|it| format!("{it:02x}")).collect::<String>();
    let last = secret.rsplit(['.', '_', '=']).next().filter(|it| it.len() >= 20);
    let texts = last.into_iter().chain([secret]);
    texts.flat_map(|it| [it.to_owned(), hex(it)]).collect()
}

/// After sign-ins, refreshes, a changed password and letters with links: of everything that was handed out, nothing stands
/// in a table of the vault, in a read model or in an event. (drmhse: refresh tokens in the clear.)
#[tokio::test(flavor = "multi_thread")]
async fn the_vault_holds_no_bearer_text() -> Test {
    let stack = Stack::whole().await?;
    let (_projector, _stops) = stack.with_reactors()?;
    let org = Organisation::found(&stack, "vault-text").await?;
    let mut secrets: BTreeSet<String> = BTreeSet::from([PASSWORD.to_owned()]);
    let mut keep = |it: &SignedIn| {
        secrets.extend([it.access.clone(), it.refresh.clone(), it.device.clone()]);
    };
    let (ann, ben) = (org.join("ann").await?, org.register("ben").await?);
    for person in [&ann, &ann] {
        let signed_in = org.sign_in(person).await?;
        keep(&signed_in);
        let refreshed = SignedIn::of(&org.refresh(&signed_in.refresh).await?)?;
        keep(&refreshed);
        keep(&SignedIn::of(&org.refresh(&refreshed.refresh).await?)?);
    }
    let signed_in = org.sign_in(&ann).await?;
    keep(&signed_in);
    let changed = "onyx-harbour-velvet-compass";
    let url = format!("{}/v1/auth/password/change", stack.command_url);
    let body = json!({ "current": PASSWORD, "new": changed });
    let done = answer(stack.request(Method::POST, &signed_in.access, &url).json(&body)).await?;
    assert!(done.status.is_success(), "{}", done.text);
    secrets.insert(changed.to_owned());
    let forgotten = json!({ "tenant_slug": org.slug, "email": ann.email });
    let asked = org.post("", "/v1/auth/password/forgot", &forgotten).await?;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.text);
    let resend = json!({ "tenant_slug": org.slug, "email": ben.email });
    assert_eq!(org.post("", "/v1/auth/verify-email/resend", &resend).await?.status, StatusCode::ACCEPTED);
    secrets.insert(org.link("reset", 1).await?);
    for letter in org.letters("verify-address").await? {
        if let Mail::VerifyAddress { token, .. } = letter.mail {
            secrets.insert(token);
        }
    }
    assert!(secrets.len() > 20, "{}", secrets.len());

    let mut conn = stack.database.superuser().await?;
    let rows = dump(&mut conn).await?;
    let of = |schema: &str| rows.iter().filter(|it| it.0.starts_with(schema)).count();
    assert!(of("vault.") > 10 && of("store.") > 20 && of("read.") > 3, "there is something to search");
    let session = signed_in.session()?.to_string();
    assert!(rows.iter().any(|it| it.1.contains(&session)), "the search finds what is there");
    for secret in secrets.iter().filter(|it| !it.is_empty()) {
        for form in forms(secret) {
            let found = rows.iter().find(|it| it.1.contains(&form));
            let place = found.map(|it| it.0.as_str());
            assert_eq!(place, None, "{} stands there", form.get(..12).context("a form")?);
        }
    }
    Ok(())
}
