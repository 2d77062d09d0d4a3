//! Stand-in.
#![allow(missing_docs)]
use std::path::PathBuf;
pub struct AdminSettings {
    pub database_url: String,
    pub key_dir: PathBuf,
    pub issuer: String,
    pub audience: String,
}
pub struct DemoTokens {
    pub tenant_id: uuid::Uuid,
    pub owner_token: String,
    pub member_token: String,
    pub other_tenant_owner_token: String,
}
pub async fn ensure_demo(_settings: &AdminSettings) -> anyhow::Result<DemoTokens> {
    Ok(DemoTokens {
        tenant_id: uuid::Uuid::nil(),
        owner_token: String::new(),
        member_token: String::new(),
        other_tenant_owner_token: String::new(),
    })
}
