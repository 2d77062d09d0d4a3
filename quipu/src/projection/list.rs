//! `quipu projection list`: every follower of the log, and what stands beside it.

use serde_json::json;

use super::{ListArgs, rebuilder};
use crate::console;
use crate::log_status::{self, Reader};
use crate::stack::layout::Layout;
use crate::table::{Table, moment};

pub(super) async fn list(layout: &Layout, args: &ListArgs) -> anyhow::Result<()> {
    let pool = args.operator.connect(layout).await?;
    let readers = log_status::readers(&pool).await?;
    let rebuilder = rebuilder(layout, &args.operator, 1)?;
    let (rebuilds, previous) = (rebuilder.list().await?, rebuilder.previous().await?);
    if args.json {
        for reader in readers {
            let rebuild = rebuilds.iter().find(|it| it.model == reader.model);
            let previous = previous.iter().find(|it| it.model == reader.model);
            console::data(json!({ "projection": reader, "rebuild": rebuild, "previous": previous }));
        }
        return Ok(());
    }
    let mut table =
        Table::new(["MODEL", "VERSION", "POSITION", "BEHIND", "PARKED", "LED BY", "REBUILD", "BEFORE IT"]);
    for Reader { model, version, active, position, lag_events, parked, lease_owner, .. } in readers {
        let rebuild = rebuilds.iter().find(|it| it.model == model);
        let previous = previous.iter().find(|it| it.model == model);
        table.row([
            model,
            format!("{version}{}", if active { "" } else { " (not active)" }),
            position.to_string(),
            lag_events.to_string(),
            parked.to_string(),
            lease_owner.unwrap_or_else(|| "-".to_owned()),
            rebuild.map_or_else(
                || "-".to_owned(),
                |it| format!("{} {}", it.state.name(), moment(it.updated_at)),
            ),
            previous
                .map_or_else(|| "-".to_owned(), |it| format!("version {} at {}", it.version, it.position)),
        ]);
    }
    console::data(table.text());
    Ok(())
}
