"""Commands that serve models, and try them: serve-model, loadtest."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from quality_assets.cli.app import app, root_settings
from quality_assets.cli.learning import tabular
from quality_assets.cli.output import fail, out

_TERMINATED = 143


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
    from quality_assets.serve.ports import address, port_is_free
    from quality_assets.serve.prediction.running import run

    listening = port if port is not None else settings.predict_port
    if not port_is_free(settings.host, listening):
        fail(
            f"the server of models cannot start: port {listening} of {settings.host} is taken. Stop what listens"
            f" there, or choose another: quality serve-model --port {listening + 1}"
        )
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
    sys.exit(_TERMINATED)


def _end_as_asked(_: int, __: FrameType | None) -> NoReturn:
    sys.exit(0)
