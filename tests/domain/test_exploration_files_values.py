"""The files of a report on a table, byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quality_assets.domain.reports.exploration_files import _bars, report_files


def report(**more: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = dict.fromkeys(
        ("quarantine", "columns", "leaks", "target_by_time", "splits", "drift_by_year"), ()
    )
    return {
        "name": "a_b*", "shape": {"rows": 1234, "columns": 3, "quarantined": 5678}, "dataset_fingerprint": "f00",
        "report_version": 2, "histograms": {},
    } | nothing | more  # fmt: skip


def lines(**more: Any) -> list[str]:
    return report_files(report(**more))["report.md"].split("\n")


def section(title: str, **more: Any) -> list[str]:
    """The lines of one section of the Markdown."""
    every = lines(**more)
    start = every.index(f"## {title}") + 2
    rest = [at for at, line in enumerate(every) if at > start and line.startswith("## ")]
    return every[start : rest[0] - 1 if rest else -1]


TITLES = (
    "Quarantine", "Columns", "Spikes at the extremes", "What knows the target", "Target by month", "Splits",
    "Drift by year, against the first", "Plots",
)  # fmt: skip


def test_an_empty_report_says_none_of_each() -> None:
    files = report_files(report())
    assert list(files) == ["report.json", "report.md"]
    assert files["report.json"] == json.dumps(report(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    wanted = [
        "# a_b\\*: what the table looks like", "", "1,234 rows, 3 columns, 5,678 rows quarantined.",
        "Dataset fingerprint `f00`, report version 2.",
    ]  # fmt: skip
    for title in TITLES:
        wanted += ["", f"## {title}", "", "None."]
    assert files["report.md"] == "\n".join(wanted) + "\n"


def test_letters_stay_readable_and_keys_are_sorted() -> None:
    assert report_files(report(name="für"))["report.json"].startswith('{\n "columns": [],\n "dataset_fingerprint"')
    assert '"name": "für"' in report_files(report(name="für"))["report.json"]


def test_columns_have_their_figures_and_spikes_their_lines() -> None:
    spikes = [{"rows": 1500, "share": 0.1234, "at": "maximum", "value": 99.5}]
    columns = [
        {
            "name": "km", "type": "number", "role": "input", "known_at": "pickup", "missing_share": 0.0056,
            "distinct": 12345, "minimum": 0.0, "q50": 1234567.0, "maximum": 0.1234567, "spikes": spikes,
        },
        {
            "name": "city", "type": "text", "role": "input", "known_at": "order", "missing_share": 0, "distinct": 7,
            "minimum": None,
        },
    ]  # fmt: skip
    assert section("Columns", columns=columns) == [
        "| column | type | role | known | missing | distinct | minimum | median | maximum |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| km | number | input | pickup | 0.6% | 12,345 | 0 | 1.23457e+06 | 0.123457 |",
        "| city | text | input | order | 0.0% | 7 |  |  |  |",
    ]
    assert section("Spikes at the extremes", columns=columns) == ["- km: 1,500 rows (12.3%) stand at the maximum, 99.5"]


def test_findings_have_a_line_each() -> None:
    assert section("Quarantine", quarantine=["3 of *them*", "b"]) == ["- 3 of \\*them\\*", "- b"]
    leaks = [{"verdict": "leak", "words": "it | knows"}, {"verdict": "likely", "words": "b"}]
    assert section("What knows the target", leaks=leaks) == ["- leak: it \\| knows", "- likely: b"]
    months = [{"month": "2026-01", "rows": 1200, "mean": 1234.567, "quarantined": 1001, "total": 5.0}]
    assert section("Target by month", target_by_time=months) == [
        "| month | rows | mean | quarantined |", "| --- | --- | --- | --- |", "| 2026-01 | 1,200 | 1,234.57 | 1,001 |",
    ]  # fmt: skip
    splits = [{"split": "time", "fold": 1, "train": 1000, "test": 2000}]
    assert section("Splits", splits=splits) == [
        "| split | fold | train | test |", "| --- | --- | --- | --- |", "| time | 1 | 1,000 | 2,000 |",
    ]  # fmt: skip
    drift = [{"input": "km", "year": 2025, "distance": 0.12345}]
    assert section("Drift by year, against the first", drift_by_year=drift) == [
        "| input | year | distance |", "| --- | --- | --- |", "| km | 2025 | 0.123 |",
    ]  # fmt: skip


def test_plots_are_files_that_the_page_names() -> None:
    months = [
        {"month": f"2026-0{n}", "rows": 1, "mean": 1.0, "quarantined": 0, "total": total}
        for n, total in ((1, 3), (2, 9))
    ]
    histograms = {
        "km": {"counts": [2, 8], "edges": [0.0, 1.23456, 2.0]}, "city": {"counts": [5], "names": ["Bonn"]},
    }  # fmt: skip
    files = report_files(report(histograms=histograms, target_by_time=months))
    assert list(files) == ["report.json", "km.svg", "city.svg", "target_by_month.svg", "report.md"]
    assert files["km.svg"] == _bars("km", [2, 8], ["0", "1.235"])
    assert files["city.svg"] == _bars("city", [5], ["Bonn"])
    assert files["target_by_month.svg"] == _bars("Total by month", [3, 9], ["2026-01", "2026-02"])
    assert section("Plots", histograms=histograms, target_by_time=months) == [
        "![km.svg](km.svg)", "![city.svg](city.svg)", "![target_by_month.svg](target_by_month.svg)",
    ]  # fmt: skip
    # No target over time has no picture.
    assert "target_by_month.svg" not in report_files(report(histograms=histograms))


def test_a_bar_chart_is_drawn_to_its_highest_bar() -> None:
    # 420 wide for two bars, one less between them; 120 high for 8.
    assert _bars("a<b", [2, 8], ["x&y", "z"]) == (
        '<svg xmlns="http://www.w3.org/2000/svg" width="480" height="180" role="img" font-family="sans-serif"'
        ' font-size="11"><title>a&lt;b</title><text x="30" y="16">a&lt;b (highest bar: 8)</text><g fill="#4f5bd5">'
        '<rect x="30.00" y="120.00" width="209.00" height="30.00"><title>x&amp;y: 2</title></rect>'
        '<rect x="240.00" y="30.00" width="209.00" height="120.00"><title>z: 8</title></rect></g>'
        '<text x="30" y="170">x&amp;y</text><text x="450" y="170" text-anchor="end">z</text></svg>\n'
    )


@pytest.mark.parametrize(
    ("counts", "drawn"),
    [
        # Nothing anywhere has no height; hundreds of bars are half a unit wide.
        ([0.0], 'x="30.00" y="150.00" width="419.00" height="0.00"'),
        ([1.0] * 840, 'x="449.50" y="30.00" width="0.50" height="120.00"'),
        ([1.0] * 210, 'x="448.00" y="30.00" width="1.00" height="120.00"'),
    ],
)
def test_bars_of_nothing_and_of_very_many(counts: list[float], drawn: str) -> None:
    assert drawn in _bars("t", counts, [""] * len(counts))


def test_a_chart_without_bars_is_empty() -> None:
    empty = _bars("t", [], [])
    assert '<g fill="#4f5bd5"></g><text x="30" y="170"></text><text x="450" y="170" text-anchor="end"></text>' in empty
    assert "(highest bar: 1e-12)" in empty
