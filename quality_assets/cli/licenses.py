"""Under which licences the product comes, and what it brings along: installed packages and vendored files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from quality_assets.settings import REPOSITORY_ROOT

PRODUCT = "feature-quality"
UNKNOWN = "unknown"
VENDORED = REPOSITORY_ROOT / "dash_app" / "assets" / "vendor" / "packages.json"
_FIELDS = ("License-Expression", "Classifier", "License", "License-File")
_CLASSIFIER = "License :: "
# Some packages put the whole text where the name belongs.
_LONGEST_NAME = 80
# A package's name and the extras that are wanted of it.
_Need = tuple[str, frozenset[str]]


@dataclass(frozen=True, order=True)
class Licensed:
    """A package that the product needs; `where` is `installed`, or `vendored` in its own files."""

    name: str
    version: str
    license: str
    where: str


def third_party(product: str = PRODUCT) -> list[Licensed]:
    """What `product` needs at run time on this machine, directly or not, and what is vendored; by name."""
    return sorted([*_installed(product), *_vendored()], key=lambda item: item.name.lower())


def license_of(package: Distribution) -> str:
    """The licence that a package names: the SPDX expression of core metadata 2.4, else the classifiers, which come from
    a list, else the free text, else the heading of its licence file."""
    said = {field: package.metadata.get_all(field) or [] for field in _FIELDS}
    if said["License-Expression"]:
        return " AND ".join(said["License-Expression"])
    classifiers = [text for text in said["Classifier"] if text.startswith(_CLASSIFIER) and text.count("::") > 1]
    if classifiers:
        return " AND ".join(text.rpartition(" :: ")[2] for text in classifiers)
    files = [package.read_text(folder + name) for name in said["License-File"] for folder in ("licenses/", "")]
    texts = [*said["License"], *files]
    lines = [text.strip().splitlines()[0].strip() for text in texts if text and text.strip()]
    return next((line for line in lines if len(line) <= _LONGEST_NAME and line != "UNKNOWN"), UNKNOWN)


def _installed(product: str) -> Iterator[Licensed]:
    waiting = _needs(distribution(product), frozenset())
    seen: set[_Need] = set()
    told: set[str] = set()
    while waiting:
        name, extras = need = waiting.pop()
        if need in seen:
            continue
        seen.add(need)
        try:
            package = distribution(name)
        except PackageNotFoundError:
            # `quality doctor` says what is missing; here it has no licence to tell.
            yield Licensed(name, UNKNOWN, UNKNOWN, "missing")
            continue
        if name not in told:
            told.add(name)
            yield Licensed(name, package.version, license_of(package), "installed")
        waiting |= _needs(package, extras)


def _needs(package: Distribution, extras: frozenset[str]) -> set[_Need]:
    """What a package asks for on this machine, with what those of its own `extras` ask for that are wanted."""
    needs: set[_Need] = set()
    for requirement in map(Requirement, package.requires or ()):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            needs.add((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return needs


def _vendored() -> list[Licensed]:
    packages = json.loads(VENDORED.read_text(encoding="utf-8"))
    return [Licensed(item["name"], item["version"], item["license"], "vendored") for item in packages]
