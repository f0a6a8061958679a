"""What each online feature is, and what it comes from, in words: for pages and for docs/features.md."""

from __future__ import annotations

from dataclasses import dataclass

from quality_assets.domain.live.expressions import names_of
from quality_assets.domain.live.feature_set import FeatureSet, OnlineFeature


@dataclass(frozen=True)
class Lineage:
    """What a feature comes from: aggregates in their windows, and the columns of events that those are made of."""

    windowed: tuple[str, ...]
    aggregates: tuple[str, ...]
    columns: tuple[str, ...]


def lineage(features: FeatureSet, feature: OnlineFeature) -> Lineage:
    """Feature → aggregate → column; empty where a feature is of the user or the instant alone."""
    windowed = tuple(sorted(names_of(feature.expression)))
    aggregates = tuple(dict.fromkeys(features.split(name)[0] for name in windowed))
    columns: dict[str, None] = {}
    for name in aggregates:
        aggregate = features.aggregates[name]
        for text in (aggregate.measured, aggregate.where or ""):
            columns |= dict.fromkeys(sorted(names_of(text)) if text else ())
    return Lineage(windowed, aggregates, tuple(columns))


def features_page(features: FeatureSet) -> str:
    """docs/features.md: every feature with version, meaning and lineage; every aggregate."""
    windows = ", ".join(f"{n} before it ({name})" for name, n in features.windows.items())
    lines = [
        "# Online features",
        "",
        "Made from `data/features.yaml` by `python docs/made.py`; a test compares. Windows are tiles of"
        f" {features.tile_minutes} minutes of the event's own time: the current one and"
        f" {windows}. What is over nothing is null.",
        "",
        "| Feature | Version | Type | Kind | Meaning | Made from |",
        "|---|---|---|---|---|---|",
    ]
    for feature in sorted(features.features, key=lambda each: each.version):
        found = lineage(features, feature)
        made = ", ".join(f"`{name}`" for name in found.windowed) or "the user or the instant"
        unit = f", {feature.unit}" if feature.unit else ""
        lines.append(
            f"| `{feature.name}` | {feature.version} | {feature.type}{unit} | {feature.kind} |"
            f" {feature.description} | {made} |"
        )
    lines += ["", "## Aggregates", "", "| Aggregate | Of each user and tile | Columns of events |", "|---|---|---|"]
    for name, aggregate in features.aggregates.items():
        used = sorted(names_of(aggregate.measured) | (names_of(aggregate.where) if aggregate.where else set()))
        lines.append(
            f"| `{name}` | {aggregate.description} | {', '.join(f'`{each}`' for each in used) or 'every event'} |"
        )
    lines += ["", "## Segments", "", "| Segment | Condition | Meaning |", "|---|---|---|"]
    lines += [
        f"| `{name}` | `{segment.condition}` (version {segment.version}) | {segment.description} |"
        for name, segment in features.segments.items()
    ]
    return "\n".join(lines) + "\n"
