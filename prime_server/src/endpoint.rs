//! Endpoints that a process of ours listens at, checked before ZeroMQ reads them, which understands what nobody meant.

use std::ffi::{CStr, CString, c_int};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// What a Unix socket's address has room for (`sun_path`), less a byte for its end.
pub(crate) const PATH_BYTES: usize = 107;

/// A `tcp://` endpoint as libzmq is to read it. It would take port 99999 for 34463, and what follows a `;` for another address.
pub(crate) fn tcp(endpoint: &str) -> Result<String, String> {
    let like = "an endpoint looks like tcp://127.0.0.1:8002, tcp://[::1]:8002 or tcp://*:8002";
    let address = endpoint.strip_prefix("tcp://").ok_or(like)?;
    let (host, port) = address.rsplit_once(':').ok_or(format!("the port is missing; {like}"))?;
    if port != "*" && (port.parse::<u16>().is_err() || !port.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(format!("the port is no number up to 65535; {like}"));
    }
    let host = if host == "localhost" { "127.0.0.1" } else { host };
    let in_brackets = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let known = host == "*"
        || host.parse::<Ipv4Addr>().is_ok()
        || in_brackets.is_some_and(|host| host.split('%').next().is_some_and(|it| it.parse::<Ipv6Addr>().is_ok()));
    if known { Ok(format!("tcp://{host}:{port}")) } else { Err(format!("`{host}` is no address; {like}")) }
}

/// Refuses a path where a socket cannot be, or is not to be: ZeroMQ puts it in the place of whatever is there, without a word.
pub(crate) fn path(path: &Path) -> Result<(), String> {
    let bytes = path.as_os_str().len();
    if bytes > PATH_BYTES {
        return Err(format!("the path has {bytes} bytes, and {PATH_BYTES} are possible; take a shorter one"));
    }
    if UnixStream::connect(path).is_ok() {
        return Err("another process listens there; end that process or take another path".to_owned());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match (path.symlink_metadata(), folder) {
        (Ok(there), _) if !there.file_type().is_socket() => {
            Err("something that is no socket is there already; move it away or take another path".to_owned())
        }
        (Err(_), Some(folder)) if !folder.is_dir() => {
            Err(format!("there is no folder {}; make it or take another path", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Binds a socket. An error is why the address cannot be had, and what can be done about it.
///
/// The zmq crate's own `bind` panics on errors that it has no name for, such as that of a full disk.
#[allow(unsafe_code)]
pub(crate) fn bind(socket: &mut zmq::Socket, address: &str) -> Result<(), String> {
    let address = CString::new(address).map_err(|_| "an address has no zero bytes")?;
    // SAFETY: the socket is open, as it is there, and the address ends with a zero byte.
    let bound = unsafe { zmq_sys::zmq_bind(socket.as_mut_ptr(), address.as_ptr()) };
    // SAFETY: it may always be asked for.
    if bound == 0 { Ok(()) } else { Err(remedy(unsafe { zmq_sys::zmq_errno() })) }
}

#[allow(unsafe_code)]
fn remedy(errno: c_int) -> String {
    let known = match errno {
        libc::EADDRINUSE => "another socket listens there; end that process or take another port",
        libc::EADDRNOTAVAIL => "no network interface of this machine has that address",
        libc::EACCES => {
            "that is not allowed: ports below 1024 need the privilege CAP_NET_BIND_SERVICE, paths a folder that may be written to"
        }
        libc::ENOSPC | libc::EDQUOT => "there is no room left on that file system; make some or take another path",
        libc::EROFS => "that file system cannot be written to; take another path",
        // SAFETY: the text is there for ever, and ends with a zero byte.
        other => return unsafe { CStr::from_ptr(zmq_sys::zmq_strerror(other)) }.to_string_lossy().into_owned(),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libzmq_would_take_for_something_else_is_refused() {
        for (given, read) in [
            ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0"),
            ("tcp://*:65535", "tcp://*:65535"),
            ("tcp://[::1]:1", "tcp://[::1]:1"),
            ("tcp://[fe80::1%lo]:1", "tcp://[fe80::1%lo]:1"),
            ("tcp://localhost:1", "tcp://127.0.0.1:1"),
        ] {
            assert_eq!(tcp(given).as_deref(), Ok(read));
        }
        for (given, problem) in [
            ("tcp://127.0.0.1", "port"),
            ("tcp://127.0.0.1:99999", "up to 65535"),
            ("tcp://127.0.0.1:+1", "up to 65535"),
            ("tcp://eth0;127.0.0.1:1", "no address"),
            ("tcp://host:1", "`host` is no address"),
            ("http://127.0.0.1:1", "looks like tcp://"),
        ] {
            let error = tcp(given).unwrap_err();
            assert!(error.contains(problem), "{given}: {error}");
        }
    }

    #[test]
    fn a_path_is_taken_only_where_a_socket_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let problem = |name: &str| path(&at(name)).unwrap_err();
        assert_eq!(path(&at("new")), Ok(()));
        std::fs::write(at("file"), "precious").unwrap();
        assert!(problem("file").contains("no socket is there"));
        std::os::unix::fs::symlink(at("nowhere"), at("link")).unwrap();
        assert!(problem("link").contains("no socket is there"));
        assert!(path(folder.path()).unwrap_err().contains("no socket is there"));
        assert!(problem("none/new").contains("there is no folder"));
        assert!(problem(&"x".repeat(PATH_BYTES)).contains("take a shorter one"));
        let listener = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        assert!(problem("socket").contains("another process listens"));
        drop(listener);
        assert_eq!(path(&at("socket")), Ok(()), "what a dead process left is taken");
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said_whatever_it_is() {
        let mut socket = zmq::Context::new().socket(zmq::ROUTER).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let problem = bind(&mut socket, &format!("ipc://{}/socket", file.path().display())).unwrap_err();
        assert_eq!(problem, "Not a directory");
        assert!(bind(&mut socket, "ipc://@a\0b").unwrap_err().contains("zero bytes"));
        bind(&mut socket, "tcp://127.0.0.1:0").unwrap();
        let taken = socket.get_last_endpoint().unwrap().unwrap();
        assert!(bind(&mut socket, &taken).unwrap_err().contains("take another port"));
        for (errno, says) in [
            (libc::ENOSPC, "make some"),
            (libc::EDQUOT, "make some"),
            (libc::EROFS, "cannot be written"),
            (libc::EACCES, "not allowed"),
            (libc::EADDRNOTAVAIL, "no network interface"),
        ] {
            assert!(remedy(errno).contains(says));
        }
    }
}
