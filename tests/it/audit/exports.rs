//! Exports: the same bytes for ever, as the checksum says.

use aws_lc_rs::digest::{SHA256, digest};
use chrono::Utc;
use domain::audit::{AuditEvent, ExportFormat, RecordAudit, TrailExported};
use domain::ids::ExportId;
use domain::organisation::RoleRef;
use tests::members::Members;
use tests::stack::answer;

use super::*;

async fn export(stack: &Stack, token: &str, body: &Value, position: &str) -> anyhow::Result<Answer> {
    let request =
        reqwest::Client::new().post(format!("{}/v1/audit/exports", stack.query_url)).bearer_auth(token);
    answer(request.header("Quipu-Position", position).json(body)).await
}

fn sha256(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_what_its_checksum_says_whenever_it_is_fetched() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 3).await?;
    for n in 0..20 {
        stack.post(&books.token, "/v1/ledger/transfers", &transfer(1, 2, &format!("{n}00.01"))).await?;
    }
    let refused = stack.post(&books.token, "/v1/ledger/transfers", &transfer(77, 2, "1.00")).await?;
    let position = refused.header("quipu-position").to_owned();
    for (format, filters) in [
        ("csv", json!({ "action": "ledger." })),
        ("ndjson", json!({ "action": "ledger.", "result": "done" })),
    ] {
        let body = json!({ "format": format, "filters": filters });
        let made = export(&stack, &books.token, &body, &position).await?;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        let path = made.header("location").to_owned();
        let content = stack.get(&books.token, &format!("{path}/content")).await?;
        assert_eq!(content.status, StatusCode::OK, "{}", content.text);
        assert_eq!(json!(sha256(&content.text)), made.json["sha256"], "{format}");
        assert_eq!(json!(content.text.len()), made.json["size"]);
        let rows: Vec<Value> = if format == "csv" {
            let mut reader = csv::Reader::from_reader(content.text.as_bytes());
            let rows = reader.deserialize::<std::collections::BTreeMap<String, String>>();
            rows.map(|row| Ok(json!(row?))).collect::<anyhow::Result<_>>()?
        } else {
            content.text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?
        };
        assert_eq!(json!(rows.len()), made.json["rows"], "{format}");
        // The same entries as the search gives, the oldest first.
        let query = if format == "csv" { "action=ledger." } else { "action=ledger.&result=done" };
        let mut searched = books.all(&format!("/v1/audit?{query}"), 200).await?;
        searched.reverse();
        let positions = |rows: &[Value]| rows.iter().map(|it| it["position"].clone()).collect::<Vec<_>>();
        assert_eq!(positions(&rows), positions(&searched));
        // What happens later changes nothing of it; and an erased person's key is not needed.
        books.transfer(&transfer(1, 2, "0.01")).await?;
        let mut conn = stack.database.superuser().await?;
        tests::database::execute(&mut conn, "delete from keys.subject_keys".to_owned()).await?;
        let again = stack.get(&books.token, &format!("{path}/content")).await?;
        assert_eq!(again.text, content.text);
        assert_eq!(again.header("repr-digest"), content.header("repr-digest"));
        let shown = stack.get(&books.token, &path).await?;
        assert_eq!(shown.json, made.json);
        let listed = stack.get_at(&books.token, "/v1/audit/exports", made.header("quipu-position")).await?;
        assert_eq!(listed.json["items"][0], made.json);
        let entry = newest(&books, "/v1/audit?result=exported", made.header("quipu-position")).await?;
        assert_eq!(entry["action"], "audit.export-trail");
        assert_eq!(entry["resources"], json!([path]));
    }
    Ok(())
}

