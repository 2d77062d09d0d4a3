//! Keys under which answers are remembered, and the stored form of an answer.

use aws_lc_rs::digest;
use domain::ids::TenantId;
use domain::{Outcome, Refusal, StreamId};
use event_schemas::catalog;
use sabotage::Guard;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use crate::keyring::MasterKey;
use crate::unit::Done;

/// A client's key, scoped, and the fingerprint of the request that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// SHA-256 of principal, route and key. The tenant is a column of its own.
    pub scope: [u8; 32],
    /// HMAC-SHA-256 of the canonical request: comparable, yet it tells a reader of the table nothing.
    pub fingerprint: [u8; 32],
}

impl IdempotencyKey {
    /// Scopes `key` to a principal and a route and takes the fingerprint of the request.
    #[must_use]
    pub fn new(
        master: &MasterKey,
        principal: Uuid,
        route: &str,
        key: &str,
        canonical_request: &[u8],
    ) -> Self {
        let principal = if sabotage::stands(Guard::KeyOfActor) { principal } else { Uuid::nil() };
        let mut scope = digest::Context::new(&digest::SHA256);
        for field in [principal.as_bytes().as_slice(), route.as_bytes(), key.as_bytes()] {
            scope.update(&(field.len() as u64).to_be_bytes());
            scope.update(field);
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(scope.finish().as_ref());
        Self { scope: bytes, fingerprint: master.fingerprint(canonical_request) }
    }

    /// Whether an answer is remembered under it at this moment. It is the executor that gives it: this says beforehand that a
    /// request is a repeated one, where the first one cost something that a repeated one shall not cost again.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn is_answered(&self, pool: &PgPool, tenant: TenantId) -> sqlx::Result<bool> {
        sqlx::query_scalar!(
            r#"select exists (select from store.answers($1, $2, $3)) as "is_answered!""#,
            &[tenant.uuid()][..],
            &[tenant.uuid()][..],
            &[self.scope.to_vec()][..]
        )
        .fetch_one(pool)
        .await
    }
}

/// The `body` of a row of `store.idempotency`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredAnswer {
    results: Vec<StoredResult>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredResult {
    Created { category: i16, id: Uuid, version: i64 },
    Done { category: i16, id: Uuid, version: i64 },
    Refused(Refusal),
}

impl StoredAnswer {
    pub(crate) fn new(results: &[Result<Done, Refusal>]) -> Self {
        let results = results
            .iter()
            .map(|result| match result {
                Ok(Done { stream, version, outcome }) => {
                    let (category, id, version) = (stream.category.code, stream.id, *version);
                    match outcome {
                        Outcome::Created => StoredResult::Created { category, id, version },
                        Outcome::Done => StoredResult::Done { category, id, version },
                    }
                }
                Err(refusal) => StoredResult::Refused(refusal.clone()),
            })
            .collect();
        Self { results }
    }

    /// The results again; `None` if a newer build wrote a category that this one does not know.
    pub(crate) fn into_results(self) -> Option<Vec<Result<Done, Refusal>>> {
        let done = |category, id, version, outcome| {
            let stream = StreamId::new(catalog::category(category)?, id);
            Some(Ok(Done { stream, version, outcome }))
        };
        self.results
            .into_iter()
            .map(|result| match result {
                StoredResult::Created { category, id, version } => {
                    done(category, id, version, Outcome::Created)
                }
                StoredResult::Done { category, id, version } => done(category, id, version, Outcome::Done),
                StoredResult::Refused(refusal) => Some(Err(refusal)),
            })
            .collect()
    }
}
