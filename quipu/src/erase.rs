//! `quipu erase`: takes a person out of everything that is kept, for ever, and proves it.
//!
//! | step | what | where |
//! |---|---|---|
//! | 1 | who it is, what is kept of them, whether a rule forbids it | [`found`] |
//! | 2 | a line in the journal of erasures, on the disk | `event_store::erasure_journal` |
//! | 3 | events, claims, rows of the vault and keys, in one transaction | [`act`] |
//! | 4 | every read model has it | [`proof`] |
//! | 5 | everything that is stored is searched for what was known of them | [`search`] |
//! | 6 | the certificate | [`certificate`] |
//!
//! Whoever is interrupted begins again: each step finds what was done and does the rest. From step 2 on the erasure stands,
//! and no process starts on a database that does not know it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use chrono::{Days, Utc};
use clap::{ArgGroup, Args};
use domain::ids::{TenantId, UserId};
use event_store::MasterKey;
use event_store::erasure_journal::{Erasure, Journal};
use service_kit::config::KeyConfig;
use service_kit::email::EmailAddress;
use uuid::Uuid;

use crate::confirm::ConfirmArgs;
use crate::console;
use crate::stack::layout::{Layout, write_private};

pub mod act;
pub mod certificate;
pub mod desk;
pub mod found;
pub mod proof;
pub mod replay;
mod scan;
pub mod search;

use act::Force;
use certificate::Signed;
use desk::{Desk, DeskArgs};
use found::{Found, Standing};

/// Options of `erase`.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("what").required(true).args(["user", "email", "verify", "replay_journal", "new_journal"])),
    after_help = "Examples:
  quipu erase --tenant 0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e --user 0198c5a2-9b1f-7c22-8a41-6d0e5f7a8b9c
  quipu erase --tenant 0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e --email ann@example.com   somebody who was only invited
  quipu erase --verify erasure-0198c5a3-0c51-7e0b-9f60-2b1a3c4d5e6f.json
  quipu erase --replay-journal                          after the database came back from a backup

There is no way back. Whoever was interrupted runs the same command again."
)]
pub struct EraseArgs {
    /// The organisation.
    #[arg(long)]
    tenant: Option<Uuid>,
    /// The person.
    #[arg(long, requires = "tenant")]
    user: Option<UserId>,
    /// The address of somebody who was invited and has no account.
    #[arg(long, requires = "tenant")]
    email: Option<String>,
    /// Tell them by a last letter. Until it is sent, a day at most, their address lies sealed in the outbox.
    #[arg(long, requires = "user")]
    letter: bool,
    /// A file or folder that is searched as well, such as exports and logs. Repeat it for more.
    #[arg(long, value_name = "PATH")]
    scan: Vec<PathBuf>,
    /// For how many days backups are kept: the certificate names the day on which the last one expires that holds a key.
    #[arg(long, env = "QUIPU_BACKUP_DAYS", value_name = "DAYS", value_parser = clap::value_parser!(u64).range(..=36_500))]
    backup_days: Option<u64>,
    /// Where the certificate goes; by default `erasure-<receipt>.json` in this folder.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the certificate as one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    confirm: ConfirmArgs,
    /// Check a certificate, with the master key or a public key that was handed out before.
    #[arg(long, value_name = "FILE")]
    verify: Option<PathBuf>,
    /// The public key that certificates are signed with, in hexadecimal.
    #[arg(long, requires = "verify", value_name = "HEX")]
    public_key: Option<String>,
    /// Erase again whom the journal names and this database knows, after it came back from a backup.
    #[arg(long)]
    replay_journal: bool,
    /// Make the first, empty journal.
    #[arg(long)]
    new_journal: bool,
    #[command(flatten)]
    desk: DeskArgs,
}

