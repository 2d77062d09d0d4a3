//! The keys of this process: which tokens are believed, with what new ones are signed, and what others may verify with.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use event_store::MasterKey;
use event_store::vault::{self, Vault};
use secrecy::ExposeSecret as _;
use service_kit::token::reload::{Load, LoadError};
use service_kit::token::{KeySet, Keys, PublicKeys, Signer, SigningKey, Verifier};
use sqlx::PgPool;

use crate::oauth::cross_origin::BY_EVERYBODY;

/// How long others may keep the published keys. A key is announced for twice as long before it signs.
const KEPT_FOR: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// Keeps both in step with the keys of the vault, from the first look on.
pub(crate) fn follow(
    pool: PgPool,
    master: &Arc<MasterKey>,
    verifier: &Arc<Verifier>,
    signer: &Arc<Signer>,
) -> Arc<Keys> {
    let master = Arc::clone(master);
    let load: Load = Box::new(move || {
        let (pool, master) = (pool.clone(), Arc::clone(&master));
        Box::pin(async move { read(pool, &master).await })
    });
    Keys::new(Arc::clone(verifier), Some(Arc::clone(signer)), load)
}

/// The private half first: what it signs is believed by whoever looks later, so nothing is signed that we refuse ourselves.
async fn read(pool: PgPool, master: &MasterKey) -> Result<KeySet, LoadError> {
    let private = Vault::new(pool.clone()).signing_key(master).await?;
    let signing = private.map(|it| SigningKey::from_pkcs8(it.expose_secret())).transpose()?;
    let halves = vault::public_halves(&pool).await?;
    Ok(KeySet { believed: PublicKeys::of(&halves.believed), removed: halves.removed, signing })
}

/// `/.well-known/jwks.json`: the public keys of our tokens, for services that verify them themselves (RFC 7517).
pub(crate) fn published(verifier: Arc<Verifier>) -> Router {
    Router::new().route("/.well-known/jwks.json", get(jwks)).with_state(verifier)
}

async fn jwks(State(verifier): State<Arc<Verifier>>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, KEPT_FOR), BY_EVERYBODY], Json(verifier.public_keys()))
}