/// The text of an export without its last columns, as a build wrote it that did not know them yet.
fn narrowed(text: &str, columns: usize) -> anyhow::Result<String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for row in reader.records() {
        writer.write_record(row?.iter().take(columns))?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_says_in_which_session_and_for_whom_and_what_was_exported_before_stays_as_it_was() -> Test {
    let stack = Stack::whole().await?;
    let members = Members::of(&stack, tenant(1))?;
    let ada = members.join(&[RoleRef::OWNER]).await?;
    let body = json!({ "id": id(1), "name": "x", "currency": "EUR" });
    let opened = stack.post(&ada.token, "/v1/ledger/accounts", &body).await?;
    assert_eq!(opened.status, StatusCode::CREATED, "{}", opened.text);
    let made =
        export(&stack, &ada.token, &json!({ "format": "csv" }), opened.header("quipu-position")).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let content = async |id: &str| stack.get(&ada.token, &format!("/v1/audit/exports/{id}/content")).await;
    let whole = content(made.json["export_id"].as_str().unwrap_or_default()).await?.text;
    let head = whole.lines().next().unwrap_or_default();
    assert!(head.ends_with(",event_id,session_id,on_behalf_of"), "{head}");
    let line = whole.lines().find(|it| it.contains("ledger.account-opened")).unwrap_or_default();
    assert!(line.ends_with(&format!(",{},", ada.session)), "in their session, for themselves: {line}");

    // An older build exported the same, and did not say how many columns there were.
    let (export_id, narrow) = (ExportId::new(Uuid::now_v7()), narrowed(&whole, 12)?);
    assert!(narrow.lines().next().is_some_and(|it| it.ends_with(",event_id")), "{narrow}");
    let before = TrailExported {
        export_id,
        format: ExportFormat::Csv,
        filters: std::collections::BTreeMap::new(),
        up_to: made.json["up_to"].as_str().unwrap_or_default().to_owned(),
        rows: made.json["rows"].as_u64().unwrap_or_default(),
        size: u64::try_from(narrow.len())?,
        sha256: sha256(&narrow),
        columns: None,
        at: Utc::now(),
    };
    members.done(RecordAudit(AuditEvent::TrailExported(before))).await?;
    let again = content(&export_id.to_string()).await?;
    assert_eq!((again.status, again.text), (StatusCode::OK, narrow));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_export_is_the_first_one_also_in_a_race() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let id = Uuid::now_v7();
    let body = json!({ "id": id, "format": "csv" });
    let race = (0..8).map(|_| export(&stack, &books.token, &body, "1-1"));
    let answers =
        futures_util::future::join_all(race).await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    for answer in &answers {
        assert_eq!((answer.status, &answer.json), (StatusCode::CREATED, &answers[0].json), "{}", answer.text);
    }
    assert_eq!(answers.iter().filter(|it| it.header("idempotent-replayed").is_empty()).count(), 1);
    let told = told(&stack, 1).await?;
    assert_eq!(told.iter().filter(|(name, _)| name == "audit.trail-exported").count(), 1);
    let other = export(&stack, &books.token, &json!({ "id": id, "format": "ndjson" }), "1-1").await?;
    assert_eq!((other.status.as_u16(), other.code()), (409, "audit.export-exists"));
    // The same id in another tenant is another export.
    let stranger = stack.owner(tenant(2))?;
    assert_eq!(export(&stack, &stranger, &body, "1-1").await?.status, StatusCode::CREATED);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_not_the_same_any_more_is_cut_off() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let made = export(&stack, &books.token, &json!({ "format": "csv" }), &books.position()).await?;
    let path = format!("{}/content", made.header("location"));
    assert_eq!(stack.get(&books.token, &path).await?.status, StatusCode::OK);
    let mut conn = stack.database.superuser().await?;
    tests::database::execute(
        &mut conn,
        format!("update read.audit_trail set code = 'x' where tenant_id = '{}'", tenant(1)),
    )
    .await?;
    assert!(stack.get(&books.token, &path).await.is_err(), "the transfer breaks");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_owners_export_and_only_by_our_words() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let member = stack.member(tenant(1))?;
    for (token, body, status, code) in [
        (&member, json!({ "format": "csv" }), 403, "auth.permission-missing"),
        (&books.token, json!({ "format": "xlsx" }), 400, "request.invalid-field"),
        (&books.token, json!({ "format": "csv", "filters": { "name": "x" } }), 400, "request.unknown-field"),
        (
            &books.token,
            json!({ "format": "csv", "filters": { "action": "Jane" } }),
            400,
            "request.invalid-parameter",
        ),
    ] {
        let answer = export(&stack, token, &body, "1-1").await?;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{body}: {}", answer.text);
    }
    let told = told(&stack, 1).await?;
    assert!(told.iter().all(|(name, _)| name != "audit.trail-exported"));
    assert!(
        told.iter().any(|(name, it)| name == "audit.read-refused" && it["action"] == "audit.export-trail")
    );
    let nobodys = format!("/v1/audit/exports/{}", Uuid::from_u128(1));
    for path in [nobodys.clone(), format!("{nobodys}/content")] {
        assert_eq!(stack.get(&books.token, &path).await?.status, StatusCode::NOT_FOUND, "{path}");
    }
    Ok(())
}
