//! What holds of a proxy's notes at any time.

use super::*;

impl Desk {
    pub(in crate::transport::zmq) fn assert_order(&self) {
        assert_eq!(self.by_route.len(), self.peers.len(), "a peer is found by its route, and no other is");
        let workers = self.peers.iter().filter(|(_, peer)| matches!(peer.kind, Kind::Worker { .. })).count();
        assert_eq!(self.by_crew.len(), workers);
        for (key, peer) in &self.peers {
            assert_eq!(self.by_route[&peer.route], key);
            match &peer.kind {
                Kind::Worker { crew, .. } => assert_eq!(self.by_crew[crew], key),
                Kind::FrontEnd { jobs, .. } => {
                    for (number, job) in jobs {
                        let held = self.crews.get(*job).expect("a job that a front end waits for is here");
                        assert_eq!((held.sender, held.number), (key, *number));
                    }
                }
            }
        }
    }
}
