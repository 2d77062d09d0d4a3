//! `quipu token`: access tokens of operators. The log knows of each that it was issued, and to whom; the token itself is shown
//! once. Revoking needs none, so that it works when nobody's is trusted any more.

use chrono::{TimeDelta, Utc};
use clap::{Args, Subcommand, ValueEnum};
use domain::identity::Role;
use domain::ids::{ActorId, TenantId, TokenId};
use serde_json::json;
use uuid::Uuid;

use crate::admin::{Admin, AdminArgs};
use crate::console;
use crate::stack::layout::Layout;

mod list;

use list::ListArgs;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Issue an access token; prints it, and says beside it by which id it is revoked.
    Mint(MintArgs),
    /// List the access tokens that were issued and are good; prints what is known of each, and no token.
    List(ListArgs),
    /// Make an access token good no more, in every process within a second.
    #[command(
        after_help = "Example:\n  quipu token revoke --tenant 0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e 0198c5a2-91b0-7c3a-8f10-5d6e7f809101\n\n\
                      Whoever has the token and not its id finds both in it, as `tenant_id` and `jti`."
    )]
    Revoke(RevokeArgs),
}

/// A new token.
#[derive(Debug, Args)]
pub struct MintArgs {
    /// The id of the tenant that it acts in.
    #[arg(long)]
    tenant: Uuid,
    /// Who acts with it; a new actor if left out.
    #[arg(long)]
    subject: Option<Uuid>,
    /// What the bearer may do.
    #[arg(long, value_enum, default_value = "member")]
    role: RoleArg,
    /// How many hours it is good.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8760))]
    hours: u32,
    /// Print one JSON object, with the token and its id.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Which token.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Its id, as `token mint` and `token list` say it.
    id: Uuid,
    /// The id of the tenant that it acts in.
    #[arg(long)]
    tenant: Uuid,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleArg {
    /// Everything within the tenant.
    Owner,
    /// Reading.
    Member,
}

/// Runs the command.
///
/// # Errors
/// If the log cannot be reached, the key cannot sign, or there is no such token.
pub async fn run(layout: &Layout, command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Mint(args) => mint(layout, args).await,
        TokenCommand::List(args) => list::run(layout, &args).await,
        TokenCommand::Revoke(args) => revoke(layout, args).await,
    }
}

async fn mint(layout: &Layout, args: MintArgs) -> anyhow::Result<()> {
    let role = match args.role {
        RoleArg::Owner => Role::Owner,
        RoleArg::Member => Role::Member,
    };
    let (tenant, subject) =
        (TenantId::new(args.tenant), ActorId::new(args.subject.unwrap_or_else(Uuid::now_v7)));
    let expires_at = Utc::now() + TimeDelta::hours(i64::from(args.hours));
    let admin = Admin::connect(&args.admin.settings(layout)?)?;
    let minted = admin.mint_token(tenant, subject, role, expires_at).await?;
    if args.json {
        console::data(json!({
            "token_id": minted.token_id, "tenant_id": tenant, "subject": subject, "role": role,
            "expires_at": expires_at, "token": minted.text,
        }));
    } else {
        console::note(format_args!(
            "its id is {id}; to revoke it: quipu token revoke --tenant {tenant} {id}",
            id = minted.token_id
        ));
        console::data(minted.text);
    }
    Ok(())
}

async fn revoke(layout: &Layout, args: RevokeArgs) -> anyhow::Result<()> {
    let (tenant, token_id) = (TenantId::new(args.tenant), TokenId::new(args.id));
    Admin::connect(&args.admin.settings(layout)?)?.revoke_token(tenant, token_id).await?;
    if args.json {
        console::data(json!({ "token_id": token_id, "tenant_id": tenant }));
    } else {
        console::note(format_args!("{token_id} is good no more"));
    }
    Ok(())
}
