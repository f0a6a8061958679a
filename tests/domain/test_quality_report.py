"""The figures of a run of tests, from files written by hand."""

from __future__ import annotations

import pytest

from quality_assets.domain.reports.quality_report import ReportInputError, quality_figures

JUNIT = """<?xml version="1.0"?><testsuites><testsuite name="pytest" time="3.5">
<testcase classname="a" name="one" time="0.5"/>
<testcase classname="a" name="two" time="2.0"><failure message="x"/></testcase>
<testcase classname="b" name="three" time="1.0"><skipped/></testcase></testsuite></testsuites>"""
COVERAGE = '<coverage line-rate="0.9" lines-valid="10" lines-covered="9" branches-valid="0" branch-rate="0"/>'


def test_what_a_run_said() -> None:
    found = quality_figures(JUNIT, COVERAGE)
    tests = found["tests"]
    assert (tests["total"], tests["failures"], tests["errors"], tests["skipped"]) == (3, 1, 0, 1)
    assert (tests["duration_s"], tests["passed"], tests["failed"]) == (3.5, False, ["a.two"])
    assert tests["slowest"][0] == {"test": "a.two", "seconds": 2.0}
    assert found["coverage"] == {"line_rate": 0.9, "lines_valid": 10, "lines_covered": 9, "branch_rate": None}


def test_without_a_run_nothing_is_claimed() -> None:
    found = quality_figures(None, None)
    assert {value for name, value in found["tests"].items() if name not in ("failed", "slowest")} == {None}
    assert set(found["coverage"].values()) == {None}
    assert quality_figures("<testsuites/>", None)["tests"]["passed"] is False


@pytest.mark.parametrize("text", ["", "<a", '<!DOCTYPE x [<!ENTITY y "z">]><x>&y;</x>'])
def test_what_is_no_such_file_is_refused(text: str) -> None:
    with pytest.raises(ReportInputError):
        quality_figures(text, None)
    with pytest.raises(ReportInputError, match="no report of coverage"):
        quality_figures(None, "<x/>")
