"""Components as HTML text: everything escaped, names as HTML has them, and nothing that Dash would have to run."""

from __future__ import annotations

from pathlib import Path

import pytest
from dash import dcc, html
from plotly.io.json import to_json_plotly

from dash_app.components import ui
from dash_app.components.forms import choice
from dash_app.components.markup import markup
from dash_app.pages import overview
from dash_app.router import render
from quality_assets.read.links import Request
from quality_assets.read.reader import SnapshotStore


def test_text_and_attributes_are_escaped() -> None:
    link = html.A(["<b> & ", html.B('"x"')], href="/a?b=1&c='2'", title='say "<i>"')
    attributes = 'href="/a?b=1&amp;c=&#x27;2&#x27;" title="say &quot;&lt;i&gt;&quot;"'
    assert markup(link) == f"<a {attributes}>&lt;b&gt; &amp; <b>&quot;x&quot;</b></a>"


def test_properties_are_what_html_calls_them() -> None:
    cell = html.Td("1", className="num", style={"clipPath": "polygon(0 0)", "left": "3px"}, tabIndex="0", colSpan=2)
    assert markup(cell) == '<td class="num" colspan="2" style="clip-path:polygon(0 0);left:3px" tabindex="0">1</td>'
    fold = html.Details([html.Summary("s"), None, 0], open=True)
    assert markup(fold) == "<details open><summary>s</summary>0</details>"
    assert markup(html.A("CSV", href="/x", download="", hidden=False)) == '<a download="" href="/x">CSV</a>'
    assert markup([html.Br(), html.Span(className="")]) == "<br><span></span>"


def test_what_dash_must_run_is_refused() -> None:
    with pytest.raises(ValueError, match="Store"):
        markup(html.Div(dcc.Store(id="x")))


def test_a_table_is_one_component() -> None:
    table = ui.table(["A"], [["<1>"], ["2"]], label="T")
    assert getattr(table, "children", None) is None
    text = table.to_plotly_json()["props"]["data-markup"]
    assert text.count("<tr>") == 3
    assert "&lt;1&gt;" in text
    assert markup(html.Section(table)).endswith(f">{text}</div></section>")


def test_a_page_that_draws_only_the_first_rows_says_so(full_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ui.cut_note(range(ui.MOST_ROWS)) == ""
    assert ui.cut_note(range(ui.MOST_ROWS + 1)) == " · the first 2\u202f000 of 2\u202f001, all in the CSV"
    monkeypatch.setattr(ui, "MOST_ROWS", 1)
    reader = SnapshotStore(full_root / "published").reader()
    assert reader is not None
    said = str(to_json_plotly(overview.build(reader, Request.parse("/", "")), engine="orjson"))
    # A row of the table of all features is the only thing on the page that has the team by itself.
    assert said.count('\\"m\\":') == 1
    assert " · the first 1 of " in said


@pytest.mark.parametrize("path", ["/", "/data-quality", "/drift", "/model", "/pipeline", "/feature/Search"])
def test_a_page_has_no_more_components_than_a_browser_walks_at_once(full_root: Path, path: str) -> None:
    page, _ = render(SnapshotStore(full_root / "published"), Request.parse(path, "?window=90d"))
    said = str(to_json_plotly(page, engine="orjson"))
    # Dash's renderer takes some 6 ms for each of 2,500, and 1 ms for each of 1,000: its walks are within walks.
    assert 50 < said.count('"namespace"') < 1000


def test_what_is_not_chosen_sends_nothing_instead_of_its_word() -> None:
    chosen = choice("severity", "Severity", (("", "any"), ("low", "low")), "low")
    assert '<option value="">any</option><option value="low" selected>low</option>' in markup(chosen)
