//! Which queue a tenant's job waits in, and what each tenant has had.
//!
//! Stochastic fair queueing (McKenney, 1990) with shuffle sharding (as in Kubernetes' API Priority and Fairness): each tenant has a hand of [`HAND`]
//! queues, dealt by its number; a job goes to the one of the hand in which fewest wait. So one tenant that floods its queues leaves another, whose
//! hand is never quite the same but by a chance of one to ten million, one that is empty. Otherwise than there, it is not the queues that have equal
//! shares but the tenants, whose account goes with their jobs: however many queues one fills it has one share, and whatever others use the queues
//! that it uses, it has that.

use std::collections::HashMap;
use std::time::Duration;

use slab::Slab;

use super::shares::{Ledger, MOST};
use crate::Tenant;

/// What a tenant saves up of its share while it has nothing to do, as time of a worker: so much of what it sends at once goes before the jobs
/// of those that send without end.
pub(super) const CREDIT: Duration = Duration::from_millis(100);

/// So many accounts are kept of tenants that have nothing to do. Beyond, all of these begin anew.
const IDLE: usize = 1024;

/// How many queues a tenant may use.
pub(super) const HAND: usize = 4;

/// A tenant's queues, none of them twice. All that have no tenant share one.
pub(super) fn hand(tenant: Tenant) -> impl Iterator<Item = usize> {
    // Its last bit says only that there is a tenant.
    let mut rest = tenant.number() >> 1;
    let mut dealt = [usize::MAX; HAND];
    (0..HAND).map_while(move |at| {
        if tenant.number() == 0 {
            return (at == 0).then_some(0);
        }
        let left = (MOST - at) as u64;
        let mut card = (rest % left) as usize;
        rest /= left;
        // The card of that place among those that are left.
        for before in &dealt[..at] {
            card += usize::from(card >= *before);
        }
        dealt[at] = card;
        dealt[..=at].sort_unstable();
        Some(card)
    })
}

/// What tenants have had.
#[derive(Debug)]
pub(super) struct Accounts {
    ledger: Ledger,
    by_tenant: HashMap<u64, usize>,
    accounts: Slab<Account>,
    idle: usize,
}

#[derive(Debug)]
struct Account {
    tenant: Tenant,
    /// How many of its jobs wait or run.
    jobs: usize,
}

/// The account of all that have no tenant, which is never closed.
const NOBODY: usize = 0;

impl Default for Accounts {
    fn default() -> Self {
        let mut accounts = Slab::new();
        let nobody = accounts.insert(Account { tenant: Tenant::default(), jobs: 1 });
        debug_assert_eq!(nobody, NOBODY);
        Self { ledger: Ledger::with_credit(CREDIT), by_tenant: HashMap::new(), accounts, idle: 0 }
    }
}

impl Accounts {
    /// The account of a tenant of whom a job has come.
    pub(super) fn open(&mut self, tenant: Tenant) -> usize {
        let known =
            if tenant == Tenant::default() { Some(NOBODY) } else { self.by_tenant.get(&tenant.number()).copied() };
        let account = known.unwrap_or_else(|| {
            let account = self.accounts.insert(Account { tenant, jobs: 0 });
            self.by_tenant.insert(tenant.number(), account);
            self.ledger.forget(account);
            self.idle += 1;
            account
        });
        let jobs = &mut self.accounts[account].jobs;
        self.idle -= usize::from(*jobs == 0);
        *jobs += 1;
        self.ledger.come(account);
        account
    }

    /// One of the jobs for which it was opened is over.
    pub(super) fn close(&mut self, account: usize) {
        let jobs = &mut self.accounts[account].jobs;
        *jobs -= 1;
        self.idle += usize::from(*jobs == 0);
        if self.idle > IDLE {
            let Self { by_tenant, accounts, .. } = self;
            accounts.retain(|_, Account { tenant, jobs }| {
                if *jobs == 0 {
                    by_tenant.remove(&tenant.number());
                }
                *jobs > 0
            });
            self.idle = 0;
        }
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_hand_has_different_queues(number: u64) {
            let dealt: BTreeSet<_> = hand(Tenant::from_number(number | 1)).collect();
            prop_assert_eq!(dealt.len(), HAND);
            prop_assert!(dealt.iter().all(|queue| *queue < MOST));
        }
    }

    #[test]
    fn no_queue_is_dealt_more_often_than_others() {
        let mut dealt = [0; MOST];
        (0..32_768_u64).for_each(|n| hand(Tenant::of(n)).for_each(|queue| dealt[queue] += 1));
        assert!(dealt.iter().all(|times| (850..1200).contains(times)), "{dealt:?}");
    }

    #[test]
    fn accounts_are_kept_while_they_have_jobs_and_of_the_others_no_more_than_may_be() {
        let mut accounts = Accounts::default();
        let busy = accounts.open(Tenant::of("busy"));
        accounts.ledger_mut().charge(busy, 5.0);
        for n in 0..10 * IDLE {
            let idle = accounts.open(Tenant::of(n));
            accounts.ledger_mut().charge(idle, 1.0);
            accounts.close(idle);
            assert!(accounts.accounts.len() <= IDLE + 2 && accounts.by_tenant.len() == accounts.accounts.len() - 1);
        }
        assert_eq!((accounts.open(Tenant::of("busy")), accounts.ledger().rank(busy)), (busy, 5.0));
        let new = accounts.open(Tenant::of("new"));
        assert_eq!(accounts.ledger().rank(new), 0.0, "it has nothing of whoever had the account before");
        assert_eq!(accounts.open(Tenant::default()), NOBODY);
    }

    #[test]
    fn all_without_a_tenant_share_one_queue() {
        assert_eq!(hand(Tenant::default()).collect::<Vec<_>>(), [0]);
    }
}
