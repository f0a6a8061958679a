"""Buttons and forms that write: what they send, and where to. `writes.js` sends it, and says how it went.

A form is drawn as text (`markup.drawn`): Dash's own fields would take part in its callbacks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from dash_app.components import ui
from dash_app.components.markup import Element, drawn

Component = Any


def write_button(
    text: str,
    address: str,
    body: Mapping[str, Any] | None = None,
    *,
    icon_name: str | None = None,
    method: str = "POST",
    version: int | None = None,
    class_name: str = "button",
    key: str | None = None,
    done: str = "",
) -> Component:
    """A button that sends `body` to `address`. `version` is what was read; `key` presses it; `done` is said after."""
    attributes = {
        "data-write": address,
        "data-method": method,
        "data-body": json.dumps(dict(body or {})),
        "data-done": done or text,
    }
    if version is not None:
        attributes["data-version"] = str(version)
    if key is not None:
        attributes["data-key"] = key
    shown = [ui.icon(icon_name), text] if icon_name else [text]
    hint = [html.Kbd(key)] if key else []
    return html.Button([*shown, *hint], type="button", className=class_name, **attributes)


def write_form(
    fields: Sequence[Any],
    address: str,
    submit: str,
    *,
    label: str,
    method: str = "POST",
    version: int | None = None,
    done: str = "",
) -> Component:
    """A form whose named fields are sent as one JSON object: `options.host` is a field within `options`."""
    attributes: dict[str, Any] = {
        "data-write": address,
        "data-method": method,
        "data-done": done or submit,
        "className": "write-form",
        "aria-label": label,
    }
    if version is not None:
        attributes["data-version"] = str(version)
    button = Element("button", {"type": "submit", "className": "button"}, submit)
    said = Element("p", {"className": "form-said", "role": "alert"}, None)
    return drawn(Element("form", attributes, [*fields, button, said]), "forms")


def field(
    name: str,
    label: str,
    *,
    kind: str = "text",
    value: Any = None,
    hint: str = "",
    is_required: bool = False,
    step: str | None = None,
) -> Element:
    """A labelled field. `kind` is an input's type; number and checkbox are sent as such, empty text is left out."""
    attributes = {
        "name": name,
        "type": kind,
        "value": None if kind == "checkbox" else value,
        "checked": bool(value) if kind == "checkbox" else None,
        "required": is_required or None,
        "placeholder": hint or None,
        "step": step or ("any" if kind == "number" else None),
        "autocomplete": "off",
    }
    return Element("label", {"className": f"field {kind}"}, [html.Span(label), Element("input", attributes)])


def choice(name: str, label: str, options: Sequence[tuple[str, str]], value: str = "") -> Element:
    """A labelled choice; an empty value is left out of what is sent."""
    shown = [Element("option", {"value": key, "selected": key == value or None}, word) for key, word in options]
    return Element("label", {"className": "field"}, [html.Span(label), Element("select", {"name": name}, shown)])


def area(name: str, label: str, *, is_required: bool = False, hint: str = "") -> Element:
    """A labelled text of several lines."""
    attributes = {"name": name, "rows": 3, "required": is_required or None, "placeholder": hint or None}
    return Element("label", {"className": "field wide"}, [html.Span(label), Element("textarea", attributes, "")])


def actor_field() -> Component:
    """The reader's name, kept by the browser and written beside what is done."""
    attributes = {
        "type": "text",
        "data-actor": "1",
        "maxlength": 60,
        "placeholder": "Your name",
        "autocomplete": "name",
    }
    label = Element("label", {"className": "field actor"}, [html.Span("You are"), Element("input", attributes)])
    return drawn(label, "forms")
