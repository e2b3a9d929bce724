//! A front end for any pipeline. See `prime_httpd --help`.

fn main() -> std::process::ExitCode {
    prime_server_tools::run(prime_server::__private::httpd)
}
