//! `quipu tenant`: organisations.

use clap::{Args, Subcommand};
use domain::ids::TenantId;
use domain::metadata::Label;
use domain::organisation::Slug;
use serde_json::json;
use uuid::Uuid;

use crate::admin::{Admin, AdminArgs};
use crate::console;
use crate::stack::layout::Layout;

/// What to do with tenants.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Bring a tenant into being; prints its id.
    Create(CreateArgs),
}

/// A new tenant.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Its name in addresses: 3 to 40 of a-z, 0-9 and single hyphens.
    #[arg(long)]
    slug: String,
    /// Its name for people.
    #[arg(long)]
    name: String,
    /// Its id; made if left out.
    #[arg(long)]
    id: Option<Uuid>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Runs the command.
///
/// # Errors
/// If the rules refuse it or the log cannot be reached.
pub async fn run(layout: &Layout, command: TenantCommand) -> anyhow::Result<()> {
    let TenantCommand::Create(args) = command;
    let tenant = TenantId::new(args.id.unwrap_or_else(Uuid::now_v7));
    let (slug, name) = (Slug::parse(&args.slug)?, Label::parse(&args.name)?);
    Admin::connect(&args.admin.settings(layout)?)?.create_tenant(tenant, slug, name).await?;
    if args.json {
        console::data(json!({ "tenant_id": tenant, "slug": args.slug, "name": args.name }));
    } else {
        console::data(tenant);
    }
    Ok(())
}
