//! How the organisation that a letter is about is called: its name for people, and the short one that pages ask for. One person
//! can be in several, so each letter says of which it speaks.

use domain::ids::TenantId;
use domain::organisation::{Tenant, tenant};
use domain::{StreamId, View};
use event_store::access::{Question, Unknown, look};
use sqlx::PgConnection;

/// How an organisation is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// Its name, as its people typed it.
    pub name: String,
    /// Its name in addresses.
    pub slug: String,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct NameOf(TenantId);

impl Question for NameOf {
    type Answer = Option<Called>;

    fn tenant(&self) -> TenantId {
        TenantId::PLATFORM
    }

    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![tenant::stream(self.0)]
    }

    fn answer(&self, view: &View<'_>) -> Option<Called> {
        let dossier = view.find::<Tenant>(self.0.uuid())?.state.dossier()?;
        Some(Called { name: dossier.name.to_string(), slug: dossier.slug.to_string() })
    }
}

/// How an organisation is called at this moment. The platform, and organisations of before there were dossiers, have no name.
///
/// # Errors
/// If the log does not answer.
pub async fn called(conn: &mut PgConnection, tenant: TenantId) -> Result<Option<Called>, Unknown> {
    Ok(look(conn, &NameOf(tenant)).await?.as_ref().clone())
}
