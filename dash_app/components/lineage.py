"""The picture of the asset graph: where each node stands, and the curves between them. Health is given, not judged."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dash import html

from dash_app import formats
from dash_app.components import ui
from quality_assets.domain.quality.health import CheckState

Component = Any

ROW_HEIGHT, NODE_HEIGHT, TOP, LEFT, GAP = 64, 52, 24, 14, 20
MIN_COLUMN, MAX_COLUMN, WIDTH = 187, 260, 1120

_STAGE_WORDS = {"ml": "Model"}


@dataclass(frozen=True)
class _Grid:
    """Where columns and rows stand, in pixels: the width of a column, and of a node in it."""

    column: int
    node: int

    def corner(self, place: tuple[int, int]) -> tuple[int, int]:
        return LEFT + place[0] * self.column, TOP + place[1] * ROW_HEIGHT

    def edge(self, parent: tuple[int, int], child: tuple[int, int], kind: str) -> list[Any]:
        """Kind and the four points of a cubic curve; within a column it bends out to the left of the nodes."""
        (x1, y1), (x2, y2) = self.corner(parent), self.corner(child)
        y1, y2 = y1 + NODE_HEIGHT // 2, y2 + NODE_HEIGHT // 2
        if parent[0] == child[0]:
            bend = x1 - 8 - 4 * min(abs(child[1] - parent[1]), 3)
            return [kind, x1, y1, bend, y1, bend, y2, x2, y2]
        start, end = (x1 + self.node, x2) if parent[0] < child[0] else (x1, x2 + self.node)
        middle = (start + end) // 2
        return [kind, start, y1, middle, y1, middle, y2, end, y2]


def depths(upstream: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """How many steps each asset is from the start: one more than the deepest asset that it is made from."""
    found: dict[str, int] = {}

    def depth(asset: str, path: frozenset[str]) -> int:
        if asset not in found:
            parents = [p for p in upstream.get(asset, ()) if p in upstream and p not in path]
            found[asset] = max((depth(p, path | {asset}) + 1 for p in parents), default=0)
        return found[asset]

    for asset in upstream:
        depth(asset, frozenset({asset}))
    return found


def stages(upstream: Mapping[str, Sequence[str]]) -> list[str]:
    """The stages (schemas) of the flow, in the order in which data first reaches them."""
    depth_of = depths(upstream)
    first: dict[str, list[int]] = {}
    for asset, depth in depth_of.items():
        first.setdefault(_stage(asset), []).append(depth)
    return sorted(first, key=lambda stage: (sum(first[stage]) / len(first[stage]), stage))


def _stage(asset: str) -> str:
    return asset.split(".", 1)[0]


def positions(
    upstream: Mapping[str, Sequence[str]], never_made: Collection[str] = frozenset()
) -> dict[str, tuple[int, int]]:
    """Column and row of each asset: a column a stage, within it in the order of the flow, what was never made last."""
    depth_of = depths(upstream)
    placed: dict[str, tuple[int, int]] = {}
    for column, stage in enumerate(stages(upstream)):
        here = sorted(
            (asset for asset in upstream if _stage(asset) == stage),
            key=lambda asset: (asset in never_made, depth_of[asset], asset),
        )
        placed |= {asset: (column, row) for row, asset in enumerate(here)}
    return placed


def picture(
    upstream: Mapping[str, Sequence[str]],
    states: Mapping[str, tuple[CheckState, str]],
    chosen: str | None,
    address: Any,
    never_made: Collection[str],
) -> Component:
    """The graph. `states` gives each asset's health and a few words; `address(asset)` is where its node leads."""
    placed = positions(upstream, never_made)
    names = stages(upstream)
    column_width = max(MIN_COLUMN, min(MAX_COLUMN, (WIDTH - LEFT) // max(len(names), 1)))
    grid = _Grid(column_width, column_width - GAP)
    height = TOP + ROW_HEIGHT * (1 + max((row for _, row in placed.values()), default=0))
    width = LEFT + grid.column * (len(names) - 1) + grid.node + 2
    edges = [
        grid.edge(
            placed[parent],
            placed[asset],
            "on" if chosen in (parent, asset) else "bad" if _is_bad(states, parent) else "",
        )
        for asset, parents in upstream.items()
        for parent in parents
        if parent in placed
    ]
    heads = [
        html.Span(
            _STAGE_WORDS.get(name, formats.words(name)),
            className="lineage-stage",
            style={"left": f"{grid.corner((column, 0))[0]}px"},
        )
        for column, name in enumerate(names)
    ]
    nodes = [
        _node(asset, grid, place, states[asset], asset == chosen, address(asset)) for asset, place in placed.items()
    ]
    data = json.dumps({"width": width, "height": height, "edges": edges})
    return html.Div(
        html.Div(
            [html.Div(**{"data-edges": data}), *heads, *nodes],
            className="lineage" + (" focused" if chosen in placed else ""),
            style={"width": f"{width}px", "height": f"{height}px"},
        ),
        className="lineage-scroll",
        tabIndex="0",
        role="region",
        **{"aria-label": "Asset graph"},
    )


def _is_bad(states: Mapping[str, tuple[CheckState, str]], asset: str) -> bool:
    return states[asset][0] == CheckState.FAILING


def _node(
    asset: str, grid: _Grid, place: tuple[int, int], state: tuple[CheckState, str], is_chosen: bool, href: str
) -> Component:
    health, words = state
    left, top = grid.corner(place)
    return html.A(
        [html.Code(asset.split(".", 1)[-1]), html.Span([ui.state_icon(health), words])],
        href=href,
        className=f"node {health.value}" + (" on" if is_chosen else ""),
        style={"left": f"{left}px", "top": f"{top}px", "width": f"{grid.node}px"},
        title=f"{asset}: {formats.words(words)}",
    )
