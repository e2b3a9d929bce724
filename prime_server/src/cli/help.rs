//! What `--help` says.

/// Of a program of that name whose pipeline has the other, and which serves at that endpoint by default.
pub(super) fn of(pipeline: &str, name: &str, endpoint: &str) -> String {
    format!(
        "Serves the pipeline `{pipeline}` over HTTP until SIGTERM or Ctrl-C: in one process, or as a part of it.\n\
         \n\
         Usage: {name} [ENDPOINT]\n       \
                {name} all [--listen ENDPOINT]\n       \
                {name} httpd [--listen ENDPOINT] --discover WAY\n       \
                {name} proxyd STAGE --bind ENDPOINT\n       \
                {name} workerd STAGE [-j N] --discover WAY\n\
         \n\
         all      the whole pipeline in this process, each stage a pool of threads\n\
         httpd    a front end: it speaks HTTP, and sends jobs to the proxies of all stages\n\
         proxyd   a proxy: it balances the jobs of one stage over its workers\n\
         workerd  a worker: it runs one stage in N threads, `-j` or `--jobs` [default: the stage's own number]\n\
         \n\
         ENDPOINT for clients: tcp://*:8002; port 0 takes a free one [default: {endpoint}]\n\
         ENDPOINT of a proxy: tcp://127.0.0.1:7001 or ipc:///run/stage\n\
         \n\
         {LINKS}\n\
         {PROXY}\n\
         {SECURITY}\n\
         Options:\n      \
           --ahead TIME          how much work workerd takes ahead of its turn [default: 1ms]\n      \
           --http ENDPOINT       where proxyd or workerd answers /healthz and /metrics [default: nowhere]\n      \
           --describe            print the pipeline: routes, stages, limits\n      \
           --dot                 print it for Graphviz\n  \
       -h, --help                print this\n"
    )
}

/// What is set for the links of a process.
const LINKS: &str = "\
Links:
      --discover WAY        where the proxies are; may be there several times:
                            fixed:parse=tcp://127.0.0.1:7001,is_prime=ipc:///run/is_prime
                            file:/etc/proxies, dns:parse=tcp://parse.svc:7001, beacon: or beacon:eth0
      --liveness TIME       who is silent for so long is dead [default: 1s]
      --wait TIME           the longest that a job waits for a stage without proxy or worker [default: 5s]
      --drain-limit TIME    the longest that jobs in flight are waited for at the end [default: the pipeline's, else 30s]
      --name NAME           what this process is called in the logs of others
";

/// How links are secured.
const SECURITY: &str = "\
Security of the links between processes:
      --curve-server-key FILE   the proxies' key pair; its public half is enough for httpd and workerd
      --curve-client-key FILE   the key pair of this httpd or workerd
      --curve-allow FILE        the public keys that proxyd lets in, one on a line
      --insecure                links may leave this machine without keys, and beacons are believed
";

/// Where `prime_httpd` listens by default.
pub(super) const HTTPD_ENDPOINT: &str = "tcp://127.0.0.1:8002";

pub(super) fn of_httpd() -> String {
    format!(
        "A front end for any pipeline: it speaks HTTP, and sends jobs to the proxies of the stages.\n\
         \n\
         Usage: prime_httpd [--listen ENDPOINT] --discover WAY (--entry STAGE | --route 'METHOD PATH=STAGE'...)\n\
         \n\
         Options:\n      \
           --listen ENDPOINT     where clients connect [default: {HTTPD_ENDPOINT}]\n      \
           --entry STAGE         the stage that takes every request\n      \
           --route ROUTE         such as 'GET /tile/{{z}}/{{x}}/{{y}}=tile'; may be there several times\n      \
           --health PATH         answers whether it serves\n      \
           --metrics PATH        answers with its metrics, for Prometheus\n      \
           --deadline TIME       the time from a request's arrival to its answer [default: 30s]\n      \
           --deadline-header NAME  by which clients shorten that, in milliseconds\n      \
           --max-in-flight N     the most requests that are accepted and not yet answered [default: 4096]\n      \
           --max-hops N          the most times that a request goes from stage to stage [default: 64]\n      \
           --pipeline NAME       the pipeline's name in metrics and logs [default: prime_httpd]\n\
         \n\
         {LINKS}\n\
         {SECURITY}\n\
         A request without a route, where there are routes, is answered 404.\n"
    )
}

pub(super) fn of_proxyd() -> String {
    format!(
        "A proxy for any stage: it balances the stage's jobs over its workers.\n\
         \n\
         Usage: prime_proxyd STAGE --bind ENDPOINT\n\
         \n\
         ENDPOINT: tcp://127.0.0.1:7001, tcp://*:7001 or ipc:///run/stage\n\
         \n\
         Options:\n      \
           --liveness TIME       who is silent for so long is dead [default: 1s]\n      \
           --wait TIME           the longest that a job waits for a stage without worker [default: 5s]\n      \
           --drain-limit TIME    the longest that jobs that run are waited for at the end [default: 30s]\n      \
           --http ENDPOINT       where it answers /healthz and /metrics [default: nowhere]\n      \
           --pipeline NAME       the pipeline's name in metrics [default: prime_proxyd]\n      \
           --name NAME           what this process is called in the logs of others\n\
         \n\
         {PROXY}\n\
         {SECURITY}"
    )
}

/// What is set for a stage.
const PROXY: &str = "\
Options of proxyd for its stage, else as its workers say:
      --queue N             the most jobs that wait
      --timeout TIME        the longest that a job may wait and run
      --idempotent BOOL     whether a job may be tried again whose worker was lost
      --announce[=IFACE]    send a beacon, for httpd and workerd that discover by beacon:
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_the_default_and_every_process() {
        let help = of("pipeline", "p", "tcp://*:1");
        for word in ["[default: tcp://*:1]", "p all", "p httpd", "p proxyd", "p workerd", "--ahead"] {
            assert!(help.contains(word), "{word}");
        }
    }
}
