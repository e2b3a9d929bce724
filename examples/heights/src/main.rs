//! Heights of the ground: `cargo run --release -- tcp://127.0.0.1:8007`, then `curl 'http://127.0.0.1:8007/alps/height?x=7&y=9'`.
//!
//! A region takes long to load and much memory, so no worker has room for all of them. Each keeps the one that it was asked for last, and
//! announces that; a request goes to an idle worker that has its region, or else to one that has none yet. So the workers come to share the
//! regions among themselves, with nothing to configure, also as processes: `-- proxyd ground`, `-- workerd ground`, `-- --help`.

use std::f32::consts::TAU;

use prime_server::prelude::*;
use prime_server::{Affinity, Built, Head};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Region {
    region: String,
}

#[derive(Deserialize)]
struct Place {
    x: usize,
    y: usize,
}

#[derive(Serialize)]
struct Height {
    metres: u16,
    /// The region had to be loaded for this.
    loaded: bool,
}

/// Cells of a region each way.
const SIDE: usize = 512;

/// What a worker has of the ground: one region, or nothing at first.
#[derive(Default)]
struct Ground {
    region: String,
    heights: Vec<u16>,
}

// A spare worker for a long request would load its region again, which is worse than to wait.
#[stage(name = "ground", workers = 4, demote = false)]
impl Ground {
    fn run(&mut self, request: Request) -> Result<Json<Height>, ErrorResponse> {
        let Region { region } = request.path()?;
        let Place { x, y } = request.query()?;
        if x >= SIDE || y >= SIDE {
            return Err((StatusCode::NOT_FOUND, "a region has 512 cells each way\n").into());
        }
        let loaded = region != self.region;
        if loaded {
            self.heights = load(&region);
            self.region = region;
        }
        Ok(Json(Height { metres: self.heights[y * SIDE + x], loaded }))
    }

    fn affinity(&self) -> &str {
        &self.region
    }
}

/// Stands for the file that would be read: some hills, which depend on the name.
fn load(region: &str) -> Vec<u16> {
    let seed = region.bytes().fold(17_u32, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let wave = |at: usize, length: u32| ((at as f32 * TAU / length as f32).sin() + 1.0) * 1000.0;
    let height = |cell: usize| wave(cell % SIDE, seed % 97 + 50) + wave(cell / SIDE, seed % 89 + 50);
    (0..SIDE * SIDE).map(|cell| height(cell) as u16).collect()
}

/// A worker that has the region, or else one that has none.
fn that_has_the_region(head: &Head, idle: &[Affinity]) -> Option<usize> {
    let region = head.path().split('/').nth(1)?;
    let has = |region: &str| idle.iter().position(|worker| worker == region);
    // Else one that has none yet, else the one that is idle for longest: that of a region that is asked for stays.
    has(region).or_else(|| has("")).or(Some(0))
}

fn heights() -> Result<Built, StartError> {
    Pipeline::new("heights")
        .route(Method::GET, "/{region}/height")
        .stage::<Ground>()
        .choose(that_has_the_region)
        .build()
}

fn main() -> Result<(), StartError> {
    heights()?.main("tcp://127.0.0.1:8007")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn each_region_is_loaded_once() -> Result<(), Box<dyn std::error::Error>> {
        let running = heights()?.start_in_process()?;
        let began = Instant::now();
        let mut loaded = 0;
        for request in 0..400 {
            while running.stages()[0].idle < 4 {
                assert!(began.elapsed() < Duration::from_secs(60), "a worker is idle again after each request");
                std::thread::yield_now();
            }
            let region = ["alps", "andes", "urals", "atlas"][request % 4];
            let answer = running.client().call(Request::get(&format!("/{region}/height?x=7&y=9")))?;
            loaded += usize::from(std::str::from_utf8(answer.body().as_bytes())?.contains("true"));
        }
        assert_eq!(loaded, 4, "by as many workers");
        Ok(())
    }

    #[test]
    fn a_place_that_is_not_there_is_said_to_be() -> Result<(), StartError> {
        let heights = heights()?;
        assert_eq!(heights.test(Request::get("/alps/height?x=512&y=0"))?.status(), StatusCode::NOT_FOUND);
        assert_eq!(heights.test(Request::get("/alps/height?x=high"))?.status(), StatusCode::BAD_REQUEST);
        assert_eq!(heights.test(Request::get("/alps/height?x=511&y=511"))?.status(), StatusCode::OK);
        Ok(())
    }
}
