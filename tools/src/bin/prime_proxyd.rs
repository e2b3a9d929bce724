//! A proxy for any stage. See `prime_proxyd --help`.

fn main() -> std::process::ExitCode {
    prime_server_tools::run(prime_server::__private::proxyd)
}