/// Runs the command.
///
/// # Errors
/// If a rule forbids it, something cannot be reached, or something was found that should be gone.
pub async fn run(layout: &Layout, args: &EraseArgs) -> anyhow::Result<()> {
    if let Some(file) = &args.verify {
        return verify(layout, args, file);
    }
    let journal = args.desk.journal_path(layout);
    if args.new_journal {
        Journal::create(&journal)?;
        console::note(format_args!("QUIPU_ERASURE_JOURNAL={}", journal.display()));
        return Ok(());
    }
    let desk = args.desk.connect(layout).await?;
    if args.replay_journal {
        return replay::all(&desk).await.map(|_| ());
    }
    let tenant = TenantId::new(args.tenant.context("--tenant is missing")?);
    match (args.user, &args.email) {
        (Some(user), _) => person(&desk, args, tenant, user).await,
        (None, Some(email)) => {
            let email = EmailAddress::parse(email)?;
            invited(&desk, args, tenant, &email).await
        }
        (None, None) => bail!("--user or --email is missing"),
    }
}

async fn person(desk: &Desk, args: &EraseArgs, tenant: TenantId, user: UserId) -> anyhow::Result<()> {
    let turn = desk.turn().await?;
    let found = found::person(desk, tenant, user).await?;
    let noted = desk.noted(tenant, user.uuid())?;
    match (&found.standing, &noted) {
        (Standing::Absent, None) => bail!("there is no person {user} in this organisation"),
        (Standing::Registered(_), _) => {
            if let Some(refusal) = &found.refusal {
                bail!("{} ({})", refusal.message, refusal.code);
            }
            args.confirm.ask(&found.consequences(), &user.to_string())?;
        }
        (Standing::Erased | Standing::Absent, _) => {
            console::note("They were erased before: what is left to do is done, and looked at again.");
        }
    }
    let erasure = desk.note(&found).await?;
    act::carry_out(desk, &erasure, &found, Force::No, args.letter).await?;
    drop(turn);
    finish(desk, args, &erasure, &found).await
}

async fn invited(
    desk: &Desk,
    args: &EraseArgs,
    tenant: TenantId,
    email: &EmailAddress,
) -> anyhow::Result<()> {
    let turn = desk.turn().await?;
    let found = found::invited(desk, tenant, email).await?;
    ensure!(!found.invitations.is_empty(), "nobody was invited to this organisation with that address");
    args.confirm.ask(&found.consequences(), email.mailbox())?;
    let erasure = desk.note(&found).await?;
    act::carry_out(desk, &erasure, &found, Force::No, false).await?;
    drop(turn);
    finish(desk, args, &erasure, &found).await
}

/// What follows once it is done: the proof, and the certificate.
async fn finish(desk: &Desk, args: &EraseArgs, erasure: &Erasure, found: &Found) -> anyhow::Result<()> {
    let mut certificate = proof::certificate(desk, erasure, found, &args.scan).await?;
    certificate.backups_expire_on = args
        .backup_days
        .and_then(|days| Utc::now().date_naive().checked_add_days(Days::new(days.saturating_add(1))));
    let signed = Signed::new(certificate, &desk.master)?;
    let path = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("erasure-{}.json", erasure.receipt)));
    write_private(&path, serde_json::to_string_pretty(&signed)?.as_bytes())?;
    if args.json {
        console::data(serde_json::to_string(&signed)?);
    } else {
        console::data(signed.certificate.lines());
        console::note(format_args!("The certificate is in {}.", path.display()));
    }
    ensure!(
        signed.certificate.is_clean(),
        "they are erased, but something of them is left: see the certificate"
    );
    Ok(())
}

fn verify(layout: &Layout, args: &EraseArgs, file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let signed = Signed::parse(&text)?;
    let expected = match &args.public_key {
        Some(key) => key.trim().to_ascii_lowercase(),
        None => {
            let keys = KeyConfig::at(args.desk.key_dir(layout));
            let master = keys.master_key().context("give --public-key, or the directory of master.key")?;
            certificate::public_key(&MasterKey::new(&master)?)?
        }
    };
    signed.verify(&expected)?;
    if args.json {
        console::data(serde_json::to_string(&signed)?);
    } else {
        console::data(signed.certificate.lines());
        console::note("The signature is right.");
    }
    ensure!(signed.certificate.is_clean(), "the certificate says that something of them is left");
    Ok(())
}
