//! What the targets in `fuzz/` run. `cargo test` runs their corpora through it.

pub use super::front::fuzzing::front_end;
pub use super::proxy::fuzzing::proxy;
pub use super::wire::fuzzing::wire;

/// What a fuzzer's bytes say that happens, one thing after another.
pub(super) struct Script<'a>(pub(super) &'a [u8]);

impl<'a> Script<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// One below that; 0 at the end.
    pub(super) fn below(&mut self, most: u8) -> usize {
        usize::from(self.byte().unwrap_or(0) % most)
    }

    /// A job's number: small halves, as each side gives them.
    pub(super) fn job(&mut self) -> u64 {
        (self.below(16) as u64) << 32 | self.below(8) as u64
    }

    pub(super) fn bytes(&mut self) -> &'a [u8] {
        let length = self.below(255).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Any peers, whatever they say.
        #[test]
        fn a_proxy_keeps_its_order_among_any_peers(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            proxy(&bytes);
        }

        #[test]
        fn a_front_end_answers_each_request_once_whatever_proxies_say(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            front_end(&bytes);
        }
    }

    #[test]
    fn the_corpora_find_nothing() {
        let corpora = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        for (name, target) in [("wire", wire as fn(&[u8])), ("proxy", proxy), ("front_end", front_end)] {
            let mut files = 0;
            for file in std::fs::read_dir(corpora.join(name)).unwrap() {
                target(&std::fs::read(file.unwrap().path()).unwrap());
                files += 1;
            }
            assert!(files > 5, "{name} has a corpus");
        }
    }
}
