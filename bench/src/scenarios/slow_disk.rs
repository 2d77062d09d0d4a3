//! One hot account on a disk whose every flush takes two milliseconds longer: whoever holds a lock over a flush is held
//! up by it, whoever gathers what waits is not.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::Context as _;
use tests::database::Database;
use tests::postgres::Postgres;

use super::Setting;
use crate::figures::{Bound, Figure, ratios};
use crate::ledger::{Spread, Transfers, open_accounts};
use crate::load::{self, Load};
use crate::product::Product;
use crate::references::{ACCOUNTS, References};
use crate::report::note;
use crate::server::Server;

const NAME: &str = "slow_disk";
const SLOW_FLUSH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/tools/slow_flush.c");
/// The settings of the server that everything else is measured on.
const SETTINGS: &str =
    "max_connections = 150\nshared_buffers = '256MB'\nmax_wal_size = '4GB'\njit = off\narchive_mode = off\n";

pub(super) async fn measure(setting: Setting) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let postgres = Postgres::start_preloading(&compile(folder.path())?, SETTINGS).await?;
    let server = Server::at(postgres.options()).await?;
    let references = References::prepare(&server).await?;
    let product = Product::on(Database::on(postgres.options()).await?)?;
    let api = product.command_api().await?;
    open_accounts(api.address, &product.token, ACCOUNTS).await?;
    let load = Load { connections: 64, time: setting.slice, rate: None };
    let hot = || Arc::new(Transfers::single(&product.token, Spread::Hot(ACCOUNTS)));
    load::run(api.address, load, hot()).await?;
    let (mut ours, mut classic) = (Vec::new(), Vec::new());
    for round in 1..=setting.rounds {
        classic.push(references.hot_transfers(setting.slice).await?);
        ours.push(load::run(api.address, load, hot()).await?.all_accepted(NAME)?.per_second);
        note(format_args!(
            "round {round}: S {:.0}, ours {:.0} a second",
            classic[round - 1],
            ours[round - 1]
        ));
    }
    Ok(vec![
        Figure::new(NAME, "hot account, slow flush / S", "x", ratios(&ours, &classic))
            .bound(Bound::AtLeast(15.0)),
        Figure::new(NAME, "transfers, hot account, slow flush", "/s", ours),
        Figure::new(NAME, "S, hot account, slow flush", "/s", classic),
    ])
}

fn compile(folder: &Path) -> anyhow::Result<PathBuf> {
    let library = folder.join("slow_flush.so");
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .arg(&library)
        .args([SLOW_FLUSH, "-ldl"])
        .output()
        .context("a C compiler is needed")?;
    anyhow::ensure!(output.status.success(), "cc: {}", String::from_utf8_lossy(&output.stderr));
    // The server runs as somebody else.
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    Ok(library)
}
