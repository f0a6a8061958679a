"""The `quality` command: what people and scripts call. Thin: each command parses, calls, prints and sets the exit code.

Exit codes: 0 when it did what it says; 1 when it could not, or found what must not be; 2 for wrong usage.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn

from rich.markup import escape

from quality_assets.cli import (  # noqa: F401  importing registers their commands
    alerts,
    data,
    datasets,
    deliveries,
    experiments,
    impact,
    learning,
    live,
    model_drift,
    models,
    mutating,
    predictions,
    quality_report,
    rereading,
    selftest,
    servers,
    serving,
    shadows,
    silences,
    spark,
    state,
    training_set,
    user_models,
    withdrawing,
)
from quality_assets.cli.app import app
from quality_assets.cli.output import err, what_next


def run() -> NoReturn:
    """Run the command; what nobody foresaw becomes a sentence, and its traceback goes to data/logs/quality.log."""
    code: object = 0
    try:
        app()
    except SystemExit as end:
        code = end.code
    except Exception as error:
        code = 1
        err.print(f"[red]quality:[/red] {escape(str(error).partition(chr(10))[0] or type(error).__name__)}")
        err.print(escape(what_next(error)))
    # What Dagster and Great Expectations hold on to keeps DuckDB's objects alive until the interpreter tears itself
    # down, which DuckDB then reports in a screenful of leaks. Everything is closed by now: leave without the tearing.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
