//! The one statement that writes: a batch, column by column.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::ids::TenantId;
use domain::{Claim, Refusal, StreamId};
use event_schemas::Encoded;
use sabotage::Guard;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Failure;
use crate::idempotency::IdempotencyKey;
use crate::leaf::{LeafFields, LeafParts};
use crate::stream_ref::StreamRef;
use crate::vault::VaultChange;

/// What a batch writes. Columns of one group have the same length.
#[derive(Default)]
pub(crate) struct Append {
    tenants: Vec<Uuid>,
    categories: Vec<i16>,
    streams: Vec<Uuid>,
    versions: Vec<i64>,
    types: Vec<String>,
    schema_versions: Vec<i16>,
    pub(crate) event_ids: Vec<Uuid>,
    payloads: Vec<String>,
    metas: Vec<String>,
    leaf_heads: Vec<Vec<u8>>,
    leaf_middles: Vec<Vec<u8>>,
    leaf_tails: Vec<Vec<u8>>,
    link_events: Vec<i32>,
    link_categories: Vec<i16>,
    link_streams: Vec<Uuid>,
    link_versions: Vec<i64>,
    pub(crate) answer_tenants: Vec<Uuid>,
    pub(crate) answer_scopes: Vec<Vec<u8>>,
    answer_fingerprints: Vec<Vec<u8>>,
    answer_bodies: Vec<String>,
    answer_events: Vec<i32>,
    claims: Vec<ClaimRow>,
    releases: Vec<(Uuid, String, String)>,
    key_tenants: Vec<Uuid>,
    key_subjects: Vec<Uuid>,
    key_wrapped: Vec<Vec<u8>>,
    vault: Vec<VaultChange>,
}

struct ClaimRow {
    tenant: Uuid,
    scope: String,
    value: String,
    stream: StreamId,
    taken: Refusal,
}

/// The versions of the streams that the batch read.
#[derive(Default)]
pub(crate) struct Guards {
    pub(crate) tenants: Vec<Uuid>,
    pub(crate) categories: Vec<i16>,
    pub(crate) streams: Vec<Uuid>,
    pub(crate) versions: Vec<i64>,
}

impl Guards {
    pub(crate) fn push(&mut self, stream: &StreamRef, version: i64) {
        self.tenants.push(stream.tenant.uuid());
        self.categories.push(stream.stream.category.code);
        self.streams.push(stream.stream.id);
        self.versions.push(version);
    }
}

/// On what an append rests.
pub(crate) struct Basis {
    pub(crate) read_to: i64,
    pub(crate) epoch: i32,
    pub(crate) decided_at: DateTime<Utc>,
    pub(crate) valid_until: Option<DateTime<Utc>>,
}

/// Where a batch landed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Landed {
    pub(crate) base: i64,
    pub(crate) recorded_at: DateTime<Utc>,
    /// How long the statement waited for the head.
    pub(crate) waited: Duration,
}

impl Append {
    /// How many events there are so far; the ordinal of the newest one.
    pub(crate) fn events(&self) -> i32 {
        i32::try_from(self.types.len()).unwrap_or(i32::MAX)
    }

    /// Adds an event with the versions that it has in its streams, its own first.
    pub(crate) fn event(
        &mut self,
        tenant: TenantId,
        event_id: Uuid,
        encoded: Encoded,
        meta: String,
        links: &[(StreamId, i64)],
    ) {
        let Some((own, version)) = links.first() else { return };
        let leaf = LeafFields {
            tenant,
            stream: *own,
            version: *version,
            event_type: encoded.event_type,
            schema_version: encoded.schema_version,
            event_id,
            payload: &encoded.payload,
            meta: &meta,
        };
        let LeafParts { head, middle, tail } = leaf.parts();
        self.leaf_heads.push(head);
        self.leaf_middles.push(middle);
        self.leaf_tails.push(tail);
        self.tenants.push(tenant.uuid());
        self.categories.push(own.category.code);
        self.streams.push(own.id);
        self.versions.push(*version);
        self.types.push(encoded.event_type.to_owned());
        self.schema_versions.push(encoded.schema_version);
        self.event_ids.push(event_id);
        self.payloads.push(encoded.payload);
        self.metas.push(meta);
        let ordinal = self.events();
        for (stream, version) in links {
            self.link_events.push(ordinal);
            self.link_categories.push(stream.category.code);
            self.link_streams.push(stream.id);
            self.link_versions.push(*version);
        }
    }

