//! Which queue a tenant's job waits in.
//!
//! Stochastic fair queueing (McKenney, 1990) with shuffle sharding (as in Kubernetes' API Priority and Fairness): the queues have equal shares,
//! and each tenant has a hand of [`HAND`] of them, dealt by its number; a job goes to the one of the hand in which fewest wait. So one tenant that
//! floods its queues leaves another, whose hand is never quite the same but by a chance of one to ten million, one that is empty. What a tenant has had is charged to all queues of its hand, so that it has one share,
//! however many of them it fills.

use std::time::Duration;

use super::shares::MOST;
use crate::Tenant;

/// What a tenant saves up of its share while it has nothing to do, as time of a worker: so much of what it sends at once goes before the jobs
/// of those that send without end.
pub(super) const CREDIT: Duration = Duration::from_millis(100);

/// How many queues a tenant may use.
pub(super) const HAND: usize = 4;

/// A tenant's queues, none of them twice. All that have no tenant share one.
pub(super) fn hand(tenant: Tenant) -> impl Iterator<Item = usize> + Clone {
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
    fn all_without_a_tenant_share_one_queue() {
        assert_eq!(hand(Tenant::default()).collect::<Vec<_>>(), [0]);
    }
}
