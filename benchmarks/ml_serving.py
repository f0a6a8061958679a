"""What a prediction costs, beside the server that people write: `python -m benchmarks.ml_serving ROOT [RPS] [SECONDS]`.

ROOT is a data root in which housing is in use. CPU is of the server's process, from /proc; latency counts from when a
request was due, and says as much of the machine as of the server. MLflow's scoring server does not install beside this
project's libraries (1.27 of 2022 is what resolves, and fails on import), nor does BentoML (0.5.3 of 2019).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import joblib
from sklearn.ensemble import HistGradientBoostingRegressor

from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.models.learning.release_stack import in_use
from quality_assets.serve.load_test import load_test
from quality_assets.settings import Settings
from quality_assets.simulate.tables import made_up_rows
from quality_assets.stores.released import manifest
from quality_assets.stores.releases import release_log

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_BATCH, _BATCHES = 1_000, 100
_PATIENCE_S = 120.0


def _cpu_s(pid: int) -> float:
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) * _TICK_S


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _measured(
    name: str, command: Sequence[str], port: int, prefix: str, body: bytes, rps: float, seconds: float
) -> str:
    """A line of the table."""
    base, row = f"http://127.0.0.1:{port}{prefix}", json.loads(body)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + _PATIENCE_S
            while not _is_up(port):
                if time.monotonic() > deadline or process.poll() is not None:
                    return f"| {name} | did not start |"
                time.sleep(0.05)
            start = _cpu_s(process.pid)
            load_test(f"{base}/predict", body, 50, 2)
            before = _cpu_s(process.pid)
            told = load_test(f"{base}/predict", body, rps, seconds)
            single = (_cpu_s(process.pid) - before) * 1e3 / told.requests
            before = _cpu_s(process.pid)
            for _ in range(_BATCHES):
                httpx.post(f"{base}/predict/batch", json=[row] * _BATCH, timeout=60).raise_for_status()
            batch = (_cpu_s(process.pid) - before) * 1e3 / _BATCHES
            rss = _rss_mb(process.pid)
        finally:
            process.terminate()
    return (
        f"| {name} | {start:.1f} | {rss:.0f} | {single:.2f} | {batch:.1f} | {told.p50_ms:.1f} | {told.p95_ms:.1f}"
        f" | {told.errors} |"
    )


def _is_up(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=2).is_success
    except httpx.HTTPError:
        return False


def main(root: Path, rps: float, seconds: float, port: int) -> None:
    """Print the table, and the load at which it was made."""
    settings = Settings(data_dir=root, _env_file=None)
    release = in_use(release_log(settings).of("housing"))
    if release is None:
        sys.exit(f"housing is not in use in {root}: quality train housing --data FILE --promote")
    told = manifest(settings.models_dir, "housing", release.version)
    body = json.dumps({name: told["reference"]["row"][name] for name in told["inputs"]}).encode()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {rps:g} requests a second for {seconds:g} s")
    print("| server | start, CPU s | RSS MB | /predict, CPU ms | batch of 1,000, CPU ms | p50 ms | p95 ms | errors |")
    print("|---|---|---|---|---|---|---|---|")
    own = [sys.executable, "-m", "quality_assets.cli", "serve-model", "housing", "--port", str(port)]
    os.environ["QUALITY_DATA_DIR"] = str(root)
    print(_measured("this one", own, port, "/models/housing", body, rps, seconds))
    with tempfile.TemporaryDirectory() as folder:
        names, target = told["inputs"], TABULAR["housing"].contract.target.name
        rows = made_up_rows("housing")
        model = HistGradientBoostingRegressor(max_iter=300, random_state=0).fit(rows[names], rows[target])
        joblib.dump(model, Path(folder) / "model.joblib")
        script = Path(__file__).parent / "peers" / "bare_model_server.py"
        bare = [sys.executable, str(script), folder, str(port + 1)]
        print(_measured("FastAPI and joblib, by hand", bare, port + 1, "", body, rps, seconds))


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("root", type=Path, help="a data root in which housing is in use")
    asked.add_argument("rps", type=float, nargs="?", default=410.0, help="requests a second")
    asked.add_argument("seconds", type=float, nargs="?", default=10.0)
    asked.add_argument("--port", type=int, default=8070)
    main(**vars(asked.parse_args()))