    /// Remembers an answer, given after the newest event.
    pub(crate) fn answer(&mut self, tenant: TenantId, key: &IdempotencyKey, body: String) {
        if !sabotage::stands(Guard::IdempotencyRecord) {
            return;
        }
        self.answer_tenants.push(tenant.uuid());
        self.answer_scopes.push(key.scope.to_vec());
        self.answer_fingerprints.push(key.fingerprint.to_vec());
        self.answer_bodies.push(body);
        self.answer_events.push(self.events());
    }

    /// The refusal of the first of a unit's claims that an earlier unit of the batch, or itself, has taken.
    pub(crate) fn refusal_of(&self, claims: &[(TenantId, Claim, StreamId)]) -> Option<Refusal> {
        let mut own = std::collections::HashSet::new();
        claims.iter().find_map(|(tenant, claim, _)| match claim {
            Claim::Take { scope, value, taken } => {
                let held = self
                    .claims
                    .iter()
                    .any(|it| it.tenant == tenant.uuid() && it.scope == *scope && it.value == *value);
                (held || !own.insert((tenant, scope, value))).then(|| taken.clone())
            }
            Claim::Release { scope, value } => {
                own.remove(&(tenant, scope, value));
                None
            }
        })
    }

    /// Takes a value for a stream, or gives one up, be it taken by this batch or before.
    pub(crate) fn claim(&mut self, tenant: TenantId, claim: Claim, stream: StreamId) {
        let tenant = tenant.uuid();
        match claim {
            Claim::Take { scope, value, taken } => {
                self.claims.push(ClaimRow { tenant, scope, value, stream, taken });
            }
            Claim::Release { scope, value } => {
                let before = self.claims.len();
                self.claims.retain(|it| !(it.tenant == tenant && it.scope == scope && it.value == value));
                if self.claims.len() == before {
                    self.releases.push((tenant, scope, value));
                }
            }
        }
    }

    /// The refusal of the first claim whose value somebody holds.
    pub(crate) async fn taken(&self, conn: &mut PgConnection) -> sqlx::Result<Option<Refusal>> {
        for claim in &self.claims {
            let held = sqlx::query_scalar!(
                r#"select exists (select from store.claims where tenant_id = $1 and scope = $2 and value = $3) as "held!""#,
                claim.tenant,
                claim.scope,
                claim.value
            )
            .fetch_one(&mut *conn)
            .await?;
            if held {
                return Ok(Some(claim.taken.clone()));
            }
        }
        Ok(None)
    }

    /// Changes tables of secrets together with the events.
    pub(crate) fn change_vault(&mut self, changes: &[VaultChange]) {
        self.vault.extend_from_slice(changes);
    }

    /// Stores a new subject key.
    pub(crate) fn subject_key(&mut self, tenant: TenantId, subject: Uuid, wrapped: Vec<u8>) {
        self.key_tenants.push(tenant.uuid());
        self.key_subjects.push(subject);
        self.key_wrapped.push(wrapped);
    }

    /// For each event, how many of the same tenant follow it in the batch: the tenant's sequence is counted back from
    /// its new head.
    fn tenant_followers(&self) -> Vec<i32> {
        let mut counts = std::collections::HashMap::<Uuid, i32>::new();
        let mut followers: Vec<i32> = self
            .tenants
            .iter()
            .rev()
            .map(|tenant| {
                let count = counts.entry(*tenant).or_default();
                let before = *count;
                *count += 1;
                before
            })
            .collect();
        followers.reverse();
        followers
    }

