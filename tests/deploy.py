"""The checks of tests/deploy.sh, which says what they are: deploy.py PROGRAMS TOOLS SCRATCH."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import dockerfile
import promql_parser
import yaml

PROGRAMS, TOOLS, SCRATCH = (Path(argument).resolve() for argument in sys.argv[1:4])
DEPLOY = Path("examples/deploy")
SYSTEMD, KUBERNETES = DEPLOY / "systemd", DEPLOY / "kubernetes"
STAGES = ("parse", "is_prime")
# What the pipeline says, and --drain-limit in the files.
DRAIN_LIMIT = 30
MANIFESTS = ("namespace", "front", "parse", "is-prime", "network-policy", "autoscale")

counts = {"passed": 0, "failed": 0, "skipped": 0}


class Skipped(Exception):
    pass


def check(name, what):
    try:
        what()
        how, why = "passed", ""
    except Skipped as reason:
        how, why = "skipped", f": {reason}"
    except Exception as error:  # noqa: BLE001
        how, why = "failed", f": {type(error).__name__}: {error}"
    counts[how] += 1
    print(f"{how}: {name}{why}", flush=True)


def must(what, problem):
    if not what:
        raise AssertionError(problem)


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, **more)
    must(done.returncode == 0, f"{command[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


# systemd


def installed(curve):
    """A root folder with the units as they would be installed, and what they name."""
    root = SCRATCH / ("root-curve" if curve else "root")
    units = root / "etc/systemd/system"
    units.mkdir(parents=True)
    for unit in [*SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.target")]:
        shutil.copy(unit, units)
    if curve:
        shutil.copytree(SYSTEMD / "curve", units, dirs_exist_ok=True)
    program = root / "usr/local/bin/prime_serverd"
    program.parent.mkdir(parents=True)
    shutil.copy(shutil.which("true"), program)
    (root / "etc/prime").mkdir()
    shutil.copy(SYSTEMD / "prime.env", root / "etc/prime")
    # systemd's own units, which ours are ordered by.
    (root / "usr/lib/systemd").mkdir(parents=True)
    os.symlink("/lib/systemd/system", root / "usr/lib/systemd/system")
    os.symlink("usr/lib", root / "lib")
    return root


def instances():
    return ["prime-front@8002.service", *(f"prime-{kind}@{stage}.service" for kind in ("proxy", "worker") for stage in STAGES)]


def verifies(curve):
    root = installed(curve)
    units = root / "etc/systemd/system"
    paths = [units / name for name in ["prime.target", "prime-stages.target"]]
    for name in instances():
        # An instance is its template's file under another name.
        template = re.sub("@.*", "@.service", name)
        shutil.copy(units / template, units / name)
        if curve:
            shutil.copytree(units / f"{template}.d", units / f"{name}.d", dirs_exist_ok=True)
        paths.append(units / name)
    for path in paths:
        # This systemd takes no --root here, and looks for the program on this machine.
        if path.suffix == ".service":
            path.write_text(path.read_text().replace("/usr/local/bin/prime_serverd", str(root / "usr/local/bin/prime_serverd")))
    said = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *paths)
    must(not said.strip(), said)


def hardened(unit):
    def exposure():
        said = run("systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", SYSTEMD / unit)
        print("  ", said.strip().splitlines()[-1])

    return exposure


def section(unit, key):
    return re.findall(rf"^{key}=(.*)$", (SYSTEMD / unit).read_text(), re.M)


def commands_of_units(keys, environment):
    """The command lines as systemd would make them: specifiers, then variables; `$WORD` alone is split."""
    for name in instances():
        template, instance = re.fullmatch(r"(.*@)(.*)(\.service)", name).group(1, 2)
        unit = f"{template}.service"
        own = dict(environment)
        if keys:
            (line,) = re.findall(r'^Environment="PRIME_SECURITY=(.*)"$', (SYSTEMD / "curve" / f"{unit}.d" / "curve.conf").read_text(), re.M)
            own["PRIME_SECURITY"] = line.replace("%d", str(keys)).replace("/etc/prime/keys", str(keys))
        (line,) = section(unit, "ExecStart")
        words = []
        for word in shlex.split(line.replace("%i", instance).replace("%H", "host")):
            if re.fullmatch(r"\$\w+", word):
                words += own[word[1:]].split()
            else:
                words.append(re.sub(r"\$\{(\w+)\}", lambda found: own[found[1]], word))
        yield words


def environment():
    lines = (line for line in (SYSTEMD / "prime.env").read_text().splitlines() if line and not line.startswith("#"))
    return {"PRIME_SECURITY": "", **dict(line.split("=", 1) for line in lines)}


# The command lines, run


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(what, problem, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        must(time.monotonic() < end, problem())
        time.sleep(0.1)


def healthy(port):
    return subprocess.run([DEPLOY / "healthy", str(port)], capture_output=True, timeout=10).returncode == 0


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        return answer.read().decode()


def option(words, name):
    """The index of the word that has the option's value, and how that word begins."""
    for at, word in enumerate(words):
        if word == name:
            return at + 1, ""
        if word.startswith(f"{name}="):
            return at, f"{name}="
    return None, None


