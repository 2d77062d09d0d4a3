//! `quipu replay --to-nats`: see [`projector::replay`].

use std::time::Duration;

use domain::ids::TenantId;
use projector::replay::{ReplayOptions, replay, stream_name};
use serde_json::json;
use sqlx::PgPool;

use super::{Range, ReplayArgs};
use crate::console;
use crate::progress::Bar;

pub(super) async fn run(
    pool: &PgPool,
    client: &async_nats::Client,
    name: &str,
    range: Range,
    args: &ReplayArgs,
) -> anyhow::Result<()> {
    let options = ReplayOptions {
        id: name.to_owned(),
        after: range.after,
        up_to: range.up_to,
        tenant: args.tenant.map(TenantId::new),
        subject: args.subject.clone(),
        max_age: Duration::from_secs(u64::from(args.keep_hours) * 3_600),
    };
    let bar = Bar::new("replay", range.up_to - range.after);
    let done = replay(pool, client, &options, |it| bar.at(it.position - range.after)).await;
    bar.end();
    let done = done?;
    let (stream, subjects) = (stream_name(name), format!("quipu-replay.{name}.>"));
    if args.json {
        console::data(
            json!({ "stream": stream, "subjects": subjects, "messages": done.sent, "position": done.position }),
        );
    } else {
        console::data(format_args!(
            "{} messages on {subjects}, in the stream {stream}\nread it, then delete it: nats stream rm {stream}",
            done.sent
        ));
    }
    Ok(())
}
