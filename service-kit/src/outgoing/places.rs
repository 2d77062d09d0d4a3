//! How many requests may be under way: of the process, and for each tenant.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::ids::TenantId;

/// The places of a process.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    most_of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Whoever has none is not in it, so it is never longer than there are places.
    by_tenant: HashMap<TenantId, usize>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    whose: Option<TenantId>,
}

impl Places {
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        Self { most, most_of_one, taken: Mutex::default() }
    }

    /// A place, if one is free and the tenant has not had their share.
    pub(super) fn take(self: &Arc<Self>, whose: Option<TenantId>) -> Option<Place> {
        let mut taken = self.taken();
        if taken.all >= self.most {
            return None;
        }
        if let Some(tenant) = whose {
            let theirs = taken.by_tenant.get(&tenant).copied().unwrap_or_default();
            if theirs >= self.most_of_one {
                return None;
            }
            taken.by_tenant.insert(tenant, theirs + 1);
        }
        taken.all += 1;
        Some(Place { places: Arc::clone(self), whose })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        let Some(tenant) = self.whose else { return };
        match taken.by_tenant.get_mut(&tenant) {
            Some(theirs) if *theirs > 1 => *theirs -= 1,
            _ => drop(taken.by_tenant.remove(&tenant)),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_tenant_takes_their_share_and_leaves_the_rest() {
        let places = Arc::new(Places::new(5, 2));
        let [a, b, c] = [1, 2, 3].map(|n| Some(TenantId::new(Uuid::from_u128(n))));
        let of_a = [places.take(a), places.take(a)];
        assert!(of_a.iter().all(Option::is_some) && places.take(a).is_none());
        let of_others = [places.take(b), places.take(b), places.take(None)];
        assert!(of_others.iter().all(Option::is_some));
        assert!(places.take(c).is_none() && places.take(None).is_none(), "there is no place at all");
        drop(of_a);
        assert!(places.take(a).is_some() && places.take(c).is_some());
        drop(of_others);
        let taken = places.taken();
        assert!(taken.all == 0 && taken.by_tenant.is_empty(), "{taken:?}");
    }
}