RUNNING = []


def runs(name, commands):
    """Starts all of them, with addresses of this machine in place of theirs, asks, and stops them by SIGTERM."""
    folder = SCRATCH / name
    folder.mkdir()
    processes, pages, front = [], [], None
    try:
        for at, words in enumerate(commands):
            words = [str(PROGRAMS / "prime_serverd"), *words[1:]]
            index, before = option(words, "--http")
            if index is not None:
                pages.append((words[1], free_port()))
                words[index] = f"{before}tcp://127.0.0.1:{pages[-1][1]}"
            index, before = option(words, "--listen")
            if index is not None:
                words[index] = f"{before}tcp://127.0.0.1:0"
                front = folder / f"{at}.log"
            log = open(folder / f"{at}.log", "w")
            process = subprocess.Popen(words, stdout=log, stderr=log)
            processes.append((process, words, folder / f"{at}.log"))
            RUNNING.append(process)

        def logs():
            ended = [words for process, words, _ in processes if process.poll() is not None]
            return f"ended: {ended}\n" + "\n".join(log.read_text() for _, _, log in processes)

        def port():
            found = re.search(r"^listening on tcp://127.0.0.1:(\d+)$", front.read_text(), re.M)
            return found and int(found[1])

        eventually(port, logs)
        eventually(lambda: healthy(port()), logs)
        must(not healthy(free_port()), "`healthy` takes a port for healthy where nothing is")
        must(get(port(), "/is_prime?possible_prime=32416190071") == "true", "a prime is none")
        for kind, page in pages:
            eventually(lambda: healthy(page), logs)
            metrics = get(page, "/metrics")
            REPORTED.setdefault(kind, set()).update(re.findall(r"^(prime_\w+){", metrics, re.M))
            for metric in {"proxyd": ["queue_delay"], "workerd": ["run", "ahead_delay"]}[kind]:
                ran = re.findall(rf"^prime_stage_{metric}_seconds_count{{.*}} (\d+)", metrics, re.M)
                must(ran and int(ran[0]) >= 1, f"prime_stage_{metric}_seconds of a {kind} counts {ran}")
        # In the order in which a deployment stops.
        processes.sort(key=lambda process: ["httpd", "proxyd", "workerd"].index(process[1][1]))
        for process, words, log in processes:
            process.send_signal(signal.SIGTERM)
            must(process.wait(timeout=20) == 0, f"{words} ended with {process.returncode}: {log.read_text()}")
    finally:
        for process, _, _ in processes:
            process.kill()
            process.wait()


