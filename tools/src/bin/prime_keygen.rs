//! Keys for the links between processes. See `prime_keygen --help`.

fn main() -> std::process::ExitCode {
    prime_server_tools::run(prime_server::__private::keygen)
}
