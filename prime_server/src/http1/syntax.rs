//! What heads, chunk lines and trailers are made of (RFC 9110, 5.6).

/// RFC 9110, 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whatever no line may hold.
pub(super) fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

/// What follows white space.
pub(super) fn after_blank(input: &[u8]) -> &[u8] {
    let blanks = input.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &input[blanks..]
}

/// What follows a token, if there is one.
pub(super) fn after_token(input: &[u8]) -> Option<&[u8]> {
    let length = input.iter().take_while(|byte| is_token(**byte)).count();
    (length > 0).then(|| &input[length..])
}

/// What follows the end of a quoted string (RFC 9110, 5.6.4) whose first quote has been read, if it has an end.
pub(super) fn after_quoted(input: &[u8]) -> Option<&[u8]> {
    let mut bytes = input.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return Some(bytes.as_slice()),
            b'\\' if is_control(*bytes.next()?) => return None,
            byte if is_control(*byte) => return None,
            _ => {}
        }
    }
    None
}
