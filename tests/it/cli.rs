//! The command line as people and scripts use it: the real program, against real servers.

mod replay;
mod up;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tests::books::{Books, account, held, id, transfer};
use tests::cli::Cli;
use tests::database::tenant;
use tests::stack::{Stack, listener};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::Mutex;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(20);

fn stream(n: u128) -> String {
    format!("ledger.account/{}", id(n))
}

/// Books whose read models have all of it.
async fn books(stack: &Stack) -> anyhow::Result<Books<'_>> {
    let books = Books::with_accounts(stack, tenant(1), 2).await?;
    books.transfer(&transfer(1, 2, "12.50")).await?;
    books.transfer(&held(1, 2, "5.00", 3600)).await?;
    books.recordings().await?;
    Ok(books)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_and_shown_to_people_and_to_scripts() -> Test {
    let stack = Stack::whole().await?;
    let books = books(&stack).await?;
    let cli = Cli::owner(&stack, tenant(1))?;
    let all = books.all("/v1/events?order=oldest", 200).await?;

    let listed = cli.good(&["events", "list", "--json", "--oldest-first", "--all"]).await?.json_lines()?;
    let positions = |events: &[Value]| events.iter().map(|it| it["position"].clone()).collect::<Vec<_>>();
    // What was read since is in the log too.
    assert_eq!(positions(&listed)[..all.len()], positions(&all));
    let some = cli
        .good(&["events", "list", "--json", "--limit", "2", "--stream", &stream(2)])
        .await?
        .json_lines()?;
    assert_eq!(some.len(), 2);
    let held = cli.good(&["events", "list", "--type", "ledger.transfer-held", "--since", "1h"]).await?;
    assert_eq!(held.out.lines().count(), 2, "{}", held.out);
    assert!(!held.out.contains('\u{1b}'), "colour is for terminals: {:?}", held.out);
    let nothing = cli.good(&["events", "list", "--until", "1h"]).await?;
    assert!(nothing.out.is_empty() && nothing.talk.contains("no events"), "{nothing:?}");

    let position = all[0]["position"].as_str().context("a position")?;
    let shown: Value = serde_json::from_str(&cli.good(&["events", "show", position, "--json"]).await?.out)?;
    assert_eq!(shown["event_id"], all[0]["event_id"]);
    let tree = cli.good(&["events", "show", position, "--causation"]).await?;
    assert!(tree.out.contains("ledger.account-opened"), "{}", tree.out);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_said_with_a_code_and_an_exit_code() -> Test {
    let stack = Stack::whole().await?;
    books(&stack).await?;
    let cli = Cli::owner(&stack, tenant(1))?;
    for (arguments, code, told) in [
        (vec!["events", "show", "1-99999"], 1, "request.not-found"),
        (vec!["events", "show", "9-1"], 1, "read.epoch-changed"),
        (vec!["events", "list", "--since", "yesterday"], 2, "neither a time"),
        (vec!["events", "lsit"], 2, "list"),
        (vec!["events", "list", "--limit", "0"], 2, "--limit"),
        (vec!["stream", "state", &stream(99)], 1, "request.not-found"),
        (vec!["stream", "diff", &stream(1), "--from", "1", "--to", "1h"], 1, "two kinds"),
        (vec!["replay"], 2, "--dry-run"),
        (vec!["explain", "ledger.insuficient-funds"], 1, "did you mean ledger.insufficient-funds?"),
    ] {
        let ran = cli.run(&arguments).await?;
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(ran.talk.contains(told) && ran.out.is_empty(), "{arguments:?}: {ran:?}");
    }
    let forged = Cli::bearing(&stack, "no.token.at-all")?.run(&["events", "list"]).await?;
    assert!(forged.code == 1 && forged.talk.contains("401"), "{forged:?}");
    assert!(!forged.talk.contains("no.token.at-all"), "{forged:?}");
    let explained = cli.good(&["explain", "ledger.insufficient-funds"]).await?;
    assert!(explained.out.contains("HTTP 422") && explained.out.contains("What to do"), "{explained:?}");
    let script = cli.good(&["completions", "bash"]).await?;
    assert!(script.out.contains("complete -F"), "{}", script.out);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_hangs_up_is_no_error() -> Test {
    let stack = Stack::whole().await?;
    books(&stack).await?;
    let cli = Cli::owner(&stack, tenant(1))?;
    let mut child = cli.start(&["events", "list", "--json", "--all"])?;
    drop(child.stdout.take());
    let mut talk = String::new();
    child.stderr.take().context("stderr")?.read_to_string(&mut talk).await?;
    assert!(child.wait().await?.success(), "{talk}");
    assert!(!talk.contains("panic"), "{talk}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_seen_through_time() -> Test {
    let stack = Stack::whole().await?;
    let books = books(&stack).await?;
    let cli = Cli::owner(&stack, tenant(1))?;
    let stream = stream(1);
    let shown = cli.good(&["stream", "show", &stream, "--json"]).await?.json_lines()?;
    assert_eq!(
        shown.iter().map(|it| it["stream_version"].clone()).collect::<Vec<_>>(),
        [1, 2, 3, 4].map(|it| json!(it))
    );
    let table = cli.good(&["stream", "show", &stream]).await?.out;
    assert!(table.contains("ledger.account-opened") && table.contains("ms"), "{table}");

    let state = |at: &'static str| {
        let (cli, stream) = (&cli, stream.clone());
        async move {
            let mut arguments = vec!["stream", "state", &stream, "--json"];
            if !at.is_empty() {
                arguments.extend(["--at", at]);
            }
            anyhow::Ok(serde_json::from_str::<Value>(&cli.good(&arguments).await?.out)?)
        }
    };
    assert_eq!(state("2").await?["state"]["totals"]["debits_posted"], "0.00");
    assert_eq!(state("3").await?["state"]["totals"]["debits_posted"], "12.50");
    assert_eq!(state("").await?["version"], 4);
    let now = books.read(&account(1)).await?.json;
    assert_eq!(state("").await?["state"]["totals"]["debits_pending"], now["debits_pending"]);

    let diff = cli.good(&["stream", "diff", &stream, "--from", "2", "--to", "3"]).await?.out;
    for told in ["/totals/debits_posted", "- \"0.00\"", "+ \"12.50\"", "ledger.transfer-posted"] {
        assert!(diff.contains(told), "{told}: {diff}");
    }
    let none = cli.good(&["stream", "diff", &stream, "--from", "3", "--to", "3"]).await?;
    assert!(none.out.is_empty() && none.talk.contains("nothing changed"), "{none:?}");
    Ok(())
}

/// A door that takes CloudEvents, refusing each of them once.
async fn door() -> anyhow::Result<(String, Arc<Mutex<Vec<(String, String)>>>)> {
    let (listener, address) = listener().await?;
    let taken = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&taken);
    tokio::spawn(async move {
        let mut refused = std::collections::HashSet::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut reader = BufReader::new(&mut socket);
            let (mut length, mut id, mut line) = (0, String::new(), String::new());
            while reader.read_line(&mut line).await.is_ok() && line.trim() != "" {
                let (name, value) = line.split_once(':').unwrap_or_default();
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.trim().parse().unwrap_or_default(),
                    "ce-id" => value.trim().clone_into(&mut id),
                    _ => {}
                }
                line.clear();
            }
            let mut body = vec![0; length];
            let _read = reader.read_exact(&mut body).await;
            let answer = if refused.insert(id.clone()) {
                "HTTP/1.1 503 Not now\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            } else {
                seen.lock().await.push((id, String::from_utf8_lossy(&body).into_owned()));
                "HTTP/1.1 204 Taken\r\nconnection: close\r\n\r\n"
            };
            let _sent = socket.write_all(answer.as_bytes()).await;
        }
    });
    Ok((format!("http://{address}/hook"), taken))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_follows_and_forwards_every_event_once() -> Test {
    let stack = Stack::whole().await?;
    let books = books(&stack).await?;
    let cli = Cli::owner(&stack, tenant(1))?;
    let (hook, taken) = door().await?;
    let begins = books.position();
    let mut tail = cli.start(&[
        "events",
        "tail",
        "--follow",
        "--json",
        "--type",
        "ledger.transfer-posted",
        "--after",
        &begins,
        "--forward-to",
        &hook,
    ])?;
    let mut lines = BufReader::new(tail.stdout.take().context("stdout")?).lines();
    for amount in ["1.00", "2.00", "3.00"] {
        books.transfer(&transfer(2, 1, amount)).await?;
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await??.context("a line")?;
        let event: Value = serde_json::from_str(&line)?;
        assert_eq!(event["position"], books.position());
        let (id, body) =
            taken.lock().await.last().cloned().context("it was forwarded before it was printed")?;
        assert_eq!(json!(id), event["event_id"]);
        assert_eq!(serde_json::from_str::<Value>(&body)?, event["payload"]);
    }
    assert_eq!(taken.lock().await.len(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_is_written_to_a_file_as_a_whole() -> Test {
    let stack = Stack::whole().await?;
    books(&stack).await?;
    let cli = Cli::owner(&stack, tenant(1))?;
    let file = cli.file("journal.csv").display().to_string();
    cli.good(&["journal", "export", "--format", "csv", "--out", &file]).await?;
    let printed = cli.good(&["journal", "export", "--format", "csv"]).await?.out;
    assert_eq!(std::fs::read_to_string(&file)?, printed);
    assert!(printed.lines().count() > 5, "{printed}");
    Ok(())
}
