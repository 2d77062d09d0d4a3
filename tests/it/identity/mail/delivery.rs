//! How letters leave: once if anything lets them, through servers that lose words, refuse, or protect nothing.

use std::collections::BTreeSet;

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use event_store::vault::{Letter, Mail, VaultChange};
use serde_json::Value;
use tests::database::{Database, master_key, tenant};
use tests::smtp::{Authority, Manner, RudeServer, Sink, SinkTls};
use tests::until;
use uuid::Uuid;

use super::{
    Mailer, PATIENCE, Test, apply, becomes, counter, hostile, mailer, make_due, options, plain, queue, reset,
    slip,
};

fn message_ids(letters: &[String]) -> Vec<&str> {
    letters.iter().filter_map(|letter| letter.lines().find(|it| it.starts_with("Message-ID: "))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_go_out_once_from_several_mailers_and_what_they_said_is_gone() -> Test {
    const LETTERS: usize = 100;
    let (database, server) = (Database::fresh().await?, RudeServer::start([]).await?);
    for owner in [tenant(1), tenant(2)] {
        let master = master_key()?;
        let changes: Vec<VaultChange> =
            (0..LETTERS / 2).map(|_| reset().queued(slip(owner), &master)).collect::<Result<_, _>>()?;
        apply(&database, owner, &changes).await?;
    }
    let mailers: Vec<Mailer> =
        (0..3).map(|_| mailer(&database, plain(server.port)?)).collect::<Result<_, _>>()?;
    until(PATIENCE, || async {
        let mut conn = database.superuser().await?;
        let sent: i64 = sqlx::query_scalar("select count(*) from vault.outbox where sent_at is not null")
            .fetch_one(&mut conn)
            .await?;
        Ok(usize::try_from(sent)? == LETTERS)
    })
    .await?;
    let letters = server.letters();
    let ids: BTreeSet<&str> = message_ids(&letters).into_iter().collect();
    assert_eq!((letters.len(), ids.len()), (LETTERS, LETTERS), "each once");
    let mut conn = database.superuser().await?;
    let kept: i64 =
        sqlx::query_scalar("select count(*) from vault.outbox where sealed is not null or tries <> 1")
            .fetch_one(&mut conn)
            .await?;
    assert_eq!(kept, 0);
    let counted = mailers.iter().map(|it| counter(&it.metrics, "quipu_mail_sent_total")).sum::<Option<f64>>();
    assert_eq!(counted, Some(LETTERS as f64));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_whose_word_was_lost_comes_again_under_the_same_id() -> Test {
    let (database, server) = (Database::fresh().await?, RudeServer::start([Manner::TakesSilently]).await?);
    let _mailer = mailer(&database, plain(server.port)?)?;
    let mail = queue(&database, &reset()).await?;
    let failed = becomes(&database, mail, |it| it.last_error.is_some()).await?;
    assert!(failed.has_content && !failed.sent && failed.wait > 50.0, "{failed:?}");
    assert_eq!(server.letters().len(), 1);
    make_due(&database).await?;
    let sent = becomes(&database, mail, |it| it.sent).await?;
    assert!(!sent.has_content && sent.tries == 2 && sent.last_error.is_none(), "{sent:?}");
    let letters = server.letters();
    let expected = format!("Message-ID: <{mail}@quipu.example>");
    assert_eq!(message_ids(&letters), [&expected, &expected]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_sending_and_noting_it_loses_nothing() -> Test {
    let (database, server) = (Database::fresh().await?, RudeServer::start([]).await?);
    let mut conn = database.superuser().await?;
    // The note of the first try fails, as if the process had ended before it.
    tests::database::execute(
        &mut conn,
        "create function public.crash() returns trigger language plpgsql as $$ begin raise 'crash'; end $$;
         create trigger crash before update of sent_at on vault.outbox for each row
             when (new.sent_at is not null) execute function public.crash()"
            .to_owned(),
    )
    .await?;
    let _mailer = mailer(&database, plain(server.port)?)?;
    let mail = queue(&database, &reset()).await?;
    until(PATIENCE, || async { Ok(server.letters().len() == 1) }).await?;
    let held = becomes(&database, mail, |it| it.tries == 1).await?;
    assert!(held.has_content && !held.sent && held.wait > 200.0, "nobody else tries it meanwhile: {held:?}");
    tests::database::execute(&mut conn, "drop trigger crash on vault.outbox".to_owned()).await?;
    make_due(&database).await?;
    becomes(&database, mail, |it| it.sent).await?;
    let letters = server.letters();
    let ids = message_ids(&letters);
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_refuses_for_good_is_believed_and_who_refuses_for_now_is_asked_less_and_less() -> Test {
    let manners = [
        Manner::Refuses("550 5.1.1 <ada@example.org> is unknown here"),
        Manner::Refuses("451 4.7.1 come back later"),
        // How we send is at fault, not the letter: that can be mended.
        Manner::Refuses("530 5.7.0 say who you are"),
    ];
    let (database, server) = (Database::fresh().await?, RudeServer::start(manners).await?);
    let mailer = mailer(&database, plain(server.port)?)?;
    let refused = queue(&database, &reset()).await?;
    let dead = becomes(&database, refused, |it| it.dead).await?;
    assert_eq!(dead.last_error.as_deref(), Some("the server answered 550"), "and not whom it named");
    assert!(!dead.has_content);

    let delayed = queue(&database, &reset()).await?;
    let once = becomes(&database, delayed, |it| it.last_error.is_some()).await?;
    assert_eq!(once.last_error.as_deref(), Some("the server answered 451"));
    assert!((50.0..=60.0).contains(&once.wait), "{once:?}");
    make_due(&database).await?;
    let twice = becomes(&database, delayed, |it| it.tries == 2 && it.wait < 200.0).await?;
    assert_eq!(twice.last_error.as_deref(), Some("the server answered 530"));
    assert!((110.0..=120.0).contains(&twice.wait), "{twice:?}");
    make_due(&database).await?;
    becomes(&database, delayed, |it| it.sent).await?;
    assert_eq!(server.letters().len(), 1);
    until(PATIENCE, || async { Ok(counter(&mailer.metrics, "quipu_mail_dead") == Some(1.0)) }).await?;
    assert_eq!(counter(&mailer.metrics, "quipu_mail_failed_total{why=\"passing\"}"), Some(2.0));
    assert_eq!(counter(&mailer.metrics, "quipu_mail_failed_total{why=\"final\"}"), Some(1.0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_whose_link_has_ended_is_not_sent() -> Test {
    let (database, server) = (Database::fresh().await?, RudeServer::start([]).await?);
    let mail = Mail::Reset { token: "qm_secret".to_owned(), until: Utc::now() - TimeDelta::seconds(1) };
    let late = queue(&database, &Letter { mail, ..reset() }).await?;
    let _mailer = mailer(&database, plain(server.port)?)?;
    let dead = becomes(&database, late, |it| it.dead).await?;
    assert_eq!(dead.last_error.as_deref(), Some("its time was over"));
    assert!(!dead.has_content);
    // Whatever was sent before it would have been sent by now.
    becomes(&database, queue(&database, &reset()).await?, |it| it.sent).await?;
    assert_eq!(server.letters().len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_offers_no_protection_hears_nothing() -> Test {
    let (database, server) = (Database::fresh().await?, RudeServer::start([]).await?);
    let url = format!("smtp://user:password@127.0.0.1:{}", server.port);
    let _mailer = mailer(&database, Some(options(&url, None)?))?;
    let failed = becomes(&database, queue(&database, &reset()).await?, |it| it.last_error.is_some()).await?;
    let why = failed.last_error.unwrap_or_default();
    assert!(why.starts_with("the server does not offer what is needed"), "{why}");
    let said: BTreeSet<String> = server.commands().into_iter().collect();
    assert!(said.iter().all(|it| it == "EHLO" || it == "QUIT"), "{said:?}");
    Ok(())
}

fn assert_as_meant(arrived: &Value, mail: Uuid) -> Test {
    assert_eq!(arrived["sender"], "no-reply@quipu.example");
    assert_eq!(arrived["recipients"], serde_json::json!(["grüße@example.org"]));
    assert_eq!((&arrived["protected"], &arrived["user"]), (&true.into(), &"user".into()));
    let header = |name: &str| -> Vec<&str> {
        let headers = arrived["headers"].as_array().map(Vec::as_slice).unwrap_or_default();
        headers.iter().filter(|it| it[0] == name).filter_map(|it| it[1].as_str()).collect()
    };
    assert_eq!(header("bcc"), Vec::<&str>::new());
    assert_eq!(header("to"), ["grüße@example.org"]);
    assert_eq!(header("from"), ["Quipu <no-reply@quipu.example>"]);
    assert_eq!(header("message-id"), [format!("<{mail}@quipu.example>")]);
    assert_eq!(header("auto-submitted"), ["auto-generated"]);
    let subject =
        "Einladung zu Müller Bcc: eve@ evil. example <script>x</script> https: //evil. example".to_owned();
    assert_eq!(header("subject"), [subject]);
    let text = arrived["text"].as_str().context("text")?;
    assert!(text.contains("https://id.quipu.example/invitation#qm_secret"), "{text}");
    assert!(text.contains("Ada Subject: won lädt Sie zu Müller"), "{text}");
    let html = arrived["html"].as_str().context("html")?;
    assert!(html.contains("href=\"https://id.quipu.example/invitation#qm_secret\""), "{html}");
    assert!(html.contains("Müller") && !html.contains("<script>"), "{html}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_with_a_private_authority_reads_what_we_mean() -> Test {
    let Some(authority) = Authority::make()? else { return Ok(()) };
    for (scheme, tls) in [("smtps", SinkTls::Immediate), ("smtp", SinkTls::StartTls)] {
        let Some(mut sink) = Sink::protected(&authority, tls, "user:pa:ss").await? else { return Ok(()) };
        let database = Database::fresh().await?;
        let url = format!("{scheme}://user:pa%3Ass@127.0.0.1:{}", sink.port);

        // Whoever does not believe the authority says nothing to its server.
        let distrusting = mailer(&database, Some(options(&url, None)?))?;
        let mail = queue(&database, &hostile()).await?;
        becomes(&database, mail, |it| it.last_error.is_some()).await?;
        drop(distrusting);

        let _mailer = mailer(&database, Some(options(&url, Some(&authority.certificate()))?))?;
        make_due(&database).await?;
        let arrived = sink.next().await?;
        assert_as_meant(&arrived, mail)?;
        becomes(&database, mail, |it| it.sent && it.tries == 2).await?;
    }
    Ok(())
}
