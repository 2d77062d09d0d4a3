//! The certificate of an erasure: what was done, what was searched and what was left, signed with Ed25519 under a key of
//! the master key. It names nobody: identifiers, figures and places, no name and no address.

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::signature::{ED25519, KeyPair as _, UnparsedPublicKey};
use chrono::{DateTime, NaiveDate, Utc};
use domain::ids::{TenantId, UserId};
use event_store::MasterKey;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is signed begins with it, so that a signature is for nothing else.
const CONTEXT: &[u8] = b"quipu erasure certificate v1\n";

/// What was done, and what was found afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Names the erasure in the journal, in the log and here.
    pub receipt: Uuid,
    /// In which organisation.
    pub tenant_id: TenantId,
    /// Who; none if they were only ever invited.
    pub user_id: Option<UserId>,
    /// Whose keys were deleted: the person and the invitations that were sent to them.
    pub subjects: Vec<Uuid>,
    /// When it was noted in the journal.
    pub noted_at: DateTime<Utc>,
    /// The line of the journal.
    pub journal_line: u64,
    /// SHA-256 of that line.
    pub journal_line_sha256: String,
    /// The event that says so; none if there was no account.
    pub event: Option<ErasureEvent>,
    /// Keys of the subjects that are left in the database, of any organisation.
    pub keys_left: i64,
    /// Rows about the person that are left in the tables of secrets.
    pub vault_rows_left: i64,
    /// The position of the log that every read model has.
    pub read_models_at: String,
    /// What was searched, and what was found.
    pub searched: Searched,
    /// The first day on which no backup holds a key any more; none if nobody said for how long backups are kept.
    pub backups_expire_on: Option<NaiveDate>,
    /// When this was written.
    pub issued_at: DateTime<Utc>,
}

/// The event of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasureEvent {
    /// Where it stands.
    pub position: String,
    /// Its identifier.
    pub event_id: Uuid,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// Its leaf in the tree of the log (RFC 6962), in hexadecimal.
    pub leaf: String,
}

/// What was searched for what was known of the person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Searched {
    /// Texts that were known before, such as their address, and keys. None if the keys were gone already when it began.
    pub values: u64,
    /// Texts of less than four characters, which would be found everywhere and were not searched for.
    pub too_short: u64,
    /// Tables of the database, with the rows that were looked at.
    pub tables: Vec<Table>,
    /// Tables that could not be read.
    pub unread: Vec<String>,
    /// Messages on NATS; none if it did not answer.
    pub messages: Option<u64>,
    /// Files of the folders that were named.
    pub files: u64,
    /// Values in the database that are sealed with keys of the subjects, and so open no more.
    pub sealed_values: u64,
    /// Where something was found.
    pub found: Vec<Finding>,
}

/// A table that was searched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// With its schema.
    pub name: String,
    /// Rows.
    pub rows: u64,
}

/// Something of the person that is still to be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Where: a table, a message or a file.
    pub place: String,
    /// What of them: the name of the field that it was in.
    pub what: String,
    /// How often.
    pub times: u64,
}

/// A certificate with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// What is said.
    pub certificate: Certificate,
    /// The key that signed, in hexadecimal.
    pub public_key: String,
    /// Ed25519, in hexadecimal.
    pub signature: String,
}

impl Certificate {
    /// Whether nothing of the person is left that could be found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let searched = &self.searched;
        self.keys_left == 0
            && self.vault_rows_left == 0
            && searched.found.is_empty()
            && searched.unread.is_empty()
    }

    /// For people.
    #[must_use]
    pub fn lines(&self) -> String {
        let searched = &self.searched;
        let rows: u64 = searched.tables.iter().map(|it| it.rows).sum();
        let who = self.user_id.map_or_else(|| "an invited person".to_owned(), |it| it.to_string());
        let mut lines = vec![
            format!("receipt     {}", self.receipt),
            format!("erased      {who} of organisation {}", self.tenant_id),
        ];
        if let Some(event) = &self.event {
            lines
                .push(format!("event       {} at {}, {}", event.event_id, event.position, event.recorded_at));
        }
        lines.push(format!("journal     line {}, {}", self.journal_line, self.journal_line_sha256));
        lines.push(format!("keys left   {}; rows of secrets left {}", self.keys_left, self.vault_rows_left));
        lines.push(format!("sealed      {} values that open no more", searched.sealed_values));
        let messages = searched.messages.map_or_else(|| "no".to_owned(), |it| it.to_string());
        lines.push(match searched.values {
            0 => "searched    for nothing: the keys were gone before, so no text of theirs was known".to_owned(),
            values => format!(
                "searched    {rows} rows of {} tables, {messages} messages and {} files for {values} texts and keys",
                searched.tables.len(),
                searched.files
            ),
        });
        for it in &searched.found {
            lines.push(format!("FOUND       {} in {}, {} times", it.what, it.place, it.times));
        }
        for table in &searched.unread {
            lines.push(format!("NOT READ    {table}"));
        }
        lines.push(match self.backups_expire_on {
            Some(day) => format!("backups     from {day} on none of them holds a key"),
            None => "backups     nobody said for how long they are kept (--backup-days)".to_owned(),
        });
        lines.join("\n")
    }
}

