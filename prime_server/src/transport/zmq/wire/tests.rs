//! What is written is read again, what is not of the protocol is not, and the bytes are those that other builds know.

use std::fmt::Write;

use proptest::prelude::*;

use super::samples::{Pieces, commands, outcomes, pieces, tasks};
use super::*;

fn any_pieces() -> impl Strategy<Value = Pieces> {
    let texts = (any::<String>(), any::<Vec<u8>>(), any::<[u8; 16]>());
    (texts, any::<u8>(), any::<u32>(), any::<u64>(), any::<bool>())
        .prop_map(|((text, bytes, id), byte, number, long, yes)| Pieces { text, bytes, id, byte, number, long, yes })
}

/// Each is read as what was written, not with bytes that are missing, and not with one left over.
macro_rules! are_read_again {
    ($all:expr, $kind:ident) => {
        for value in $all {
            let mut frame = encode(&value);
            prop_assert!(decode::<$kind<'_>>(&frame).as_ref() == Some(&value), "{value:?} is not read again");
            for length in 0..frame.len() {
                prop_assert!(decode::<$kind<'_>>(&frame[..length]).as_ref() != Some(&value));
            }
            frame.push(0);
            prop_assert_eq!(decode::<$kind<'_>>(&frame), None);
        }
    };
}

proptest! {
    #[test]
    fn all_that_is_written_is_read_again(pieces in any_pieces()) {
        are_read_again!(commands(&pieces), Command);
        are_read_again!(tasks(&pieces), Task);
        are_read_again!(outcomes(&pieces), Outcome);
    }

    /// What is read of them is what they would be written as, but for numbers with more bytes than they need.
    #[test]
    fn any_bytes_are_read_or_not(bytes: Vec<u8>, first in 0..20_u8) {
        let mut frame = vec![first];
        frame.extend(bytes);
        super::fuzzing::wire(&frame);
    }

    #[test]
    fn damaged_frames_are_read_or_not(pieces in any_pieces(), at: prop::sample::Index, with: u8) {
        let commands = commands(&pieces).iter().map(encode).collect::<Vec<_>>();
        let tasks = tasks(&pieces).iter().map(encode).collect::<Vec<_>>();
        let outcomes = outcomes(&pieces).iter().map(encode).collect::<Vec<_>>();
        for mut frame in [commands, tasks, outcomes].concat() {
            let at = at.index(frame.len());
            frame[at] = with;
            super::fuzzing::wire(&frame);
        }
    }
}

#[test]
fn what_ends_a_job_is_all_but_heads_and_pieces() {
    let pieces = pieces();
    let open: Vec<_> = outcomes(&pieces).into_iter().filter(|outcome| !outcome.ends()).collect();
    assert!(matches!(open[..], [Outcome::Head { .. }, Outcome::Piece(_)]));
}

#[test]
fn the_first_byte_says_what_is_looked_at_before_it_is_read() {
    let pieces = pieces();
    for command in commands(&pieces) {
        let first = match command {
            Command::Hello(_) => Command::HELLO,
            Command::Welcome(_) => Command::WELCOME,
            Command::Refused { .. } => Command::REFUSED,
            Command::Who => Command::WHO,
            Command::Beat => Command::BEAT,
            Command::Bye => Command::BYE,
            Command::Fragment { .. } => Command::FRAGMENT,
            Command::Affinity { .. } => Command::AFFINITY,
            _ => continue,
        };
        assert_eq!(encode(&command)[0], first);
    }
}

#[test]
fn a_response_that_http_does_not_allow_is_none() {
    assert!(response(200, vec![("x-name", b"value")], Bytes::new()).is_some());
    assert!(response(99, Vec::new(), Bytes::new()).is_none());
    assert!(response(200, vec![("x name", b"value")], Bytes::new()).is_none());
    assert!(response(200, vec![("x-name", b"two\r\nlines")], Bytes::new()).is_none());
}

/// Workers in other languages, and builds of other days, write and read these bytes. A change of them is another version of the
/// protocol.
#[test]
fn the_bytes_of_each_command_are_those_of_the_protocol() {
    let pieces = pieces();
    are_written_as(commands(&pieces).iter().map(encode), COMMANDS);
    are_written_as(tasks(&pieces).iter().map(encode), TASKS);
    are_written_as(outcomes(&pieces).iter().map(encode), OUTCOMES);
}

fn are_written_as(frames: impl Iterator<Item = Vec<u8>>, expected: &str) {
    let written = frames.map(|frame| readable(&frame)).collect::<Vec<_>>();
    let expected: Vec<_> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(written, expected);
}

/// Letters and dots as they are, other bytes in two hexadecimal digits, which are capital ones.
fn readable(frame: &[u8]) -> String {
    frame.iter().fold(String::new(), |mut line, byte| {
        match byte {
            b'a'..=b'z' | b'.' => line.push(char::from(*byte)),
            _ => write!(line, "{byte:02X}").unwrap(),
        }
        line
    })
}

#[test]
fn a_limit_below_a_millisecond_is_told_as_one() {
    for (micros, ms) in [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2), (5_000_000, 5000)] {
        assert_eq!(millis(Duration::from_micros(micros)), ms);
    }
    assert_eq!(millis(Duration::MAX), u64::MAX);
}

const COMMANDS: &str = "
    005052494D45018780808010sixteen.bytes...04text0004text0000
    005052494D45018780808010sixteen.bytes...04text0104text0104text878080801001AC028780808010018780808010010101878080801001
    005052494D45018780808010sixteen.bytes...04text0104text0001AC02878080801000010101878080801001
    005052494D45018780808010sixteen.bytes...04text0204text0000
    010C8780808010sixteen.bytes...04text04text
    0204text
    03
    04
    05
    06878080801001
    07AC02AC02
    0887808080108780808010AC020102B0B1
    098780808010878080801087808080100102B0B1
    0A8780808010
    0B8780808010AC02
    0C87808080100C
    0D878080801087808080108780808010
    0E0102B0B1
    0F0202B0B100
";

const TASKS: &str = "
    sixteen.bytes...AC02AC02sixteen.bytes...AC020C0C878080801087808080100104text04text0102B0B102B0B1000104text04text02B0B1
    sixteen.bytes...AC02AC02sixteen.bytes...AC020C0C878080801087808080100104text04text0102B0B102B0B10102B0B1
";

const OUTCOMES: &str = "
    00AC020204text02B0B104text02B0B102B0B1
    0104text878080801002B0B1
    0204text87808080100202B0B100
    0304text878080801002B0B1
    04AC020204text02B0B104text02B0B1
    0502B0B1
    06
    07
    0800
    0801
    0802
    0803
    0804
    0805
    0806
";
