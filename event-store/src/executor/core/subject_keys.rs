//! The keys of the persons about whom a batch says something private: read, made, forgotten.

use std::collections::HashMap;

use domain::ids::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Core, Failure, in_time, served};
use crate::executor::forgotten::Forget;
use crate::executor::plan::Draft;
use crate::keyring::{Known, MasterKey};
use crate::unit::Unit;

impl Core {
    /// Forgets the keys that were made for a batch which did not land.
    pub(crate) fn forget_new_keys(&mut self) {
        for ((tenant, subject), _) in self.new_keys.drain() {
            self.keys.remove(tenant, subject);
        }
    }

    /// Drops the keys of persons who may have been erased. A batch that was judged with them may still land; what is
    /// sealed in it opens for nobody.
    pub(crate) fn forget(&mut self, forget: &Forget) {
        match forget {
            Forget::Nobody => {}
            Forget::These(subjects) => self.keys.drop_all_of(subjects),
            Forget::Everybody => self.keys.clear(),
        }
    }

    pub(super) fn forget_keys(&mut self) {
        self.keys.clear();
        self.new_keys.clear();
    }

    /// Makes sure that it is known of every person whom the units say something private about which key they have, making
    /// those that do not exist.
    pub(super) async fn ensure_keys(
        &mut self,
        master: &MasterKey,
        conn: &mut PgConnection,
        units: &[&Unit],
    ) -> Result<(), Failure> {
        let mut wanted: Vec<(TenantId, Uuid)> = units.iter().flat_map(|unit| unit.subjects()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        // Room for all of this batch, so that none of its keys is forgotten before it is used.
        if !self.keys.has_room_for(wanted.len()) {
            self.forget_keys();
        }
        wanted.retain(|(tenant, subject)| self.keys.find(*tenant, *subject).is_none());
        if wanted.is_empty() {
            return Ok(());
        }
        self.load_keys(master, conn, &served(units), &wanted).await?;
        for (tenant, subject) in wanted {
            if self.keys.find(tenant, subject).is_none()
                && let Ok((key, wrapped)) = master.make(tenant, subject)
            {
                self.keys.insert(tenant, subject, Known::Key(key));
                self.new_keys.insert((tenant, subject), wrapped);
            }
        }
        Ok(())
    }

    /// Reads which keys persons have, or that they were erased.
    async fn load_keys(
        &mut self,
        master: &MasterKey,
        conn: &mut PgConnection,
        served: &[Uuid],
        wanted: &[(TenantId, Uuid)],
    ) -> Result<(), Failure> {
        let tenants: Vec<Uuid> = wanted.iter().map(|(tenant, _)| tenant.uuid()).collect();
        let subjects: Vec<Uuid> = wanted.iter().map(|(_, subject)| *subject).collect();
        let rows = in_time(async {
            Ok(sqlx::query!(
                r#"select tenant_id as "tenant_id!", subject_id as "subject_id!", wrapped, erased as "erased!"
                   from store.keys_of($1, $2, $3)"#,
                served,
                &tenants,
                &subjects
            )
            .fetch_all(conn)
            .await?)
        })
        .await?;
        for row in rows {
            let tenant = TenantId::new(row.tenant_id);
            let known = match row.wrapped {
                Some(wrapped) if !row.erased => {
                    master.unwrap(tenant, row.subject_id, &wrapped).map(Known::Key)
                }
                _ => Ok(Known::Erased),
            };
            match known {
                Ok(known) => self.keys.insert(tenant, row.subject_id, known),
                Err(error) => tracing::error!(%error, "a subject key does not open with this master key"),
            }
        }
        Ok(())
    }
}

/// Keys that were made for a batch are stored with it.
pub(super) fn store_keys(draft: &mut Draft, keys: &HashMap<(TenantId, Uuid), Vec<u8>>) {
    for ((tenant, subject), wrapped) in keys {
        draft.append.subject_key(*tenant, *subject, wrapped.clone());
    }
}
