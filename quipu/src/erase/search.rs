//! Searches everything that is stored for what was known of an erased person: each row of each table, each message on
//! NATS, each file of the folders that were named. The texts were taken into memory before their key went.
//!
//! An address, a telephone number or the like counts wherever it stands, in whatever case. A name counts where it is a
//! whole value, or where given and family name stand together: `May` within another word says nothing of anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::{GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::{self, ErrorCode};
use domain::ids::TenantId;
use event_schemas::wire;
use event_store::erasure_journal::Erasure;
use futures_util::StreamExt as _;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use super::certificate::{Finding, Searched, Table, hex};
use super::desk::Desk;
use super::found::{Found, Known};
use crate::progress::Bar;

/// Pages of 8 KiB that are read by one statement.
const PAGES_AT_ONCE: i64 = 512;

/// Characters below which a text is found everywhere.
const SHORTEST: usize = 4;

/// Messages of one request to NATS, and how long it may take.
const MESSAGES_AT_ONCE: usize = 500;
const MESSAGES_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// Bytes of a file that are read at once, and how many of them are looked at again with the next ones.
const CHUNK: usize = 1 << 20;
const OVERLAP: usize = 4 * 1024;

/// How deep JSON within JSON is looked into: the body of an answer within a column is two.
const DEPTH_MAX: usize = 4;

/// Searches everything.
///
/// # Errors
/// If something cannot be read that is there.
pub async fn everything(
    desk: &Desk,
    erasure: &Erasure,
    found: &Found,
    scan: &[PathBuf],
) -> anyhow::Result<Searched> {
    let needles = Needles::of(found);
    let mut search = Search::new(&needles, erasure);
    search.database(desk, erasure.tenant).await?;
    if let Some(client) = &desk.nats {
        search.messages(client.clone()).await?;
    }
    for path in scan {
        search.path(path).with_context(|| path.display().to_string())?;
    }
    Ok(search.done())
}

/// What is searched for.
#[derive(Debug, Default)]
struct Needles {
    /// Found wherever they stand: lower-case text, with the name of the field.
    anywhere: Vec<(String, String)>,
    /// Found as a whole value.
    whole: Vec<(String, String)>,
    too_short: u64,
}

impl Needles {
    fn of(found: &Found) -> Self {
        let mut needles = Self::default();
        for Known { field, text } in &found.known {
            if text.chars().count() < SHORTEST {
                needles.too_short += 1;
            } else if is_name(field) {
                needles.whole.push((text.to_lowercase(), field.clone()));
            } else {
                needles.anywhere.push((text.to_lowercase(), field.clone()));
            }
        }
        let of = |field: &'static str| found.known.iter().filter(move |it| it.field == field);
        for given in of("payload.given_name") {
            for family in of("payload.family_name") {
                let both = format!("{} {}", given.text, family.text).to_lowercase();
                needles.anywhere.push((both, "name".to_owned()));
            }
        }
        for wrapped in found.wrapped.values() {
            needles.anywhere.push((hex(wrapped), "key".to_owned()));
        }
        needles
    }

    fn count(&self) -> u64 {
        (self.anywhere.len() + self.whole.len()) as u64
    }

    /// The fields that a text gives away.
    fn in_text<'a>(&'a self, text: &str) -> impl Iterator<Item = &'a str> {
        let lower = text.to_lowercase();
        let whole = lower.trim().to_owned();
        let anywhere = self.anywhere.iter().filter(move |(it, _)| lower.contains(it.as_str()));
        let is_whole = self.whole.iter().filter(move |(it, _)| whole == *it);
        anywhere.chain(is_whole).map(|(_, field)| field.as_str())
    }

    /// The same in bytes of which nobody knows the form: names count within quotation marks.
    fn in_bytes<'a>(&'a self, bytes: &[u8]) -> impl Iterator<Item = &'a str> {
        let lower = String::from_utf8_lossy(bytes).to_lowercase();
        let quoted = lower.clone();
        let anywhere = self.anywhere.iter().filter(move |(it, _)| lower.contains(it.as_str()));
        let is_whole = self.whole.iter().filter(move |(it, _)| quoted.contains(&format!("\"{it}\"")));
        anywhere.chain(is_whole).map(|(_, field)| field.as_str())
    }
}

/// Whether a field is a name rather than something that tells a person from everybody else.
fn is_name(field: &str) -> bool {
    !["payload.email", "payload.phone", "payload.address"].contains(&field)
}

struct Search<'a> {
    needles: &'a Needles,
    subjects: BTreeSet<String>,
    searched: Searched,
    found: BTreeMap<(String, String), u64>,
}

impl<'a> Search<'a> {
    fn new(needles: &'a Needles, erasure: &Erasure) -> Self {
        let searched =
            Searched { values: needles.count(), too_short: needles.too_short, ..Searched::default() };
        let subjects = erasure.subjects.iter().map(Uuid::to_string).collect();
        Self { needles, subjects, searched, found: BTreeMap::new() }
    }

