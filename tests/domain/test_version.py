"""The version and its date are said in three files, and in all of them alike."""

from __future__ import annotations

import re
import tomllib

from quality_assets.settings import REPOSITORY_ROOT
from quality_assets.version import RELEASED, VERSION


def test_the_changelog_begins_with_this_version_and_its_date() -> None:
    headings = re.findall(r"^## (.+)$", (REPOSITORY_ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == f"{VERSION} — {RELEASED}"


def test_the_package_has_this_version_and_its_licence() -> None:
    project = tomllib.loads((REPOSITORY_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == VERSION
    assert project["license"] == "MIT"
    assert (REPOSITORY_ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License\n")
    assert project["license-files"][0] == "LICENSE"
