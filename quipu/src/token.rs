//! `quipu token`: access tokens, until people can sign in.

use chrono::{TimeDelta, Utc};
use clap::{Args, Subcommand, ValueEnum};
use domain::identity::Role;
use domain::ids::{ActorId, TenantId};
use uuid::Uuid;

use crate::admin::{Admin, AdminArgs};
use crate::console;
use crate::stack::layout::Layout;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Issue an access token; prints it.
    Mint(MintArgs),
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
/// If the log cannot be reached or the key cannot sign.
pub async fn run(layout: &Layout, command: TokenCommand) -> anyhow::Result<()> {
    let TokenCommand::Mint(args) = command;
    let role = match args.role {
        RoleArg::Owner => Role::Owner,
        RoleArg::Member => Role::Member,
    };
    let subject = ActorId::new(args.subject.unwrap_or_else(Uuid::now_v7));
    let expires_at = Utc::now() + TimeDelta::hours(i64::from(args.hours));
    let admin = Admin::connect(&args.admin.settings(layout)?)?;
    console::data(admin.mint_token(TenantId::new(args.tenant), subject, role, expires_at).await?);
    Ok(())
}