def units_run(curve):
    own = environment()
    run_folder = SCRATCH / f"run{int(curve)}"
    for stage in STAGES:
        (run_folder / f"prime-{stage}").mkdir(parents=True)
    if curve:
        # As on several hosts: by tcp, with a file, and the keys.
        ports = {stage: free_port() for stage in STAGES}
        (run_folder / "proxies").write_text("".join(f"{stage}=tcp://127.0.0.1:{port}\n" for stage, port in ports.items()))
        own["PRIME_DISCOVER"] = f"file:{run_folder}/proxies"
        own |= {f"PRIME_BIND_{stage}": f"tcp://127.0.0.1:{port}" for stage, port in ports.items()}
    own = {name: value.replace("/run/prime-", f"{run_folder}/prime-") for name, value in own.items()}
    runs(f"systemd{int(curve)}", list(commands_of_units(keys() if curve else None, own)))


def on_this_machine(commands, hosts, keys=None):
    """With ports of this machine in place of the names and ports of the proxies. `hosts` are the names that there are."""
    ports = {host: free_port() for host in hosts}
    for words in commands:
        words = ["prime_serverd", *words]
        index, before = option(words, "--bind")
        if index is not None:
            (host,) = (host for host in hosts if host == "proxy-" + words[2].replace("_", "-"))
            words[index] = f"{before}tcp://127.0.0.1:{ports[host]}"
        index, _ = option(words, "--discover")
        if index is not None:
            named = re.findall(r"(\w+)=tcp://([\w-]+):7001", words[index])
            must(named and all(host == "proxy-" + stage.replace("_", "-") for stage, host in named), f"{words[index]}")
            for _, host in named:
                must(host in hosts, f"{host} of {words[index]} is no name here")
                words[index] = words[index].replace(f"{host}:7001", f"localhost:{ports[host]}")
        yield [word.replace("/keys/", f"{keys}/") for word in words]


def keys():
    folder = SCRATCH / "keys"
    if not folder.exists():
        run(KUBERNETES / "keys.sh", folder, env={**os.environ, "KEYGEN": str(PROGRAMS / "prime_keygen")})
    return folder