    fn done(mut self) -> Searched {
        let finding = |((place, what), times)| Finding { place, what, times };
        self.searched.found = self.found.into_iter().map(finding).collect();
        self.searched
    }

    fn note(&mut self, place: &str, fields: impl Iterator<Item = &'a str>) {
        for field in fields {
            *self.found.entry((place.to_owned(), field.to_owned())).or_default() += 1;
        }
    }

    /// Every table that the projector or the platform's operator may read.
    async fn database(&mut self, desk: &Desk, tenant: TenantId) -> anyhow::Result<()> {
        let of_projector = tables(&desk.projector).await?;
        let of_platform = tables(&desk.platform).await?;
        let pages = |table: &Stored| table.pages;
        let bar = Bar::new("searching the database", of_projector.iter().map(pages).sum());
        let mut searched = 0;
        for table in of_projector {
            searched += table.pages;
            let of_platform = of_platform.iter().find(|it| it.name == table.name);
            let rows = if table.readable {
                self.table(desk, None, &table).await?
            } else if of_platform.is_some_and(|it| it.readable) {
                self.table(desk, Some(&[tenant, TenantId::PLATFORM]), &table).await?
            } else {
                self.searched.unread.push(table.name);
                continue;
            };
            self.searched.tables.push(Table { name: table.name, rows });
            bar.at(searched);
        }
        bar.end();
        Ok(())
    }

    /// A table block by block, so that no snapshot is held for long. Nothing that is searched for is written any more, so
    /// a row that moves meanwhile does not matter.
    async fn table(
        &mut self,
        desk: &Desk,
        served: Option<&[TenantId]>,
        table: &Stored,
    ) -> anyhow::Result<u64> {
        let (mut rows, mut page) = (0, 0);
        while page < table.pages {
            let until = page + PAGES_AT_ONCE;
            let select = format!(
                "select to_jsonb(t)::text from {} t where t.ctid >= '({page},0)'::tid and t.ctid < '({until},0)'::tid",
                table.name
            );
            let mut tx = match served {
                Some(tenants) => desk.serving(tenants).await?,
                None => desk.projector.begin().await?,
            };
            let block: Vec<String> = sqlx::query_scalar(AssertSqlSafe(select))
                .fetch_all(&mut *tx)
                .await
                .with_context(|| table.name.clone())?;
            tx.rollback().await?;
            rows += block.len() as u64;
            for row in &block {
                let row = serde_json::from_str(row).context("a row")?;
                self.value(&table.name, &row, 0);
            }
            page = until;
        }
        Ok(rows)
    }

    fn value(&mut self, place: &str, value: &Value, depth: usize) {
        match value {
            Value::String(text) => {
                self.note(place, self.needles.in_text(text));
                // Columns of text hold JSON, and bytes come as hexadecimal.
                if let Some(bytes) = text.strip_prefix("\\x").and_then(unhex) {
                    self.note(place, self.needles.in_bytes(&bytes));
                } else if depth < DEPTH_MAX
                    && text.starts_with(['{', '['])
                    && let Ok(inner) = serde_json::from_str::<Value>(text)
                {
                    self.members(place, &inner, depth + 1);
                }
            }
            other => self.members(place, other, depth),
        }
    }

