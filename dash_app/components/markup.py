"""Components as HTML text, for what is large: Dash's renderer walks every component of a page many times over.

A table of a hundred rows as components keeps a browser busy for ten seconds; as a text, which `marks.js` puts in its
place, for a hundredth of one. All text and every attribute is escaped here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from dash import html
from dash.development.base_component import Component

_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NAMES = {"className": "class", "tabIndex": "tabindex", "colSpan": "colspan"}
# What is empty says nothing; but a link that downloads is one by the attribute's being there, and an option without a
# value would send its word.
_SAY_NOTHING = ("download", "value")
_WITHOUT_END = frozenset({"br", "hr", "img", "input"})


@dataclass(frozen=True)
class Element:
    """An element that `dash.html` does not have, such as a field of a form; only to be drawn as text."""

    tag: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    children: Any = None


def drawn(component: Component | Element, class_name: str = "") -> Component:
    """A place in which the browser puts the component as HTML. What it holds takes no part in Dash's callbacks."""
    return html.Div(className=class_name, **{"data-markup": markup(component)})


def markup(node: Any) -> str:
    """A component of `dash.html`, a list of such, or text, as HTML; None is nothing. What is drawn stands in it."""
    if node is None:
        return ""
    if isinstance(node, list | tuple):
        return "".join(map(markup, node))
    if isinstance(node, Element):
        return _element(node.tag, node.attributes, markup(node.children))
    if not isinstance(node, Component):
        return escape(str(node))
    described = node.to_plotly_json()
    if described["namespace"] != "dash_html_components":
        raise ValueError(f"only components of dash.html can be drawn as text, and this is a {described['type']}")
    props = dict(described["props"])
    children, drawn_within = props.pop("children", None), props.pop("data-markup", None)
    return _element(described["type"].lower(), props, markup(children) if drawn_within is None else drawn_within)


def _element(tag: str, props: Mapping[str, Any], content: str) -> str:
    attributes = "".join(_attribute(name, value) for name, value in props.items())
    return f"<{tag}{attributes}>" + ("" if tag in _WITHOUT_END else f"{content}</{tag}>")


def _attribute(name: str, value: Any) -> str:
    if value == "" and name in _SAY_NOTHING:
        return f' {name}=""'
    if value is None or value is False or value == "":
        return ""
    if value is True:
        return f" {name.lower()}"
    if name == "style":
        value = _style(value)
    return f' {_NAMES.get(name, name)}="{escape(str(value))}"'


def _style(properties: Mapping[str, Any]) -> str:
    return ";".join(f"{_HUMP.sub('-', name).lower()}:{value}" for name, value in properties.items())