def under_systemd(curve):
    folder = SCRATCH / f"under-systemd{int(curve)}"
    folder.mkdir()
    command = ["timeout", "120", "tests/deploy-systemd.sh", PROGRAMS, folder, *([keys()] if curve else [])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 77:
        raise Skipped(done.stdout.strip())
    must(done.returncode == 0, done.stdout + done.stderr)


# Compose


def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def compose_is_as_it_says():
    file = compose()
    for name, service in file["services"].items():
        must(int(service["stop_grace_period"].rstrip("s")) > DRAIN_LIMIT, f"{name} is killed before it has drained")
        open_links = "--insecure" in service["command"]
        must(open_links and file["networks"]["links"]["internal"], f"{name}: open links are for an internal network")
        must("links" in service["networks"] and ("public" in service["networks"]) == (name == "front"), f"{name}: {service['networks']}")
        _, command, port = service["healthcheck"]["test"]
        wanted = service["command"]
        must(command == "healthy" and any(word == f"tcp://*:{port}" for word in wanted), f"{name}: health is asked for elsewhere")


def compose_runs():
    services = compose()["services"]
    hosts = [name for name in services if name.startswith("proxy-")]
    runs("compose", list(on_this_machine((service["command"] for service in services.values()), hosts)))


def dockerfile_is_as_it_says():
    stages, commands = set(), dockerfile.parse_file(str(DEPLOY / "Dockerfile"))
    for command in commands:
        kind = command.cmd.lower()
        if kind == "from" and len(command.value) == 3:
            stages.add(command.value[2])
        if kind == "copy":
            of = [flag.removeprefix("--from=") for flag in command.flags if flag.startswith("--from=")]
            must(all(stage in stages for stage in of), f"no stage {of}")
            must(of or all(Path(source).exists() for source in command.value[:-1]), f"{command.value} is not there")
    must(any(command.cmd.lower() == "user" for command in commands), "it would run as root")


# Kubernetes


def documents(*names):
    for name in names or MANIFESTS:
        yield from yaml.safe_load_all((KUBERNETES / f"{name}.yaml").read_text())


def of_kind(kind):
    return {document["metadata"]["name"]: document["spec"] for document in documents() if document["kind"] == kind}


def manifests_fit():
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    must({f"{name}.yaml" for name in MANIFESTS} == set(kustomization["resources"]), "the kustomization has other files")
    secrets = {secret["name"]: {Path(file).name for file in secret["files"]} for secret in kustomization["secretGenerator"]}
    deployments = of_kind("Deployment")
    labels = {name: spec["template"]["metadata"]["labels"] for name, spec in deployments.items()}

    def selected(selector, by):
        found = [name for name, own in labels.items() if selector.items() <= own.items()]
        must(found, f"{by} selects nothing: {selector}")
        return found

    for name, spec in deployments.items():
        pod = spec["template"]["spec"]
        (container,) = pod["containers"]
        must(selected(spec["selector"]["matchLabels"], name) == [name], f"{name} selects others too")
        sleep = int(container["lifecycle"]["preStop"]["exec"]["command"][1]) if "lifecycle" in container else 0
        must(pod["terminationGracePeriodSeconds"] > sleep + DRAIN_LIMIT, f"{name} is killed before it has drained")
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        # What waits for a proxy is alive, and not ready.
        alive = "/healthz" if "httpd" in container["args"] else "/metrics"
        for probe, path in ("readinessProbe", "/healthz"), ("livenessProbe", alive):
            must(container[probe]["httpGet"]["path"] == path and container[probe]["httpGet"]["port"] in ports, f"{name}: {probe}")
        addresses = re.findall(r"tcp://\*:(\d+)", " ".join(container["args"]))
        must({int(port) for port in addresses} == set(ports.values()), f"{name}: {ports}, but {addresses}")
        (volume,) = pod["volumes"]
        named = {Path(found).name for found in re.findall(r"=(/keys/\S+)", " ".join(container["args"]))}
        must(named == secrets[volume["secret"]["secretName"]], f"{name} takes {named} of its secret")
    for name, spec in of_kind("Service").items():
        must(selected(spec["selector"], f"service {name}") == [name], name)
        must(name == "front" or spec["clusterIP"] == "None", f"{name} is not headless")
    budgets = of_kind("PodDisruptionBudget")
    must(set(budgets) == set(deployments), f"budgets are for {set(budgets)}")
    for name, spec in budgets.items():
        must(selected(spec["selector"]["matchLabels"], f"budget {name}") == [name], name)
    for name, spec in of_kind("HorizontalPodAutoscaler").items():
        target = spec["scaleTargetRef"]["name"]
        must("replicas" not in deployments[target], f"{target} says how many it is, and {name} does too")
        rules = {rule["name"]["as"] for rule in next(documents("prometheus-adapter"))["rules"]["external"]}
        must({metric["external"]["metric"]["name"] for metric in spec["metrics"]} == rules, f"the rules make {rules}")
    for name, spec in of_kind("NetworkPolicy").items():
        for rule in spec.get("ingress", []):
            for peer in rule.get("from", []):
                for expression in peer.get("podSelector", {}).get("matchExpressions", []):
                    must(set(expression["values"]) <= set(deployments), f"{name} lets in {expression['values']}")


def kustomize():
    if not shutil.which("kubectl"):
        raise Skipped("there is no kubectl")
    folder = SCRATCH / "kustomize"
    shutil.copytree(KUBERNETES, folder, ignore=shutil.ignore_patterns("keys"))
    shutil.copytree(keys(), folder / "keys")
    whole = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60)
    must(whole.returncode == 0, whole.stderr)
    wanted = sum(1 for _ in documents()) + 3
    got = list(yaml.safe_load_all(whole.stdout))
    must(len(got) == wanted, f"{len(got)} objects, not {wanted}")
    (folder / "whole.yaml").write_text(whole.stdout)
    run(TOOLS / "venv/bin/kubernetes-validate", "--strict", folder / "whole.yaml")