    fn members(&mut self, place: &str, value: &Value, depth: usize) {
        match value {
            Value::String(_) => self.value(place, value, depth),
            Value::Array(items) => items.iter().for_each(|it| self.value(place, it, depth)),
            Value::Object(members) => {
                let sealed = |it: &Value| it.get("data").is_some() && it.get("nonce").is_some();
                let subject = value.get("subject").and_then(Value::as_str);
                if sealed(value) && subject.is_some_and(|it| self.subjects.contains(it)) {
                    self.searched.sealed_values += 1;
                }
                for (name, it) in members {
                    self.note(place, self.needles.in_text(name));
                    self.value(place, it, depth);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Every message that the stream holds.
    async fn messages(&mut self, client: async_nats::Client) -> anyhow::Result<()> {
        let context = jetstream::new(client);
        let mut stream = match context.get_stream(wire::STREAM).await {
            Ok(stream) => stream,
            // Nothing was ever published.
            Err(error) if is_missing(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let count = stream.info().await?.state.messages;
        let config = pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() };
        let consumer: PullConsumer = stream.create_consumer(config).await?;
        let mut read = 0;
        while read < count {
            let fetched = consumer.fetch().max_messages(MESSAGES_AT_ONCE).expires(MESSAGES_WAIT);
            let mut batch = fetched.messages().await?;
            let before = read;
            while let Some(message) = batch.next().await {
                let message = message.map_err(anyhow::Error::from_boxed)?;
                self.note(wire::STREAM, self.needles.in_bytes(&message.payload));
                let headers = message.headers.iter().flat_map(|it| it.iter());
                for value in headers.flat_map(|(_, values)| values) {
                    self.note(wire::STREAM, self.needles.in_text(value.as_str()));
                }
                read += 1;
            }
            anyhow::ensure!(read > before, "the stream has {count} messages and gave {read}");
        }
        self.searched.messages = Some(read);
        Ok(())
    }

    fn path(&mut self, path: &Path) -> anyhow::Result<()> {
        let kind = std::fs::symlink_metadata(path)?;
        if kind.is_dir() {
            for entry in std::fs::read_dir(path)? {
                self.path(&entry?.path())?;
            }
        } else if kind.is_file() {
            self.file(path)?;
        }
        Ok(())
    }

    /// A file in chunks that overlap. What stands in two of them counts twice; what matters is that it is found.
    fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let mut file = File::open(path)?;
        let mut kept: Vec<u8> = Vec::with_capacity(CHUNK + OVERLAP);
        loop {
            let read = file.by_ref().take(CHUNK as u64).read_to_end(&mut kept)?;
            if read == 0 {
                break;
            }
            self.note(&path.display().to_string(), self.needles.in_bytes(&kept));
            kept.drain(..kept.len().saturating_sub(OVERLAP));
        }
        self.searched.files += 1;
        Ok(())
    }
}

fn is_missing(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(it) if it.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |it: u8| char::from(it).to_digit(16);
    let pair = |it: &[u8]| match it {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

/// A table of ours.
struct Stored {
    /// With its schema, quoted where that is needed.
    name: String,
    /// Pages of its largest part.
    pages: i64,
    /// Whether this role may read it.
    readable: bool,
}

/// Every table that holds something, in every schema of ours: shadows and predecessors of read models too.
async fn tables(pool: &PgPool) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as!(
        Stored,
        r#"select format('%I.%I', n.nspname, c.relname) as "name!",
                  has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as "readable!",
                  greatest(pg_relation_size(c.oid), coalesce((
                      select max(pg_relation_size(i.inhrelid)) from pg_catalog.pg_inherits i where i.inhparent = c.oid
                  ), 0)) / current_setting('block_size')::bigint + 1 as "pages!"
           from pg_catalog.pg_class c
           join pg_catalog.pg_namespace n on n.oid = c.relnamespace
           where c.relkind in ('r', 'p', 'm') and not c.relispartition
               and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\_toast%'
               and n.nspname not like 'pg\_temp%' and c.relname <> '_sqlx_migrations'
           order by 1"#
    )
    .fetch_all(pool)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needles() -> Needles {
        let all = |list: &[&str]| list.iter().map(|it| ((*it).to_owned(), "it".to_owned())).collect();
        Needles { anywhere: all(&["ada@example.org"]), whole: all(&["lovelace"]), too_short: 0 }
    }

    fn fields(needles: &Needles, value: &Value) -> u64 {
        let erasure = Erasure {
            receipt: Uuid::nil(),
            at: chrono::DateTime::UNIX_EPOCH,
            tenant: TenantId::PLATFORM,
            person: None,
            subjects: [Uuid::from_u128(5)].into(),
            line: 1,
            line_hash: event_store::vault::Digest([0; 32]),
        };
        let mut search = Search::new(needles, &erasure);
        search.value("here", value, 0);
        search.done().found.iter().map(|it| it.times).sum()
    }

    #[test]
    fn what_stands_anywhere_is_found_in_text_json_and_bytes() {
        let needles = needles();
        for (value, times) in [
            (serde_json::json!("to ADA@example.org today"), 1),
            (serde_json::json!({ "column": "{\"a\":[\"x\",{\"b\":\"Lovelace\"}]}" }), 1),
            (serde_json::json!({ "Lovelace": 1 }), 1),
            (serde_json::json!("\\x616461406578616d706c652e6f7267"), 1),
            (serde_json::json!(["lovelaces", "Loveless", "ada@example.com", 7, null]), 0),
        ] {
            assert_eq!(fields(&needles, &value), times, "{value}");
        }
    }

    #[test]
    fn a_file_is_searched_over_the_seams_of_its_chunks() {
        let path = std::env::temp_dir().join(format!("quipu-search-{}", Uuid::now_v7()));
        let needles = needles();
        for at in [0, CHUNK - 7, CHUNK, 2 * CHUNK - 1] {
            let mut bytes = vec![b'.'; 2 * CHUNK + 100];
            bytes[at..at + 15].copy_from_slice(b"Ada@Example.org");
            std::fs::write(&path, bytes).unwrap();
            let searched = Searched::default();
            let mut search =
                Search { needles: &needles, subjects: BTreeSet::new(), searched, found: BTreeMap::new() };
            search.path(&path).unwrap();
            assert!(!search.done().found.is_empty(), "at {at}");
        }
        std::fs::remove_file(path).unwrap();
    }
}
