//! The keys whose tokens this process believes. It signs nothing, and cannot see a private half.

use std::sync::Arc;

use event_store::vault;
use service_kit::token::reload::Load;
use service_kit::token::{KeySet, Keys, PublicKeys, Verifier};
use sqlx::PgPool;

/// Keeps the verifier in step with the keys of the vault, from the first look on.
pub(crate) fn follow(pool: PgPool, verifier: &Arc<Verifier>) -> Arc<Keys> {
    let load: Load = Box::new(move || {
        let pool = pool.clone();
        Box::pin(async move {
            let halves = vault::public_halves(&pool).await?;
            Ok(KeySet { believed: PublicKeys::of(&halves.believed), removed: halves.removed, signing: None })
        })
    });
    Keys::new(Arc::clone(verifier), None, load)
}