KEDA = """
const { ScaledObject } = await import("@kubernetes-models/keda/keda.sh/v1alpha1");
const { kind, apiVersion, ...object } = JSON.parse(process.argv[1]);
if (kind !== "ScaledObject" || apiVersion !== "keda.sh/v1alpha1") throw new Error(kind);
new ScaledObject(object).validate();
"""


def keda():
    if not (TOOLS / "node_modules/@kubernetes-models/keda").exists():
        raise Skipped("there is no npm")
    (document,) = documents("keda")
    run("node", "--input-type=module", "-e", KEDA, json.dumps(document), cwd=TOOLS)
    must(document["spec"]["scaleTargetRef"]["name"] in of_kind("Deployment"), "it scales nothing")


# What proxies and workers have reported: names, by the kind.
REPORTED = {}


def queries():
    """Of both scaling rules: that they parse, and that those whom they ask report what they ask for."""
    (adapter,), (scaled,) = documents("prometheus-adapter"), documents("keda")
    texts = [rule["metricsQuery"].replace("<<.LabelMatchers>>", 'stage="is_prime"') for rule in adapter["rules"]["external"]]
    texts += [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]
    must(len(texts) == 4, f"{len(texts)} queries")
    for text in texts:
        promql_parser.parse(text)
        for metric, kind in re.findall(r'(prime_\w+)\{[^}]*app_kubernetes_io_component="(\w+)"', text):
            must(metric in REPORTED[f"{kind}d"], f"{metric} is not what a {kind} reports")
    components = {spec["template"]["metadata"]["labels"]["app.kubernetes.io/component"] for spec in of_kind("Deployment").values()}
    must(components == {"front", "proxy", "worker"}, f"{components}")


def manifests_run():
    commands = []
    for spec in of_kind("Deployment").values():
        (container,) = spec["template"]["spec"]["containers"]
        commands.append(container["args"])
    hosts = [name for name in of_kind("Service") if name.startswith("proxy-")]
    runs("kubernetes", list(on_this_machine(commands, hosts, keys())))


def ended(signum, _):
    for process in RUNNING:
        if process.poll() is None:
            process.kill()
    sys.exit(128 + signum)


signal.signal(signal.SIGTERM, ended)
signal.signal(signal.SIGINT, ended)
check("units: systemd-analyze verify", lambda: verifies(False))
check("units with CURVE: systemd-analyze verify", lambda: verifies(True))
for unit in ("prime-front@.service", "prime-proxy@.service", "prime-worker@.service"):
    check(f"{unit}: exposure of 2.0 at most", hardened(unit))
    check(f"{unit}: it has the time to drain", lambda: must(int(section(unit, "TimeoutStopSec")[0].rstrip("s")) > DRAIN_LIMIT, "less"))
check("units: they run and drain, over ipc", lambda: units_run(False))
check("units with CURVE: they run and drain, over tcp", lambda: units_run(True))
check("units: under systemd, restarted, killed and stopped while clients ask", lambda: under_systemd(False))
check("units with CURVE: the same", lambda: under_systemd(True))
check("compose.yaml: schema", lambda: run(TOOLS / "venv/bin/check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml"))
check("compose.yaml: drain, health, networks", compose_is_as_it_says)
check("compose.yaml: its commands run and drain", compose_runs)
check("Dockerfile: parsed, what it copies is there", dockerfile_is_as_it_says)
for name in MANIFESTS:
    check(f"{name}.yaml: schema", lambda: run(TOOLS / "venv/bin/kubernetes-validate", "--strict", KUBERNETES / f"{name}.yaml"))
check("manifests: selectors, ports, keys, drain", manifests_fit)
check("manifests: kubectl kustomize, and its schemas", kustomize)
check("keda.yaml: schema", keda)
check("manifests: their commands run and drain, with CURVE", manifests_run)
check("scaling rules: queries", queries)
skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
print(f"{counts['passed']} passed, {counts['failed']} failed{skipped}")
sys.exit(counts["failed"] > 0)