impl Signed {
    /// Signs a certificate.
    ///
    /// # Errors
    /// If the key cannot be used.
    pub fn new(certificate: Certificate, master: &MasterKey) -> anyhow::Result<Self> {
        let pair = master.evidence_key()?;
        let signature = hex(pair.sign(&signed_bytes(&certificate)?).as_ref());
        Ok(Self { certificate, public_key: hex(pair.public_key().as_ref()), signature })
    }

    /// Reads one.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &[u8]) -> anyhow::Result<Self> {
        serde_json::from_slice(text).context("this is not a certificate of an erasure")
    }

    /// Checks that it was signed with this key, and says what it said then.
    ///
    /// # Errors
    /// If not.
    pub fn verify(&self, public_key: &str) -> anyhow::Result<()> {
        ensure!(self.public_key == public_key, "it was signed with another key than this one: {public_key}");
        let key = UnparsedPublicKey::new(&ED25519, unhex(public_key)?);
        let right = key.verify(&signed_bytes(&self.certificate)?, &unhex(&self.signature)?).is_ok();
        ensure!(right, "the signature is wrong: something in it was changed");
        Ok(())
    }
}

/// The key that this installation signs with, in hexadecimal.
///
/// # Errors
/// If the key cannot be used.
pub fn public_key(master: &MasterKey) -> anyhow::Result<String> {
    Ok(hex(master.evidence_key()?.public_key().as_ref()))
}

/// Members come in the order of the type, so the same certificate is the same bytes however it was written down.
fn signed_bytes(certificate: &Certificate) -> anyhow::Result<Vec<u8>> {
    Ok([CONTEXT, &serde_json::to_vec(certificate)?].concat())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> anyhow::Result<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|it| it.is_ascii_hexdigit()) {
        bail!("this is not hexadecimal");
    }
    let pair = |at| u8::from_str_radix(text.get(at..at + 2).unwrap_or_default(), 16);
    Ok((0..text.len()).step_by(2).map(pair).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(byte: u8) -> MasterKey {
        MasterKey::new(&vec![byte; 32].into()).unwrap()
    }

    fn certificate() -> Certificate {
        let at = DateTime::from_timestamp_micros(1_800_000_000_123_456).unwrap();
        Certificate {
            receipt: Uuid::from_u128(1),
            tenant_id: TenantId::new(Uuid::from_u128(2)),
            user_id: Some(UserId::new(Uuid::from_u128(3))),
            subjects: vec![Uuid::from_u128(3)],
            noted_at: at,
            journal_line: 7,
            journal_line_sha256: "00".repeat(32),
            event: Some(ErasureEvent {
                position: "1-42".to_owned(),
                event_id: Uuid::from_u128(4),
                recorded_at: at,
                leaf: "11".repeat(32),
            }),
            keys_left: 0,
            vault_rows_left: 0,
            read_models_at: "1-42".to_owned(),
            searched: Searched { values: 3, messages: Some(9), ..Searched::default() },
            backups_expire_on: NaiveDate::from_ymd_opt(2027, 1, 2),
            issued_at: at,
        }
    }

    #[test]
    fn a_certificate_comes_back_as_it_was_and_its_signature_holds() {
        let signed = Signed::new(certificate(), &master(1)).unwrap();
        let text = serde_json::to_vec_pretty(&signed).unwrap();
        let read = Signed::parse(&text).unwrap();
        assert_eq!(read, signed);
        read.verify(&public_key(&master(1)).unwrap()).unwrap();
        assert!(read.verify(&public_key(&master(2)).unwrap()).is_err(), "another master key");
    }

    #[test]
    fn nothing_in_it_can_be_changed() {
        let signed = Signed::new(certificate(), &master(1)).unwrap();
        let key = public_key(&master(1)).unwrap();
        let value = serde_json::to_value(&signed).unwrap();
        let mut tried = 0;
        for name in value["certificate"].as_object().unwrap().keys() {
            for other in [serde_json::json!(null), serde_json::json!(5), serde_json::json!("1-43")] {
                let mut changed = value.clone();
                changed["certificate"][name] = other;
                if changed == value {
                    continue;
                }
                if let Ok(read) = Signed::parse(changed.to_string().as_bytes()) {
                    assert!(read.verify(&key).is_err(), "{name}");
                    tried += 1;
                }
            }
        }
        assert!(tried > 5, "{tried}");
        let mut forged = Signed::new(certificate(), &master(2)).unwrap();
        forged.public_key = key.clone();
        assert!(forged.verify(&key).is_err(), "another key's signature under ours");
    }

    #[test]
    fn whatever_is_left_makes_it_unclean() {
        assert!(certificate().is_clean());
        assert!(!Certificate { keys_left: 1, ..certificate() }.is_clean());
        assert!(!Certificate { vault_rows_left: 1, ..certificate() }.is_clean());
        let finding = Finding { place: "it".to_owned(), what: "payload.email".to_owned(), times: 1 };
        let searched = Searched { found: vec![finding], ..certificate().searched };
        assert!(!Certificate { searched, ..certificate() }.is_clean());
        let searched = Searched { unread: vec!["it".to_owned()], ..certificate().searched };
        assert!(!Certificate { searched, ..certificate() }.is_clean());
    }
}
