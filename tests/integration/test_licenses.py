"""What the product brings along is listed whole, each with the licence that it names."""

from __future__ import annotations

import json
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from typer.testing import CliRunner

from quality_assets.cli.licenses import UNKNOWN, VENDORED, Licensed, license_of, third_party
from quality_assets.cli.main import app


def package(folder: Path, name: str, *fields: str, version: str = "1.0") -> PathDistribution:
    """A package whose metadata has these fields, installed into a folder."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    lines = ("Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *fields)
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    return PathDistribution(info)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (
            ["License-Expression: MIT OR Apache-2.0", "License: other", "Classifier: License :: Other :: X"],
            "MIT OR Apache-2.0",
        ),
        (["License: BSD", "Classifier: License :: OSI Approved :: BSD License"], "BSD License"),
        (
            ["Classifier: License :: OSI Approved :: MIT License", "Classifier: License :: Public Domain :: CC0"],
            "MIT License AND CC0",
        ),
        (["License: Apache 2.0", "Classifier: License :: OSI Approved"], "Apache 2.0"),
        ([f"License: {'Permission is hereby granted ' * 5}"], UNKNOWN),
        (["License: UNKNOWN"], UNKNOWN),
        ([], UNKNOWN),
    ],
)
def test_a_licence_is_read_from_the_surest_field(tmp_path: Path, fields: list[str], named: str) -> None:
    assert license_of(package(tmp_path, "one", *fields)) == named


def test_a_licence_that_only_its_file_names_is_read_there(tmp_path: Path) -> None:
    found = package(tmp_path, "one", "License-File: COPYING")
    assert license_of(found) == UNKNOWN
    (tmp_path / "one-1.0.dist-info" / "licenses").mkdir()
    (tmp_path / "one-1.0.dist-info" / "licenses" / "COPYING").write_text("\nMIT License\n\nPermission …\n")
    assert license_of(found) == "MIT License"


def test_what_is_needed_is_followed_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    package(
        tmp_path,
        "the_product",
        "Requires-Dist: needed-directly[more]>=1",
        "Requires-Dist: not-here ; sys_platform == 'nowhere'",
        "Requires-Dist: only-developed ; extra == 'dev'",
    )
    package(
        tmp_path,
        "needed_directly",
        "License-Expression: MIT",
        "Provides-Extra: more",
        "Requires-Dist: of-the-extra ; extra == 'more'",
        "Requires-Dist: gone",
        version="1.2",
    )
    # Two packages may need each other.
    package(tmp_path, "of_the_extra", "License: ISC", "Requires-Dist: needed-directly", version="3")
    assert [item for item in third_party("the-product") if item.where != "vendored"] == [
        Licensed("gone", UNKNOWN, UNKNOWN, "missing"),
        Licensed("needed-directly", "1.2", "MIT", "installed"),
        Licensed("of-the-extra", "3", "ISC", "installed"),
    ]


def test_the_command_lists_all_and_no_licence_is_unknown() -> None:
    answer = CliRunner().invoke(app, ["licenses", "--format", "json"])
    assert answer.exit_code == 0
    rows = {row["name"]: row for row in json.loads(answer.stdout)}
    assert rows["dagster"]["license"] == "Apache-2.0"
    assert rows["plotly.js-basic-dist-min"] == {
        "name": "plotly.js-basic-dist-min",
        "version": "4.1.1",
        "license": "MIT",
        "where": "vendored",
    }
    assert {"dagster", "duckdb", "numpy", "starlette", "lucide", "swagger-ui-dist"} <= rows.keys()
    assert "pytest" not in rows
    assert [name for name, row in rows.items() if UNKNOWN in (row["version"], row["license"])] == []


def test_every_vendored_file_belongs_to_a_package_and_comes_with_its_licence() -> None:
    packages = json.loads(VENDORED.read_text(encoding="utf-8"))
    told = {name for item in packages for name in (*item["files"], f"vendor/{item['text']}")}
    there = {f"vendor/{path.name}" for path in VENDORED.parent.iterdir() if path != VENDORED}
    assert told - there == {"icons.css"}
    assert there <= told
    assert all((VENDORED.parents[1] / name).stat().st_size > 100 for name in told)
    named = [item for item in packages if item["name"] in ("plotly.js-basic-dist-min", "swagger-ui-dist")]
    assert all(item["version"] in name for item in named for name in item["files"])
