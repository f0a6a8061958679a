"""Whether alerts are lost, doubled or told twice: many processes at once, and kills at any moment.

python -m benchmarks.alerts --work ~/alerts-bench                       # SQLite
python -m benchmarks.alerts --work ~/alerts-bench --url postgresql://…  # an empty database
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from sqlalchemy import func, select

from quality_assets.clock import utc_now
from quality_assets.settings import Settings
from quality_assets.stores.operations.alert_tables import ALERT, NOTIFICATION
from quality_assets.stores.operations.store import Operations, fetch, operations_of
from quality_assets.tables.channels import add_channel
from quality_assets.tables.telling import tell

PROCESSES, RAISES, FAULTS, CHANGES = 4, 250, 20, 25

_RAISE = f"""
import json, random, sys, time
from quality_assets.domain.quality.alerting import AlertError, Fault
from quality_assets.settings import get_settings
from quality_assets.stores.operations.store import operations_of
from quality_assets.tables.alerts import AlertBook
book = AlertBook(operations_of(get_settings()))
rng, took = random.Random(int(sys.argv[1])), []
for n in range({RAISES}):
    fault = Fault("check", f"table_{{rng.randrange({FAULTS})}}", "t", "m", rng.choice(["low", "high", "critical"]))
    started = time.perf_counter()
    found = book.raise_fault(fault)
    took.append(time.perf_counter() - started)
    if n % ({RAISES} // {CHANGES}) == 0:
        try:
            rng.choice([lambda i: book.acknowledge(i, "a"), lambda i: book.resolve(i, "a")])(found.alert_id)
        except AlertError:
            pass
print(json.dumps(took))
"""

_TELL = """
import sys
from datetime import timedelta
from quality_assets.clock import utc_now
from quality_assets.domain.quality.alerting import Fault
from quality_assets.settings import get_settings
from quality_assets.stores.operations.store import operations_of
from quality_assets.tables.alerts import AlertBook
from quality_assets.tables.telling import tell
settings = get_settings()
book = AlertBook(operations_of(settings))
for n in range(100_000):
    book.raise_fault(Fault("run", f"{sys.argv[1]}-{n}", "t", "m", "high"))
    tell(settings, utc_now() + timedelta(minutes=1))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--url")
    parser.add_argument("--kills", type=int, default=30)
    given = parser.parse_args()
    os.environ["QUALITY_DATA_DIR"] = str(given.work.resolve() / f"data-{int(time.time())}")
    if given.url:
        os.environ["QUALITY_OPERATIONS_URL"] = given.url
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    settings.data_dir.mkdir(parents=True)
    store = operations_of(settings)
    print(f"{store.engine.dialect.name}, load {os.getloadavg()[0]:.0f}")
    raise_at_once(store)
    kill(settings, store, given.kills)


def raise_at_once(store: Operations) -> None:
    """Four processes, 1,000 raises of 20 faults, changes between: each counted once, one live alert a fault."""
    started = time.perf_counter()
    workers = [
        subprocess.Popen([sys.executable, "-c", _RAISE, str(n)], stdout=subprocess.PIPE) for n in range(PROCESSES)
    ]
    took = sorted(s for worker in workers for s in json.loads(worker.communicate()[0]))
    with store.read() as connection:
        total = connection.execute(select(func.sum(ALERT.c.occurrences))).scalar()
        live = [row["fingerprint"] for row in fetch(connection, select(ALERT).where(ALERT.c.status != "resolved"))]
    print(
        f"{len(took)} raised by {PROCESSES} processes in {time.perf_counter() - started:.1f} s:"
        f" {total} counted, {PROCESSES * RAISES - int(total or 0)} lost, {len(live) - len(set(live))} double live;"
        f" median {statistics.median(took) * 1000:.0f} ms, p95 {took[int(len(took) * 0.95)] * 1000:.0f} ms"
    )


def kill(settings: Settings, store: Operations, kills: int) -> None:
    """Kill a process that raises and tells at random moments; count what was told twice and what never."""
    told: Counter[str] = Counter()
    server = _listening(told)
    rng = random.Random(7)
    with store.write() as connection:
        hook = f"http://127.0.0.1:{server.server_address[1]}/"
        routes = [{"kinds": ["run"]}]
        options = {"allow_private_targets": True}
        channel = {"kind": "webhook", "name": "hook", "address": hook, "options": options, "routes": routes}
        add_channel(connection, channel, "bench")
    for n in range(kills):
        worker = subprocess.Popen([sys.executable, "-c", _TELL, str(n)], stderr=subprocess.DEVNULL)
        before = sum(told.values())
        while sum(told.values()) == before and worker.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 1.5))
        worker.kill()
        worker.wait()
    waiting = 1
    while waiting:
        tell(settings, utc_now() + timedelta(minutes=2))
        with store.read() as connection:
            of_state = NOTIFICATION.c.status.in_(("pending", "sending")), NOTIFICATION.c.transition == "opened:0"
            waiting = int(connection.execute(select(func.count()).where(*of_state)).scalar() or 0)
    with store.read() as connection:
        raised = set(connection.execute(select(ALERT.c.subject).where(ALERT.c.kind == "run")).scalars())
    twice = sum(count - 1 for count in told.values())
    print(f"{kills} kills: {len(raised)} alerts, {twice} told twice, {len(raised - told.keys())} untold")
    server.shutdown()


def _listening(told: Counter[str]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["content-length"])))
            told.update(alert["subject"] for alert in body["alerts"] if alert["transition"] == "opened")
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


if __name__ == "__main__":
    main()
