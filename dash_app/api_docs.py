"""The page at /api/docs, made from the OpenAPI description on this machine: the usual viewers load from elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

from dash_app.components.shell import THEME_SCRIPT

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>API · Feature Quality</title>
<link rel="icon" href="/assets/favicon.svg"><link rel="stylesheet" href="/assets/app.css">
{theme}
</head><body><main><div class="page" style="max-width:860px"><p><a href="/">Feature Quality</a></p>
<h1>API</h1><p class="lead">Read-only, on the published snapshot.
The description for tools is <a href="/api/openapi.json">/api/openapi.json</a>.</p>
<div class="stack" style="margin-top:16px">{routes}</div></div></main></body></html>"""

_ROUTE = """<section class="card"><h2><code>{method} {path}</code></h2><p>{summary}</p>{parameters}
<pre class="command" tabindex="0">curl '{base}{example}'</pre></section>"""


def page(description: dict[str, Any], base: str) -> str:
    """The HTML page of an OpenAPI description; `base` is where the server is reached."""
    routes = [
        _route(method, path, operation, base.rstrip("/"))
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    ]
    return _PAGE.format(routes="".join(routes), theme=THEME_SCRIPT)


def _route(method: str, path: str, operation: dict[str, Any], base: str) -> str:
    rows = "".join(_parameter(parameter) for parameter in operation.get("parameters", ()))
    parameters = f'<ul class="note" style="margin:8px 0">{rows}</ul>' if rows else ""
    return _ROUTE.format(
        method=method.upper(),
        path=escape(path),
        summary=escape(operation.get("summary", "")),
        parameters=parameters,
        base=escape(base),
        example=escape(path.replace("{name}", "features")),
    )


def _parameter(parameter: dict[str, Any]) -> str:
    schema = parameter.get("schema", {})
    allowed = ", ".join(map(str, schema.get("enum", ()))) or schema.get("type", "text")
    words = " · ".join(
        part
        for part in (allowed, "required" if parameter.get("required") else "", parameter.get("description", ""))
        if part
    )
    return f"<li><code>{escape(parameter['name'])}</code> {escape(words)}</li>"
