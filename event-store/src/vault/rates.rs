//! Counters of how often something is tried, which all processes share. What is counted is a keyed hash and never who it is.

use std::time::Duration;

use domain::ids::TenantId;
use sabotage::Guard;
use sqlx::postgres::types::PgInterval;

use super::{Digest, Vault, interval};

/// One try under one policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Try {
    /// In which tenant it is counted; tenant zero for what is of none, such as an address.
    pub tenant: TenantId,
    /// The policy, as stored.
    pub policy: i16,
    /// Who is counted.
    pub subject: Digest,
    /// How many tries a window takes.
    pub most: u32,
    /// How long a window is. At most a day: older ones are swept away.
    pub span: Duration,
}

/// What one window holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Tries so far; more than the policy takes if the last one is refused.
    pub used: u32,
    /// When a new one begins.
    pub ends_in: Duration,
}

struct WindowRow {
    used: i32,
    ends_in: PgInterval,
}

impl From<WindowRow> for Window {
    fn from(row: WindowRow) -> Self {
        // PostgreSQL tells a difference of a whole day as a day, not as hours.
        let days = u64::try_from(row.ends_in.days).unwrap_or_default();
        let micros = u64::try_from(row.ends_in.microseconds).unwrap_or_default();
        let ends_in = Duration::from_secs(days * 86_400) + Duration::from_micros(micros);
        Self { used: u32::try_from(row.used).unwrap_or_default(), ends_in }
    }
}

impl Vault {
    /// Counts a try under each of several policies, up to the first one that is used up; what stands behind that is not counted.
    /// One window for each that was asked, in order. Name policies in ascending order: rows are locked in it.
    ///
    /// # Errors
    /// If the database cannot be used; then it is not known whether it was counted.
    pub async fn count_tries(&self, tries: &[Try]) -> sqlx::Result<Vec<Window>> {
        let tenants: Vec<_> = tries.iter().map(|it| it.tenant.uuid()).collect();
        let policies: Vec<_> = tries.iter().map(|it| it.policy).collect();
        let subjects: Vec<_> = tries.iter().map(|it| it.subject.0.to_vec()).collect();
        let most: Vec<_> = tries.iter().map(|it| i32::try_from(it.most).unwrap_or(i32::MAX - 1)).collect();
        let spans: Vec<_> = tries.iter().map(|it| interval(it.span)).collect();
        let rows = sqlx::query_as!(
            WindowRow,
            r#"select used as "used!", ends_in as "ends_in!" from vault.count_rates($1, $2, $3, $4, $5)"#,
            &tenants,
            &policies,
            &subjects,
            &most,
            &spans,
        )
        .fetch_all(&self.pool)
        .await?;
        let used = |it: Window| if sabotage::stands(Guard::SharedLimit) { it.used } else { 1 };
        Ok(rows.into_iter().map(Window::from).map(|it| Window { used: used(it), ..it }).collect())
    }

    /// Takes back one try that was counted and was good.
    ///
    /// # Errors
    /// If the database cannot be used; then it stays counted.
    pub async fn give_back_try(&self, it: &Try) -> sqlx::Result<()> {
        let (tenant, subject) = (it.tenant.uuid(), &it.subject.0[..]);
        sqlx::query!("select vault.give_back_try($1, $2, $3)", tenant, it.policy, subject)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// What was counted in the window that is open, if one is. Counts nothing.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn look_at_tries(&self, of: &Try) -> sqlx::Result<Option<Window>> {
        let row = sqlx::query_as!(
            WindowRow,
            r#"select used as "used!", ends_in as "ends_in!" from vault.look_at_rate($1, $2, $3, $4)"#,
            of.tenant.uuid(),
            of.policy,
            &of.subject.0[..],
            interval(of.span),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(Window::from))
    }
}
