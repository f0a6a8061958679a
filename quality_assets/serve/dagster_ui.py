"""Dagster's UI and daemon behind the guard: `python -m quality_assets.serve.dagster_ui dev …` is `dagster dev …`.

Dagster answers any host name, any origin and mutations in any form: GraphQL by GET or in a text that a page of another
website may send wipes what the graph made. Nothing of Dagster is changed but who reaches it.
"""

from __future__ import annotations

import sys
from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quality_assets.dagster_ext.home import open_instance
from quality_assets.dagster_ext.servers import run_dev, run_webserver
from quality_assets.serve.guard import MEGABYTE, Guard, rules_of
from quality_assets.serve.heads import limit_all_heads
from quality_assets.settings import Settings, get_settings
from quality_assets.tables.staleness import first_event_date

MAX_BODY_BYTES = 10 * MEGABYTE
# Beside Dagster's own policy: nothing is fetched from elsewhere, whatever metadata say, and no page frames this one.
_POLICY = (
    "default-src 'self'; script-src * 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none';"
    " form-action 'self'"
)


class GraphQLByPost:
    """ASGI middleware: GraphQL is not executed by GET, which any picture on any page can ask for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a query in an address, and add to every answer what browsers are told."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_reading = scope["method"] in ("GET", "HEAD")
        if is_reading and scope["path"].rstrip("/").endswith("/graphql") and _has_query(scope):
            headers = [(b"content-type", b"text/plain"), (b"allow", b"POST")]
            await send({"type": "http.response.start", "status": 405, "headers": headers})
            await send({"type": "http.response.body", "body": b"GraphQL is asked by POST, as application/json."})
            return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message["headers"]))
                headers.append("content-security-policy", _POLICY)
                message = {**message, "headers": headers.raw}
            await send(message)

        await self._app(scope, receive, send_with_policy)


def _has_query(scope: Scope) -> bool:
    return "query" in parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)


def guarded(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Dagster's web app as `settings` let it be reached."""
    rules = rules_of(settings, settings.dagster_host, max_body_bytes=MAX_BODY_BYTES, needs_json=True)
    return Guard(GraphQLByPost(app), rules)


def main() -> None:
    """`dev …` or `webserver …`, the rest as Dagster's commands take it."""
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name == "webserver":
        limit_all_heads()
        run_webserver(lambda app: guarded(app, get_settings()), lambda: first_event_date(get_settings()))
    elif name == "dev":
        # Started by itself, as in a container, it may find no home, and its servers would make the storage at once.
        with open_instance(get_settings()):
            pass
        run_dev([__spec__.name, "webserver"])
    else:
        sys.exit(f"expected dev or webserver, not {name!r}")


if __name__ == "__main__":
    main()
