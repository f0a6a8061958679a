"""`quality`, and `python -m quality_assets.cli`: what begins before any command is loaded."""

from __future__ import annotations

import sys
from typing import NoReturn

_INTERRUPTED = 130  # As shells say it: 128 and the number of the signal.


def entry() -> NoReturn:
    """Load the commands and run the one asked for; Ctrl-C while they are loaded ends without a traceback."""
    try:
        from quality_assets.cli.main import run
    except KeyboardInterrupt:
        print("Aborted.", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    run()


if __name__ == "__main__":
    entry()
