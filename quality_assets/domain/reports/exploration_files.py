"""The report on a table as files: JSON, Markdown and SVG, the same bytes for the same report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quality_assets.domain.escaping import html_text, markdown_text

_WIDTH, _HEIGHT, _MARGIN = 480, 180, 30


def report_files(report: Mapping[str, Any]) -> dict[str, str]:
    """Name and content of every file but the manifest."""
    files = {"report.json": json.dumps(report, indent=1, sort_keys=True, ensure_ascii=False) + "\n"}
    plots = dict(_plots(report))
    files |= plots
    files["report.md"] = "\n".join(_markdown(report, list(plots))) + "\n"
    return files


def _plots(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, histogram in report["histograms"].items():
        yield f"{name}.svg", _bars(name, histogram["counts"], _labels(histogram))
    months = report["target_by_time"]
    if months:
        labels = [each["month"] for each in months]
        yield "target_by_month.svg", _bars("Total by month", [each["total"] for each in months], labels)


def _labels(histogram: Mapping[str, Any]) -> list[str]:
    if "names" in histogram:
        return list(histogram["names"])
    return [f"{edge:.4g}" for edge in histogram["edges"][:-1]]


def _bars(title: str, counts: Sequence[float], labels: Sequence[str]) -> str:
    """A bar chart with its title, its highest count, and its first and last label."""
    highest = max((*counts, 1e-12))
    step = (_WIDTH - 2 * _MARGIN) / max(1, len(counts))
    room = _HEIGHT - 2 * _MARGIN
    bars = "".join(
        f'<rect x="{_MARGIN + at * step:.2f}" y="{_HEIGHT - _MARGIN - count / highest * room:.2f}"'
        f' width="{max(step - 1, 0.5):.2f}" height="{count / highest * room:.2f}"><title>{html_text(label)}:'
        f" {count:g}</title></rect>"
        for at, (count, label) in enumerate(zip(counts, labels, strict=True))
    )
    ends = (labels[0], labels[-1]) if labels else ("", "")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" role="img"'
        f' font-family="sans-serif" font-size="11"><title>{html_text(title)}</title>'
        f'<text x="{_MARGIN}" y="16">{html_text(title)} (highest bar: {highest:g})</text>'
        f'<g fill="#4f5bd5">{bars}</g>'
        f'<text x="{_MARGIN}" y="{_HEIGHT - 10}">{html_text(ends[0])}</text>'
        f'<text x="{_WIDTH - _MARGIN}" y="{_HEIGHT - 10}" text-anchor="end">{html_text(ends[1])}</text></svg>\n'
    )


def _markdown(report: Mapping[str, Any], plots: Sequence[str]) -> Iterator[str]:
    shape = report["shape"]
    yield f"# {markdown_text(report['name'])}: what the table looks like"
    yield ""
    yield f"{shape['rows']:,} rows, {shape['columns']} columns, {shape['quarantined']:,} rows quarantined."
    yield f"Dataset fingerprint `{report['dataset_fingerprint']}`, report version {report['report_version']}."
    yield from _section("Quarantine", [f"- {markdown_text(words)}" for words in report["quarantine"]])
    yield from _section("Columns", _column_table(report["columns"]))
    spikes = [
        f"- {column['name']}: {spike['rows']:,} rows ({spike['share']:.1%}) stand at the {spike['at']},"
        f" {spike['value']:g}"
        for column in report["columns"]
        for spike in column.get("spikes", ())
    ]
    yield from _section("Spikes at the extremes", spikes)
    leaks = [f"- {each['verdict']}: {markdown_text(each['words'])}" for each in report["leaks"]]
    yield from _section("What knows the target", leaks)
    months = [
        f"| {each['month']} | {each['rows']:,} | {each['mean']:,.2f} | {each['quarantined']:,} |"
        for each in report["target_by_time"]
    ]
    yield from _section("Target by month", _table("month | rows | mean | quarantined", months))
    splits = [f"| {e['split']} | {e['fold']} | {e['train']:,} | {e['test']:,} |" for e in report["splits"]]
    yield from _section("Splits", _table("split | fold | train | test", splits))
    drift = [f"| {e['input']} | {e['year']} | {e['distance']:.3f} |" for e in report["drift_by_year"]]
    yield from _section("Drift by year, against the first", _table("input | year | distance", drift))
    yield from _section("Plots", [f"![{name}]({name})" for name in plots])


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    yield from ("", f"## {title}", "")
    yield from lines or ["None."]


def _table(header: str, rows: Sequence[str]) -> list[str]:
    if not rows:
        return []
    return [f"| {header} |", f"|{' --- |' * (header.count('|') + 1)}", *rows]


def _column_table(columns: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        f"| {each['name']} | {each['type']} | {each['role']} | {each['known_at']} | {each['missing_share']:.1%} |"
        f" {each['distinct']:,} | {_number(each.get('minimum'))} | {_number(each.get('q50'))} |"
        f" {_number(each.get('maximum'))} |"
        for each in columns
    ]
    return _table("column | type | role | known | missing | distinct | minimum | median | maximum", rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.6g}"
