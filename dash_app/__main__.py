"""`python -m dash_app`: serve the dashboard on the address of the settings."""

from __future__ import annotations

import uvicorn

from quality_assets.serve.ports import LIMITED_HEADS
from quality_assets.settings import get_settings


def main() -> None:
    """Serve until interrupted."""
    settings = get_settings()
    uvicorn.run(
        "dash_app.app:server",
        host=settings.host,
        port=settings.dashboard_port,
        http=LIMITED_HEADS,
        access_log=False,
        log_level="warning",
        # The server's own warnings are JSON too.
        log_config=None,
    )


if __name__ == "__main__":
    main()
