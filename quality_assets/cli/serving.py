"""Commands that serve models, and try them: serve-model, loadtest."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.markup import escape

from quality_assets.cli.app import app, root_settings
from quality_assets.cli.output import TERMINATED, fail, out
from quality_assets.cli.use_cases import tabular
from quality_assets.settings import Settings

if TYPE_CHECKING:
    from quality_assets.domain.models.learning.tabular import TabularUseCase


@app.command("serve-model")
def serve_model(
    use_case: Annotated[
        str | None, typer.Argument(metavar="[USE_CASE]", help="sales or housing; all where none is named.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port; QUALITY_PREDICT_PORT if not given.")] = None,
) -> None:
    """Answer for models over HTTP: /models/NAME/predict, and plain /predict where one is served; Ctrl-C stops it.

    A release is in use within a second of its promotion, without a restart.
    """
    settings = root_settings()
    names = None if use_case is None else [tabular(use_case).name]
    from quality_assets.serve.guard import UnguardedError
    from quality_assets.serve.ports import address, why_not_listening
    from quality_assets.serve.prediction.running import run

    listening = port if port is not None else settings.predict_port
    if why := why_not_listening(settings.host, listening, f"quality serve-model --port {listening + 1}"):
        fail(f"the server of models cannot start: {why}")
    out.print(f"Models  {address(settings.host, listening)}  (docs at /docs); Ctrl-C stops it.")
    sys.stdout.flush()
    # uvicorn raises the signal that ended it once more when all is drained.
    signal.signal(signal.SIGTERM, _end_as_terminated)
    signal.signal(signal.SIGINT, _end_as_asked)
    try:
        run(settings, names, listening)
    except UnguardedError as error:
        fail(str(error))
    sys.exit(0)


def _end_as_terminated(_: int, __: FrameType | None) -> NoReturn:
    sys.exit(TERMINATED)


def _end_as_asked(_: int, __: FrameType | None) -> NoReturn:
    sys.exit(0)


@app.command()
def loadtest(
    use_case: Annotated[str, typer.Argument(metavar="USE_CASE", help="sales or housing, which must be served.")],
    url: Annotated[str | None, typer.Option(help="Of the server of models; this root's own if not given.")] = None,
    rps: Annotated[float, typer.Option(min=0.1, max=100_000, help="Requests a second.")] = 50.0,
    seconds: Annotated[float, typer.Option(min=0.1, max=86_400, help="For how long.")] = 10.0,
    route: Annotated[str, typer.Option(help="predict or explain.")] = "predict",
    row: Annotated[
        str | None, typer.Option(help="The row as JSON; the reference row of the model if not given.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Where the figures go; reports/load/NAME.csv of the data root if not given.")
    ] = None,
    p95_ms: Annotated[float | None, typer.Option("--p95-ms", min=0, help="Exit code 1 where p95 is longer.")] = None,
) -> None:
    """Ask a served model so many times a second, whether it keeps up or not: p50, p95, p99, rps and errors as CSV.

    Latency counts from when a request was due. Exit code 1 on any error, or where p95 is too long.
    """
    if route not in ("predict", "explain"):
        fail(f"--route is predict or explain, not {route!r}", 2)
    settings = root_settings()
    case = tabular(use_case)
    from quality_assets.serve.load_test import load_test
    from quality_assets.serve.ports import address

    body = row.encode() if row is not None else _reference_row(settings, case)
    base = (url or address(settings.host, settings.predict_port)).rstrip("/")
    token = {"authorization": f"Bearer {settings.token.get_secret_value()}"} if settings.token else {}
    result = load_test(f"{base}/models/{case.name}/{route}", body, rps, seconds, token)
    target = csv if csv is not None else settings.reports_dir / "load" / f"{case.name}.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(result.csv(), encoding="utf-8")
    sys.stdout.write(result.csv())
    out.print(escape(f"As a file: {target}"))
    if result.errors:
        fail(f"{result.errors} of {result.requests} requests failed; is {base} up (`quality serve-model {case.name}`)?")
    if p95_ms is not None and result.p95_ms is not None and result.p95_ms > p95_ms:
        fail(f"p95 is {result.p95_ms:g} ms, more than {p95_ms:g}")


def _reference_row(settings: Settings, use_case: TabularUseCase) -> bytes:
    """What the version in use says of its reference row is known: the row as it is sent."""
    from quality_assets.domain.models.learning.release_stack import in_use
    from quality_assets.stores.released import VersionUnavailableError, manifest
    from quality_assets.stores.releases import release_log

    release = in_use(release_log(settings).of(use_case.name))
    if release is None:
        fail(f"no version of {use_case.name} is released; `quality train {use_case.name} --promote`, or give --row")
    try:
        told = manifest(settings.models_dir, use_case.name, release.version)
    except VersionUnavailableError as error:
        fail(str(error))
    row = {name: value for name, value in told["reference"]["row"].items() if name in told["inputs"]}
    return json.dumps(row).encode()
