//! A gallery, another piece each time: `cargo run --release -- tcp://127.0.0.1:8005`, then `curl http://127.0.0.1:8005/` again and
//! again. `cargo run -- --describe` prints the pipeline.

use prime_server::Built;
use prime_server::prelude::*;

/// What hangs in every gallery, with a line of `%` between two drawings.
const DRAWINGS: &str = include_str!("drawings.txt");

/// The drawings one after the other, then a maze, then the drawings again. Each worker has a gallery of its own, so that nothing is
/// shared and nothing locked; there is one worker, so that whoever comes next sees another piece.
struct Gallery {
    drawings: Vec<&'static str>,
    next: usize,
    random: Random,
}

#[stage(workers = 1)]
impl Gallery {
    fn new() -> Self {
        Self { drawings: DRAWINGS.split("%\n").collect(), next: 0, random: Random(0x9e37_79b9_7f4a_7c15) }
    }

    fn run(&mut self, _: Request) -> String {
        match self.drawings.get(self.next) {
            Some(drawing) => {
                self.next += 1;
                (*drawing).to_owned()
            }
            None => {
                self.next = 0;
                maze(&mut self.random, 16, 7)
            }
        }
    }
}

/// Marsaglia's xorshift, which is random enough for a maze. Never 0.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as usize % limit
    }
}

/// A maze of so many cells, dug by a random walk that goes back wherever it is stuck. There is one way between any two cells.
fn maze(random: &mut Random, width: usize, height: usize) -> String {
    let mut open = vec![vec![false; 2 * width + 1]; 2 * height + 1];
    open[0][1] = true;
    open[1][1] = true;
    open[2 * height][2 * width - 1] = true;
    let mut walk = vec![(0_usize, 0_usize)];
    while let Some((x, y)) = walk.last().copied() {
        let around = [(x + 1, y), (x, y + 1), (x.wrapping_sub(1), y), (x, y.wrapping_sub(1))];
        let is_solid = |(x, y): &(usize, usize)| *x < width && *y < height && !open[2 * y + 1][2 * x + 1];
        let ways: Vec<_> = around.into_iter().filter(is_solid).collect();
        if ways.is_empty() {
            walk.pop();
            continue;
        }
        let (to_x, to_y) = ways[random.below(ways.len())];
        open[y + to_y + 1][x + to_x + 1] = true;
        open[2 * to_y + 1][2 * to_x + 1] = true;
        walk.push((to_x, to_y));
    }
    let line = |row: Vec<bool>| -> String {
        let line: String = row.into_iter().map(|open| if open { "  " } else { "##" }).collect();
        line + "\n"
    };
    open.into_iter().map(line).collect()
}

fn art() -> Result<Built, StartError> {
    Pipeline::new("art").route(Method::GET, "/").stage::<Gallery>().build()
}

fn main() -> Result<(), StartError> {
    let argument = std::env::args().nth(1).unwrap_or("tcp://127.0.0.1:8005".to_owned());
    let art = art()?;
    if argument == "--describe" {
        print!("{}", art.describe());
        return Ok(());
    }
    art.serve_with(&argument, |running| eprintln!("listening on {}", running.endpoint().unwrap_or(&argument)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_gallery_shows_another_piece_each_time_and_then_begins_again() -> Result<(), Box<dyn std::error::Error>> {
        let art = Pipeline::new("art").stage::<Gallery>().workers(1).build()?;
        let running = art.start_in_process()?;
        let client = running.client();
        let show = || {
            let piece = client.call(Request::get("/")).expect("it runs");
            assert_eq!(piece.headers()["content-type"], "text/plain; charset=utf-8");
            String::from_utf8(piece.body().as_bytes().to_vec()).expect("it is text")
        };
        let pieces = DRAWINGS.split("%\n").count();
        let round = || -> (Vec<String>, String) { ((0..pieces).map(|_| show()).collect(), show()) };
        let ((first, maze), (second, other_maze)) = (round(), round());
        assert!(pieces >= 8 && first.iter().collect::<HashSet<_>>().len() == pieces, "{pieces}");
        assert!(first.iter().all(|piece| DRAWINGS.contains(piece)));
        assert_eq!(first, second);
        assert!(maze != other_maze && !first.contains(&maze));
        Ok(())
    }

    #[test]
    fn drawings_fit_a_terminal() {
        for drawing in DRAWINGS.split("%\n") {
            assert!((5..=20).contains(&drawing.lines().count()) && drawing.ends_with('\n'), "{drawing}");
            assert!(drawing.is_ascii() && drawing.lines().all(|line| line.len() < 80), "{drawing}");
        }
    }

    #[test]
    fn all_cells_of_a_maze_are_dug_and_there_is_one_way_between_any_two() {
        let mut random = Random(1);
        for (width, height) in [(1, 1), (1, 9), (16, 7)] {
            let spaces = maze(&mut random, width, height).matches("  ").count();
            // The cells, a passage less than that, and the two doors.
            assert_eq!(spaces, 2 * width * height - 1 + 2, "{width} by {height}");
        }
    }

    #[test]
    fn other_paths_are_not_there() -> Result<(), StartError> {
        assert_eq!(art()?.test(Request::get("/"))?.status(), StatusCode::OK);
        assert_eq!(art()?.test(Request::get("/other"))?.status(), StatusCode::NOT_FOUND);
        Ok(())
    }
}