    /// For each event, which of the served tenants it is of, counted from 1; and how many each of them has.
    fn tenant_slots(&self, served: &[Uuid]) -> (Vec<i32>, Vec<i32>) {
        let mut counts = vec![0; served.len()];
        let slots = self.tenants.iter().map(|tenant| {
            let slot = served.binary_search(tenant).unwrap_or(served.len());
            if let Some(count) = counts.get_mut(slot) {
                *count += 1;
            }
            i32::try_from(slot + 1).unwrap_or(i32::MAX)
        });
        (slots.collect(), counts)
    }

    /// The changes of the vault as the database takes them; `None`, mostly, if there are none.
    fn vault_changes(&self) -> Result<Option<String>, Failure> {
        if self.vault.is_empty() {
            return Ok(None);
        }
        serde_json::to_string(&self.vault)
            .map(Some)
            .map_err(|error| Failure::Database(sqlx::Error::Encode(error.into())))
    }

    /// Writes the batch, all of it or nothing. `served` is sorted.
    pub(crate) async fn execute(
        &self,
        conn: &mut PgConnection,
        served: &[Uuid],
        basis: &Basis,
        guards: &Guards,
    ) -> Result<Landed, Failure> {
        let claim_tenants: Vec<Uuid> = self.claims.iter().map(|it| it.tenant).collect();
        let claim_scopes: Vec<String> = self.claims.iter().map(|it| it.scope.clone()).collect();
        let claim_values: Vec<String> = self.claims.iter().map(|it| it.value.clone()).collect();
        let claim_categories: Vec<i16> = self.claims.iter().map(|it| it.stream.category.code).collect();
        let claim_streams: Vec<Uuid> = self.claims.iter().map(|it| it.stream.id).collect();
        let release_tenants: Vec<Uuid> = self.releases.iter().map(|it| it.0).collect();
        let release_scopes: Vec<String> = self.releases.iter().map(|it| it.1.clone()).collect();
        let release_values: Vec<String> = self.releases.iter().map(|it| it.2.clone()).collect();
        let (tenant_slots, served_events) = self.tenant_slots(served);
        let unguarded = Guards::default();
        let refused_all = self.types.is_empty();
        let guarded =
            sabotage::stands(Guard::VersionCheck) && (sabotage::stands(Guard::RefusalCheck) || !refused_all);
        let guards = if guarded { guards } else { &unguarded };
        let vault = self.vault_changes()?;
        let row = sqlx::query!(
            r#"select outcome as "outcome!", base as "base!", recorded as "recorded!", waited_us as "waited_us!",
                      case when outcome = 'appended' and $45::text is not null
                          then vault.apply($45::text::jsonb)::text end as changed
               from store.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
                                 $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36,
                                 $37, $38, $39, $40, $41, $42, $43, $44)"#,
            served,
            basis.read_to,
            basis.epoch,
            basis.decided_at,
            basis.valid_until,
            &guards.tenants,
            &guards.categories,
            &guards.streams,
            &guards.versions,
            &served_events,
            &self.tenants,
            &tenant_slots,
            &self.tenant_followers(),
            &self.categories,
            &self.streams,
            &self.versions,
            &self.types,
            &self.schema_versions,
            &self.event_ids,
            &self.payloads,
            &self.metas,
            &self.leaf_heads,
            &self.leaf_middles,
            &self.leaf_tails,
            &self.link_events,
            &self.link_categories,
            &self.link_streams,
            &self.link_versions,
            &self.answer_tenants,
            &self.answer_scopes,
            &self.answer_fingerprints,
            &self.answer_bodies,
            &self.answer_events,
            &claim_tenants,
            &claim_scopes,
            &claim_values,
            &claim_categories,
            &claim_streams,
            &release_tenants,
            &release_scopes,
            &release_values,
            &self.key_tenants,
            &self.key_subjects,
            &self.key_wrapped,
            vault,
        )
        .fetch_one(conn)
        .await?;
        match row.outcome.as_str() {
            "appended" => {
                let waited = Duration::from_micros(u64::try_from(row.waited_us).unwrap_or(0));
                Ok(Landed { base: row.base, recorded_at: row.recorded, waited })
            }
            _ => Err(Failure::Stale),
        }
    }
}
