"""Source files: what they may say, how their errors read, and which source a file gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from quality_assets.contracts.events import STATUSES
from quality_assets.contracts.sources.events import Source, Sources, load_source, load_sources, match_source
from quality_assets.contracts.sources.model import NoSourceMatches, SourceDisabled, SourceError, find_columns

FOLDER = Path(__file__).parents[2] / "data" / "sources"
MINIMAL: dict[str, Any] = {
    "name": "web",
    "owner": "team",
    "description": "A log",
    "starts_on": "2020-01-01",
    "columns": {"event_time": "ts", "feature": "page", "status": {"constant": "ok"}},
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "data" / "sources" / "web.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(MINIMAL | changes), encoding="utf-8")
    return path


def with_columns(**columns: Any) -> dict[str, Any]:
    return {"columns": MINIMAL["columns"] | columns}


def test_shipped_sources_load() -> None:
    sources = load_sources(FOLDER)
    assert sources.errors == ()
    assert {"default", "api_log", "nycflights13", "segment", "ga4", "otlp_logs", "nginx", "alb"} <= set(sources.by_name)
    for source in sources:
        statuses = (source.columns["status"].map or {}).values()
        assert set(statuses) <= set(STATUSES)


def test_minimal_source(tmp_path: Path) -> None:
    source = load_source(written(tmp_path))
    assert source.required_columns == ("ts", "page")
    assert source.allowed_future_skew_minutes == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            with_columns(latency_ms={"from": "t", "unit": "seconds"}),
            "data/sources/web.yaml: columns.latency_ms.unit: 'seconds' is not one of ns, us, ms, s, min, duration",
        ),
        ({"formt": "csv"}, "data/sources/web.yaml: formt: is not one of name, owner, description"),
        (with_columns(status={"fron": "s"}), "columns.status.fron: is not one of from, pad, unit"),
        (with_columns(lattency="x"), "columns: lattency is not one of event_id, event_time"),
        ({"columns": {"event_time": "a", "feature": "b"}}, "columns: status is not mapped"),
        (with_columns(status={"from": "s", "map": {"200-299": "fine"}}), "'fine' is not one of ok, error, crash"),
        (with_columns(event_time={"from": "t", "zone": "Mars/Base"}), "'Mars/Base' is not an IANA time zone"),
        (with_columns(event_time={"from": "t", "format": "%Y"}), "needs a zone"),
        (with_columns(event_time={"from": "t", "format": "%b %d %H:%M:%S", "zone": "UTC"}), "such as `year=2026`"),
        (with_columns(event_time={"from": "t", "format": "%H:%M %Y", "zone": "UTC"}), "has no month and no day"),
        (with_columns(event_time={"from": "t", "unit": "min"}), "'min' is not one of ns, us, ms, s"),
        (with_columns(latency_ms={"from": "t", "since": "b", "unit": "min"}), "'min' is not one of ns, us, ms, s"),
        (with_columns(latency_ms={"constant": 5, "since": "b"}), "since needs a from of one column"),
        (with_columns(feature={"from": "t", "since": "b"}), "since means nothing for this column"),
        (with_columns(latency_ms={"from": "t", "format": "%S", "zone": "UTC"}), "format, zone means nothing"),
        (with_columns(feature={"from": "t", "unit": "s"}), "unit means nothing for this column"),
        (with_columns(feature={"from": "a", "constant": "b"}), "exactly one of from and constant"),
        (with_columns(event_time={"from": ["y", "m"], "pad": [4]}), "pad has 1 widths for 2 columns"),
        ({"csv": {"encoding": "utf-7000"}}, "csv.encoding: 'utf-7000' is not an encoding"),
        ({"format": "xml"}, "format: 'xml' is not one of csv, jsonl, parquet, auto"),
        ({"format": "json"}, "format: 'json' is not one of csv, jsonl, parquet, auto; did you mean jsonl?"),
        ({"csv": {"delimiter": "::"}}, "csv.delimiter: '::' is more than one sign; what such a thing parts"),
        ({"expectations": {"max_quarantined_share": 2}}, "expectations.max_quarantined_share"),
        ({"owner": ""}, "owner"),
        ({"paths": "web/**"}, "paths: is a list, such as [web/**]"),
        ({"paths": ["/web/**"]}, "paths: '/web/**' claims no file: paths begin in the landing zone"),
        ({"paths": ["landing/web/**"]}, "'landing/web/**' claims no file"),
        ({"paths": ["a/../web/**"]}, "'a/../web/**' claims no file"),
        ({"paths": ["web\\*.csv"]}, r"'web\\*.csv' claims no file: folders are parted by /"),
        ({"columns": "event_time"}, "columns: holds keys and their values, not 'event_time'"),
        ({"name": "Web Shop"}, "name: 'Web Shop' is not written in small letters, digits and underscores"),
        (with_columns(event_time={"from": "t", "format": "%d.%Q", "zone": "UTC"}), "'%Q' is no part of a time"),
        (with_columns(feature={"from": "t", "extract": "(?<=/)([a-z]+)"}), "which RE2 does not do"),
        (with_columns(feature={"from": "t", "extract": r"(a)\1"}), "which RE2 does not do"),
        (with_columns(feature={"from": "t", "extract": "["}), "columns.feature.extract: '[' is no regular expression"),
        (with_columns(feature={"from": "t", "extract": "a"}), "has no group in parentheses"),
        (with_columns(event_time={"from": "t", "decimal": ","}), "decimal means nothing for this column"),
        (with_columns(feature={"from": "t", "maximum": 5}), "maximum means nothing for this column"),
        ({"properties_from": ["a"], **with_columns(properties="p")}, "exclude each other"),
    ],
)
def test_errors_name_file_key_and_allowed_values(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError) as caught:
        load_source(written(tmp_path, **changes))
    assert str(caught.value).startswith("data/sources/web.yaml: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a\n", "a: [\n", "\x00"])
def test_files_that_are_no_mapping(tmp_path: Path, text: str) -> None:
    path = written(tmp_path)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SourceError, match=r"web\.yaml"):
        load_source(path)


@pytest.mark.parametrize("given", ["%d/%b/%Y:%H:%M:%S %z", "%Y%m%d%H%M", "%-d.%-m.%y %-I:%M %p", "%y%j %% %S"])
def test_formats_that_are_known(tmp_path: Path, given: str) -> None:
    assert load_source(written(tmp_path, **with_columns(event_time={"from": "t", "format": given, "zone": "UTC"})))


@pytest.mark.parametrize(
    "given", [r"^[A-Z-]+ [a-z]+://[^/]+(/[^ ?]*)", r"(?:a|b)(?P<x>c)\\1", "(?i)a+(b)?", r"\+(\d+)\d*"]
)
def test_expressions_that_are_known(tmp_path: Path, given: str) -> None:
    assert load_source(written(tmp_path, **with_columns(feature={"from": "t", "extract": given})))


@pytest.mark.parametrize("pattern", ["/web/**", "./web/**", "landing/web/**", "data/landing/web/**", "web\\**"])
def test_logs_that_a_wrong_pattern_means_wait(tmp_path: Path, pattern: str) -> None:
    written(tmp_path, paths=[pattern])
    sources = load_sources(tmp_path / "data" / "sources")
    with pytest.raises(SourceDisabled, match=r"source 'web' is off until its file is mended.*claims no file"):
        sources.by_path("web/a.csv")


def test_a_tab_and_another_encoding_are_told(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text("name: web\ncolumns:\n\tfeature: page\n", encoding="utf-8")
    with pytest.raises(SourceError, match="at line 3, column 1; YAML indents by spaces, not by tabs"):
        load_source(path)
    path.write_bytes("owner: Käthe\n".encode("latin-1"))
    with pytest.raises(SourceError, match="save it as UTF-8"):
        load_source(path)


def test_two_files_may_not_share_a_name(tmp_path: Path) -> None:
    path = written(tmp_path)
    (path.parent / "again.yaml").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    found = load_sources(path.parent)
    assert list(found.by_name) == ["web"]
    assert len(found.errors) == 1
    assert "web.yaml: name: 'web' is already the name" in found.errors[0]


def test_yaml_booleans_and_numbers_in_maps_are_text() -> None:
    columns = with_columns(status={"from": "s", "map": {True: "ok", False: "crash", 404: "error"}})
    source = Source.model_validate(MINIMAL | columns)
    assert source.columns["status"].map == {"true": "ok", "false": "crash", "404": "error"}


@pytest.mark.parametrize(
    ("path", "source"),
    [("api_log/a.csv", "api_log"), ("api_log/2026/01/a.jsonl.gz", "api_log"), ("nycflights13/f.csv", "nycflights13")],
)
def test_path_decides_first(path: str, source: str) -> None:
    sources = load_sources(FOLDER)
    assert match_source(sources, path, sources[source].source_columns).name == source


@pytest.mark.parametrize("path", ["a.csv", "other/api_log/a.csv", "api_logs/a.csv"])
def test_contract_columns_go_to_default(path: str) -> None:
    assert match_source(load_sources(FOLDER), path, ["STATUS", " feature ", "event_time"]).name == "default"


def test_rejection_lists_what_is_missing() -> None:
    sources = load_sources(FOLDER)
    with pytest.raises(NoSourceMatches, match="'default' needs status; the file has event_time, feature"):
        match_source(sources, "a.csv", ["event_time", "feature"])
    with pytest.raises(NoSourceMatches, match=r"by its path.*'api_log' needs ts, route, http_status"):
        match_source(sources, "api_log/a.csv", ["event_time", "feature", "status"])


def test_a_table_that_is_no_log_is_shown_where_it_belongs() -> None:
    sources = load_sources(FOLDER)
    with pytest.raises(NoSourceMatches, match=r"watched by `quality dataset add`: move it out of landing/$"):
        match_source(sources, "orders.csv", ["order_id", "amount", "country"])
    with pytest.raises(NoSourceMatches, match=r"in a YAML in the folder `sources`$"):
        match_source(sources, "half.csv", ["time", "feature", "status"])


def test_longest_pattern_wins() -> None:
    both = [
        Source.model_validate(MINIMAL | {"name": name, "paths": paths})
        for name, paths in (("wide", ["web/**"]), ("narrow", ["web/*/errors-?.csv"]))
    ]
    sources = load_sources(FOLDER).__class__({source.name: source for source in both})
    found = {
        path: getattr(sources.by_path(path), "name", None) for path in ("web/a/errors-1.csv", "web/a/b/errors-1.csv")
    }
    assert found == {"web/a/errors-1.csv": "narrow", "web/a/b/errors-1.csv": "wide"}


def test_a_file_that_two_sources_claim_alike_waits_and_both_are_named() -> None:
    both = {
        name: Source.model_validate(MINIMAL | {"name": name, "paths": paths})
        for name, paths in (("shop", ["web/*.csv"]), ("till", ["web/*.csv", "web/a*.cs?"]))
    }
    sources = Sources(both)
    with pytest.raises(SourceDisabled, match="it waits: 'shop', 'till' claim it alike"):
        sources.by_path("web/day.csv")
    assert sources.expected("web/day.csv") is None
    found = sources.by_path("web/a1.csv")
    assert found is not None
    assert found.name == "till"
    assert sources.errors == ("'shop' and 'till': paths: both claim 'web/*.csv'",)


def test_own_sources_add_to_the_shipped_ones_and_go_before_them(tmp_path: Path) -> None:
    own = written(tmp_path, paths=["nginx/*"]).parent
    (own / "cloudfront.yaml").write_text("name: cloudfront\ncolumns: [")
    sources = load_sources([own, FOLDER])
    header = ("event_time", "feature", "status")
    assert match_source(sources, "day.csv", header).name == "default"
    # The pattern of the shipped source is longer.
    assert getattr(sources.by_path("nginx/access.log"), "name", None) == "web"
    assert getattr(sources.by_path("nginx/old/access.log"), "name", None) == "nginx"
    with pytest.raises(SourceDisabled, match="source 'cloudfront' is off until its file is mended"):
        sources.by_path("cloudfront/a.log")
    assert len(sources.errors) == 1
    assert "web" not in sources.added
    assert {"default", "nginx"} < sources.added


def test_find_columns_prefers_exact_names() -> None:
    assert find_columns(["Ts", "page", "none"], ["ts", "Ts", " PAGE"]) == {"Ts": 1, "page": 2}


def test_scalars_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(
        """
name: web
owner: on
description: 1e3
starts_on: 2020-01-01
allowed_future_skew_minutes: 5
null_values: ["NULL", no]
columns:
  event_time: ts
  feature: page
  status: {from: st, map: {yes: ok, no: error, on: ok, off: error, 404: crash, null: error}}
  country: {constant: NO}
  app_version: {constant: 1.10}
expectations: {max_quarantined_share: 0.5}
""",
        encoding="utf-8",
    )
    source = load_source(path)
    assert (source.owner, source.description, source.null_values) == ("on", "1e3", ("NULL", "no"))
    assert source.columns["status"].map == {
        "yes": "ok",
        "no": "error",
        "on": "ok",
        "off": "error",
        "404": "crash",
        "null": "error",
    }
    assert source.columns["country"].constant == "NO"
    assert source.columns["app_version"].constant == "1.10"
    assert (source.allowed_future_skew_minutes, source.expectations.max_quarantined_share) == (5, 0.5)


def test_a_key_that_comes_twice_is_an_error_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text(encoding="utf-8") + "owner: other\n", encoding="utf-8")
    with pytest.raises(SourceError, match=r"the key 'owner' comes twice at line \d+, column 1"):
        load_source(path)
