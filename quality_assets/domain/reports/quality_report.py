"""What a run of the tests said, from its junit and coverage files: counts, time, lines reached; null without a run."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

_MOST_CHARACTERS = 200_000_000
_SLOWEST = 10


class ReportInputError(ValueError):
    """A file is not what it should be; says which and why."""


def quality_figures(junit: str | None, coverage: str | None) -> dict[str, Any]:
    """The figures of both files. Raises ReportInputError."""
    return {"report_version": 1, "tests": _tests(junit), "coverage": _coverage(coverage)}


def _tests(text: str | None) -> dict[str, Any]:
    names = ("total", "failures", "errors", "skipped", "duration_s", "passed")
    if text is None:
        return dict.fromkeys(names) | {"failed": [], "slowest": []}
    root = _root(text, "junit")
    cases = list(root.iter("testcase"))
    failed = [_name(case) for case in cases if case.find("failure") is not None or case.find("error") is not None]
    slowest = sorted(cases, key=lambda case: -float(case.get("time") or 0))[:_SLOWEST]
    failures, errors, skipped = (
        sum(case.find(n) is not None for case in cases) for n in ("failure", "error", "skipped")
    )
    return {
        "total": len(cases),
        "failures": failures,
        "errors": errors,
        "skipped": skipped,
        "duration_s": round(sum(float(suite.get("time") or 0) for suite in root.iter("testsuite")), 3),
        "passed": bool(cases) and not failed,
        "failed": failed,
        "slowest": [{"test": _name(case), "seconds": float(case.get("time") or 0)} for case in slowest],
    }


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname', '')}.{case.get('name', '')}"


def _coverage(text: str | None) -> dict[str, Any]:
    if text is None:
        return dict.fromkeys(("line_rate", "lines_valid", "lines_covered", "branch_rate"))
    root = _root(text, "coverage")
    valid = root.get("lines-valid")
    if root.tag != "coverage" or valid is None:
        raise ReportInputError("the coverage file is no report of coverage; `pytest --cov --cov-report=xml` writes one")
    branches = int(root.get("branches-valid") or 0)
    return {
        "line_rate": float(root.get("line-rate") or 0),
        "lines_valid": int(valid),
        "lines_covered": int(root.get("lines-covered") or 0),
        "branch_rate": float(root.get("branch-rate") or 0) if branches else None,
    }


def _root(text: str, what: str) -> ElementTree.Element:
    # Entities are what makes XML dangerous, and neither file has any.
    if len(text) > _MOST_CHARACTERS or "<!ENTITY" in text:
        raise ReportInputError(f"the {what} file is larger than any such file, or declares entities")
    try:
        return ElementTree.fromstring(text)  # noqa: S314
    except ElementTree.ParseError as error:
        raise ReportInputError(f"the {what} file is no XML: {error}") from None
