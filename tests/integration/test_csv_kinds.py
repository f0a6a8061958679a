"""Delimited text as people have it: titles, comments, no header, the logs of web servers, columns in folders."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from staged_logs import Stage

from quality_assets.contracts.sources.events import Source, Sources
from quality_assets.stores.landing import place, scan
from quality_assets.stores.readers import FileRejected
from quality_assets.stores.readers.records import (
    BrokenQuoteError,
    OpenQuoteError,
    split_bracketed,
    split_escaped,
    split_record,
)
from tests.examples import dear

T = "2026-02-01T10:00:00Z"
AT = datetime(2026, 2, 1, 10)
HEADER = "event_time,feature,status"
ROW = f"{T},search,ok"
MALFORMED = ["malformed_row"]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    assert made.leftovers() == []
    made.close()


def source(**values: Any) -> Sources:
    columns = {name: name for name in ("event_time", "feature", "status")}
    given = {"name": "web", "owner": "o", "description": "d", "paths": ["web/**"], "starts_on": "2020-01-01"}
    return Sources({"web": Source.model_validate({**given, "columns": columns, **values})})


@pytest.mark.parametrize(
    "before",
    [
        "sep=,",
        "SEP=,\n",
        "Usage report\nmade by hand",
        "Usage report,,",
        "# a comment\n# another",
        "#Software: x, y, z",
        "\n\nReport of: 2026",
    ],
)
def test_what_stands_before_the_header_is_no_row(stage: Stage, before: str) -> None:
    staged = stage.load(f"{before}\n{HEADER}\n{ROW}\n{ROW}\n")
    lines = len(before.split("\n"))
    assert (staged.rows, staged.good_rows) == (2, 2)
    assert stage.rows("line_number") == [lines + 2, lines + 3]


def test_a_separator_that_nobody_expects(stage: Stage) -> None:
    assert stage.load(f"sep=^\n{HEADER}\n{ROW}\n".replace(",", "^")).good_rows == 1


def test_a_header_behind_a_hash(stage: Stage) -> None:
    assert stage.load(f"# {HEADER}\n{ROW}\n").good_rows == 1


def test_rows_before_a_header_are_no_titles(stage: Stage) -> None:
    with pytest.raises(FileRejected, match="needs event_time, feature, status"):
        stage.load(f"{ROW}\n{HEADER}\n{ROW}\n")


def test_comments_among_the_rows(stage: Stage) -> None:
    of = source(csv={"comment": "#"})
    staged = stage.load(f"# x\n{HEADER}\n{ROW}\n# y\n{ROW}\n#\n", landing_path="web/a.csv", sources=of)
    assert (staged.rows, staged.good_rows) == (2, 2)
    assert stage.rows("line_number") == [3, 5]


def test_a_file_without_a_header(stage: Stage) -> None:
    of = source(csv={"header": ["status", "event_time", "feature"], "delimiter": " "})
    staged = stage.load(f'ok {T} "a b"\nok {T} b\nok {T}\n', landing_path="web/a.log", sources=of)
    assert (staged.rows, staged.good_rows) == (3, 2)
    assert stage.rows("line_number", "feature", "reasons") == [(1, "a b", None), (2, "b", None), (3, None, MALFORMED)]


QUOTED = r'''"{\"plan\": \"pro, \\\"new\\\"\"}"'''
MEANT = r"""{"plan": "pro, \"new\""}"""


def test_quotes_behind_a_backslash_as_databases_export_them(stage: Stage) -> None:
    values = (QUOTED, QUOTED, '"a ""b"", c"', '"one\ntwo \\"three\\""', '"open \\"')
    staged = stage.load("\n".join([f"{HEADER},session_id", *(f"{ROW},{value}" for value in values)]))
    assert (staged.rows, staged.good_rows) == (5, 4)
    assert stage.rows("session_id") == [MEANT, MEANT, 'a "b", c', 'one\ntwo "three"', None]
    assert stage.rows("reasons")[4] == MALFORMED


SPACED_HEAD = '"event_id", "event_time", "feature", "status"'


@pytest.mark.parametrize("head", [SPACED_HEAD, SPACED_HEAD.replace('"', ""), SPACED_HEAD.replace(", ", ",")])
def test_spaces_before_opening_quotes_as_people_write_them(stage: Stage, head: str) -> None:
    rows = [f'"e1", "{T}", "cart, full", "ok"', f'"e2",  "{T}", "a ""b"", c", "ok"', f'"e3", "{T}", "open, "ok"']
    staged = stage.load("\n".join([head, *rows, f'"e4","{T}", "two\nlines", "ok"', f"e5, {T}, plain, ok"]) + "\n")
    assert (staged.rows, staged.good_rows) == (5, 4)
    good = [("e1", "cart, full"), ("e2", 'a "b", c'), ("e4", "two\nlines"), ("e5", "plain")]
    assert [row for row in stage.rows("event_id", "feature") if row[0] and row[1]] == good
    assert stage.rows("reasons")[2] == MALFORMED


def test_a_quote_within_a_value_is_no_opening_one(stage: Stage) -> None:
    stage.load(f'event_id,event_time,feature,status\ne1,{T}, 5" screen,ok\ne2,{T},"a, ""b""",ok\n')
    assert stage.rows("feature", "reasons") == [('5" screen', None), ('a, "b"', None)]


@given(values=st.lists(st.text(st.sampled_from('a", '), max_size=6), min_size=1, max_size=4))
def test_spaced_fields_come_back(values: list[str]) -> None:
    written = ",  ".join('"' + value.replace('"', '""') + '"' for value in values)
    assert split_record(written, ",", '"', spaced=True) == values


def test_a_backslash_at_the_end_of_values_is_one(stage: Stage) -> None:
    staged = stage.load(f'{HEADER},session_id\n{ROW},"c:\\"\n{ROW},"d:\\"\n')
    assert (staged.good_rows, stage.rows("session_id")) == (2, ["c:\\", "d:\\"])


def test_a_source_says_what_stands_before_quotes(stage: Stage) -> None:
    of = source(csv={"escape": "^"})
    staged = stage.load(f'event_time,feature,status\n{T},"a ^"b^", ^^",ok\n', landing_path="web/a.csv", sources=of)
    assert (staged.good_rows, stage.rows("feature")) == (1, ['a "b", ^'])


@given(values=st.lists(st.text(st.sampled_from('a"\\,'), max_size=6), min_size=1, max_size=4))
def test_escaped_fields_come_back(values: list[str]) -> None:
    written = ",".join('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values)
    assert split_record(written, ",", '"', "\\") == values


UNQUOTED = {"delimiter": "\t", "quote": "", "escape": "\\", "header": ["event_time", "feature", "status", "more"]}


def test_nothing_is_in_quotes_as_databases_unload_tables(stage: Stage) -> None:
    rows = [
        rf"{T}|a\|b \\ c|ok|\N",  # a delimiter, the sign itself, and no value
        rf"{T}|two\nlines|ok|tab\there",  # PostgreSQL and MySQL
        f"{T}|two\\\nlines|ok|",  # Adobe, Redshift and Hive
        f'{T}|say "hi"|ok|it\'s',
        f"{T}|too|many|values|here",
        rf"{T}|\N|ok|x",
        f"{T}|last|ok|open\\",
    ]
    text = "\n".join(rows).replace("|", "\t").replace("\\\t", "\\\t") + "\n"
    of = source(csv=UNQUOTED, columns={n: n for n in ("event_time", "feature", "status")} | {"session_id": "more"})
    staged = stage.load(text, landing_path="web/a.tsv", sources=of)
    assert (staged.rows, staged.good_rows) == (7, 4)
    assert stage.rows("line_number", "feature", "session_id", "reasons") == [
        (1, "a\tb \\ c", None, None),
        (2, "two\nlines", "tab\there", None),
        (3, "two\nlines", None, None),
        (5, 'say "hi"', "it's", None),
        (6, None, None, MALFORMED),
        (7, None, "x", ["missing_feature"]),
        (8, None, None, MALFORMED),
    ]


@given(values=st.lists(st.text(st.sampled_from('a"\\,nN\n'), max_size=6), min_size=1, max_size=4))
def test_unquoted_fields_come_back(values: list[str]) -> None:
    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace(",", "\\,").replace("\n", "\\n")

    assert split_escaped(",".join(map(escaped, values)), ",", "\\") == values


@pytest.mark.parametrize(
    ("text", "fields"),
    [("", [""]), ("a,", ["a", ""]), (r"\N,a\N,\Nb", ["", "aN", "Nb"]), (r"\,,\\", [",", "\\"]), (r"\0", ["\0"])],
)
def test_what_stands_behind_the_sign_before_delimiters(text: str, fields: list[str]) -> None:
    assert split_escaped(text, ",", "\\") == fields
    with pytest.raises(OpenQuoteError):
        split_escaped(text + "\\", ",", "\\")


@pytest.mark.parametrize("before", ["Usage report,,\nAccount,Acme,", "From,2026-02-01,\nTo,2026-02-02,"])
def test_titles_of_a_few_words_are_no_rows(stage: Stage, before: str) -> None:
    assert stage.load(f"{before}\n{HEADER}\n{ROW}\n").good_rows == 1


@pytest.mark.parametrize(
    "text",
    [
        # sort(1) puts digits before letters.
        f"{ROW}\n{ROW}\n{HEADER}\n",
        # A file whose last line had no end, with another one behind it.
        f"{ROW}\n{ROW}\n{T},sea{HEADER}\n{ROW}\n",
    ],
)
def test_rows_above_the_header_are_not_passed_over(stage: Stage, text: str) -> None:
    with pytest.raises(FileRejected, match="first line may be a row already: `header` under `csv`"):
        stage.load(text)


@pytest.mark.parametrize("delimiter", ["\t", "\x01"])
def test_quotes_are_signs_like_any_other_where_a_source_says_that_there_are_none(stage: Stage, delimiter: str) -> None:
    titles = ['"Hello" world', '"Hello', 'size 5"', '"whole"', "plain"]
    content = "".join(delimiter.join((T, title, "ok")) + "\n" for title in titles)
    csv = {"delimiter": delimiter, "quote": "", "header": HEADER.split(",")}
    stage.load(content, landing_path="web/part-00000", sources=source(csv=csv))
    assert stage.rows("feature", "status", "reasons") == [(title, "ok", None) for title in titles]


def test_a_row_that_holds_json_as_the_header_is_told_as_a_row(stage: Stage) -> None:
    with pytest.raises(FileRejected, match="first line may be a row already: `header` under `csv`"):
        stage.load('shop\tweb\t2026-02-01 10:00:00.123\t{"schema": "iglu:com.x"}\n')


@pytest.mark.parametrize("delimiter", ["^", "~", " ", "#"])
def test_what_parts_all_columns_is_a_delimiter(stage: Stage, delimiter: str) -> None:
    stage.load(f"{HEADER}\n{ROW}\n".replace(",", delimiter))
    assert stage.rows("event_time", "feature", "status") == [(AT, "search", "ok")]


def test_control_characters_part_values_where_the_source_says_so(stage: Stage) -> None:
    content = f"{ROW}\n{ROW}\n".replace(",", "\x01")
    with pytest.raises(FileRejected, match=r"binary data.* or a `delimiter` that is a control character"):
        stage.load(content)
    csv = {"delimiter": "\x01", "header": HEADER.split(",")}
    stage.load(content, landing_path="web/000000_0", sources=source(csv=csv))
    assert stage.rows("event_time", "feature", "status", "reasons") == [(AT, "search", "ok", None)] * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ts=1 feature=a\n", "`delimiter` under `csv` says what parts its values"),
        (f"{HEADER}\x85{ROW}\x85", r"lines end in the character U\+0085"),
        (f"{HEADER}\u2028{ROW}\u2028", r"lines end in the character U\+2028"),
        (HEADER + "," * 20_000 + "\n", "20,003 columns; up to 20,000 are read"),
    ],
)
def test_headers_that_are_none_say_the_way_on(stage: Stage, text: str, words: str) -> None:
    with pytest.raises(FileRejected, match=words):
        stage.load(text)


def test_columns_in_another_order_midway_are_not_misread(stage: Stage) -> None:
    header = "event_time,feature,status,user_id"
    first = f"{header}\n{T},search,ok,ann\n"
    with pytest.raises(FileRejected, match="from line 3 on its columns are in another order; split it there"):
        stage.load(f"{first}event_time,user_id,status,feature\n{T},ann,ok,search\n")
    # The same header again, one of the same places with another name, and rows that hold names of columns.
    stage.load(f"{first}{first}event_time,feature,status,user\nstatus,status,ok,ann\n{T},status,ok,feature\n")
    assert stage.rows("line_number", "reasons") == [
        (2, None),
        (3, ["repeated_header"]),
        (4, None),
        (5, ["invalid_event_time", "invalid_status"]),
        (6, ["invalid_event_time"]),
        (7, None),
    ]


def test_a_header_may_begin_as_another_format_does(stage: Stage) -> None:
    assert stage.load(f"ORCID,{HEADER}\n1,{ROW}\n").good_rows == 1
    assert stage.load(f"PARENT,{HEADER}\n1,{ROW}\n", file_id="f2").good_rows == 1


PATTERNS = {
    # What Kubernetes, syslog (RFC 5424) and logfmt put around an event.
    "kubernetes": (r"\S+ (?P<stream>\S+) [FP] (?P<log>.*)", "2026-02-01T10:00:00.1Z stdout F {}", "log."),
    "syslog": (
        r"<\d+>1 (?:\S+ ){4}(?P<stream>\S+) - (?P<log>.*)",
        "<134>1 2026-02-01T10:00:00Z host app 7 ID47 - {}",
        "log.",
    ),
}


@pytest.mark.parametrize("kind", PATTERNS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_that_a_pattern_parts(stage: Stage, kind: str, end: str) -> None:
    pattern, line, before = PATTERNS[kind]
    columns = {name: before + name for name in ("event_time", "feature", "status")} | {"country": "stream"}
    events = [json.dumps({"event_time": T, "feature": f'"f", {n}', "status": "ok"}) for n in range(3)]
    lines = [*(line.format(event) for event in events), "Traceback:", "", line.format("no JSON")]
    staged = stage.load(
        end.join(lines), landing_path="web/a.log", sources=source(columns=columns, csv={"pattern": pattern})
    )
    stream = {"kubernetes": "stdout", "syslog": "ID47"}[kind]
    missing = ["missing_event_time", "missing_feature", "missing_status"]
    assert stage.rows("line_number", "feature", "country", "reasons") == [
        *((n + 1, f'"f", {n}', stream, None) for n in range(3)),
        (4, None, None, MALFORMED),
        (6, None, stream, missing),
    ]
    assert (staged.rows, staged.good_rows) == (5, 3)


def test_lines_of_json_behind_other_text_say_how_they_are_read(stage: Stage) -> None:
    with pytest.raises(FileRejected, match="JSON behind other text are parted by a `pattern` under `csv`"):
        stage.load(f'2026-02-01 stdout F {{"event_time": "{T}", "feature": "a"}}\n')


def test_groups_of_a_pattern_may_be_absent(stage: Stage) -> None:
    pattern = r'ts=(?P<event_time>\S+)(?:.* f="(?P<feature>[^"]*)")?(?:.* st=(?P<status>\w+))?.*'
    staged = stage.load(
        f'ts={T} level=info f="my cart" st=ok took=5\nts={T} level=debug\n{{"ts": 1}}\n',
        landing_path="web/a.log",
        sources=source(csv={"pattern": pattern}),
    )
    assert stage.rows("feature", "status", "reasons") == [
        ("my cart", "ok", None),
        (None, None, ["missing_feature", "missing_status"]),
        (None, None, MALFORMED),
    ]
    assert staged.rows == 3


@pytest.mark.parametrize(("pattern", "message"), [("(", "is no regular expression"), ("(a)", "has no named group")])
def test_patterns_that_part_nothing_are_told(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        source(csv={"pattern": pattern})


def test_values_beyond_the_last_column_may_be_let_go(stage: Stage) -> None:
    of = source(csv={"header": ["event_time", "feature", "status"], "ignore_more": True})
    staged = stage.load(f"{ROW}\n{ROW},more,and more\n{T},x\n", landing_path="web/a.csv", sources=of)
    assert stage.rows("reasons") == [None, None, MALFORMED]
    assert staged.good_rows == 2


# --- Logs of web servers ----------------------------------------------------------------------------------------------

COMBINED = (
    '192.0.2.1 - frank [01/Feb/2026:11:00:00 +0100] "GET /pay?x=1 HTTP/1.1" 200 2326 "https://x.org/" "Mozilla/5.0"\n'
    '192.0.2.2 - - [01/Feb/2026:10:00:00 +0000] "POST /pay HTTP/1.1" 502 0 "-" "curl/8 \\"x\\" [y]"\n'
    '192.0.2.3 - - [01/Feb/2026:10:00:00 +0000] "\\x16\\x03" 400 0 "-" "-"\n'
    "cut off - -\n"
)
ALB = (
    "https 2026-02-01T10:00:00.186641Z app/my-lb/50dc6c495c0c9188 192.0.2.1:2817 10.0.0.1:80 "
    "0.086 0.048 0.037 200 200 0 57 "
    '"GET https://www.example.org:443/pay?x=1 HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 '
    'arn:aws:elasticloadbalancing:us-east-2:1:targetgroup/t/7 "Root=1-58337281" "www.example.org" "arn:aws:acm:x" 1 '
    '2026-02-01T09:59:59.364000Z "authenticate,forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_1\n'
)
CLOUDFRONT = (
    "#Version: 1.0\n"
    "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status time-taken\n"
    "2026-02-01\t10:00:00\tFRA2\t100\t192.0.2.0\tGET\texample.org\t/a\t200\t0.011\n"
    "2026-02-01\t10:00:00\tFRA2\t100\t192.0.2.0\tGET\texample.org\t/b\t000\t-\n"
)


def test_nginx(stage: Stage) -> None:
    staged = stage.load(COMBINED, landing_path="nginx/access.log")
    assert (staged.source, staged.rows, staged.good_rows) == ("nginx", 4, 2)
    assert stage.rows("event_time", "feature", "event_name", "user_id", "status", "reasons") == [
        (AT, "/pay", "GET", "frank", "ok", None),
        (AT, "/pay", "POST", None, "crash", None),
        (AT, None, "use", None, "error", ["missing_feature"]),
        (None, None, None, None, None, MALFORMED),
    ]
    assert '"http_user_agent":"curl/8 \\"x\\" [y]"' in stage.rows("properties")[1]


def test_alb(stage: Stage) -> None:
    stage.load(ALB + ALB.replace(" 0.048 ", " -1 ").replace(" 200 200 ", " 504 - "), landing_path="alb/a.log")
    assert stage.rows("feature", "event_name", "status", "latency_ms", "reasons") == [
        ("/pay", "GET", "ok", 48.0, None),
        ("/pay", "GET", "crash", None, None),
    ]


def test_cloudfront(stage: Stage) -> None:
    staged = stage.load(CLOUDFRONT, landing_path="cloudfront/E1.2026-02-01-10.abc")
    assert stage.rows("line_number", "event_time", "feature", "status", "latency_ms") == [
        (3, AT, "/a", "ok", 11.0),
        (4, AT, "/b", "error", None),
    ]
    assert staged.absent_columns == ("event_id",)


def test_iis(stage: Stage) -> None:
    fields = "#Fields: date time s-ip cs-method cs-uri-stem cs-username c-ip sc-status sc-substatus time-taken\n"
    head = "#Software: Microsoft Internet Information Services 10.0\n#Date: 2026-02-01 10:00:00\n" + fields
    row = "2026-02-01 10:00:00 10.0.0.1 GET /pay {} 192.0.2.1 {} 0 {}\n"
    rows = [row.format("ann", 200, 123), head, row.format("-", 503, 15)]
    staged = stage.load("".join([head, *rows]), landing_path="iis/u_ex260201.log")
    assert (staged.rows, staged.absent_columns) == (2, ())
    assert stage.rows("line_number", "event_time", "feature", "user_id", "status", "latency_ms") == [
        (4, AT, "/pay", "ann", "ok", 123.0),
        (8, AT, "/pay", None, "crash", 15.0),
    ]


def test_zeek(stage: Stage) -> None:
    head = "#separator \\x09\n#set_separator\t,\n#path\tconn\n#fields\tts\tid.orig_h\tservice\tduration\n"
    head += "#types\ttime\taddr\tstring\tinterval\n"
    of = source(
        columns={
            "event_time": {"from": "ts", "unit": "s"},
            "feature": "service",
            "user_id": "id.orig_h",
            "status": {"constant": "ok"},
            "latency_ms": {"from": "duration", "unit": "s"},
        },
        null_values=["-"],
    )
    rows = "1769940000.5\t192.0.2.1\tdns\t0.012\n1769940000\t192.0.2.2\thttp\t-\n#close\t2026-02-01-11-00-00\n"
    staged = stage.load(head + rows, landing_path="web/conn.log", sources=of)
    assert (staged.rows, staged.good_rows) == (2, 2)
    assert stage.rows("line_number", "event_time", "feature", "user_id", "latency_ms") == [
        (6, AT + timedelta(milliseconds=500), "dns", "192.0.2.1", 12.0),
        (7, AT, "http", "192.0.2.2", None),
    ]


def test_times_without_a_year_have_that_of_their_folder(stage: Stage) -> None:
    of = source(
        columns={
            "event_time": {"from": ["year", "t"], "format": "%Y%b %d %H:%M:%S", "zone": "UTC"},
            "feature": "program",
            "status": {"constant": "ok"},
        },
        csv={"pattern": r"^(?P<t>\w{3} +\d+ [\d:]{8}) \S+ (?P<program>\w+)\[\d+\]: .*$"},
    )
    lines = "Feb  1 10:00:00 host sshd[2]: Invalid user x\nFeb 11 10:00:00 host sshd[2]: again\n"
    stage.load(lines, landing_path="web/year=2026/auth.log", sources=of)
    assert stage.rows("event_time", "feature") == [(AT, "sshd"), (AT + timedelta(days=10), "sshd")]


def test_a_w3c_log_may_say_its_columns_again_but_no_others(stage: Stage) -> None:
    fields = CLOUDFRONT.splitlines(keepends=True)
    staged = stage.load("".join(fields) + fields[1] + fields[2], landing_path="cloudfront/a")
    assert staged.good_rows == 3
    changed = fields[1].replace(" sc-bytes", "")
    with pytest.raises(FileRejected, match="from line 5 on it has other columns; split it there"):
        stage.load("".join(fields) + changed + fields[2], landing_path="cloudfront/b", file_id="f2")


def test_a_w3c_log_elsewhere_is_refused_by_its_columns(stage: Stage) -> None:
    with pytest.raises(FileRejected, match="needs event_time, feature, status; the file has date, time, x-edge"):
        stage.load(CLOUDFRONT, landing_path="cloudfront.log")


@given(
    st.lists(
        st.text(alphabet=st.characters(codec="utf-8", exclude_characters=' "[]\\\r\n'), min_size=1, max_size=5),
        min_size=1,
        max_size=6,
    ),
    st.data(),
)
def test_bracketed_fields_come_back(values: list[str], data: st.DataObject) -> None:
    wraps = [data.draw(st.sampled_from(["{}", "[{}]", '"{}"', '"{} [x]"', '"\\"{}"'])) for _ in values]
    line = " ".join(wrap.replace("{}", value) for wrap, value in zip(wraps, values, strict=True))
    inner = {"{}": "{}", "[{}]": "{}", '"{}"': "{}", '"{} [x]"': "{} [x]", '"\\"{}"': '"{}'}
    expected = [inner[wrap].replace("{}", value) for wrap, value in zip(wraps, values, strict=True)]
    assert split_bracketed(line, " ", '"') == expected


@pytest.mark.parametrize("line", ['"open', "[open", '"a"b', "[a]b c"])
def test_broken_brackets_and_quotes(line: str) -> None:
    with pytest.raises(BrokenQuoteError):
        split_bracketed(line, " ", '"')


# --- Names that are there twice, or in the path -----------------------------------------------------------------------


@pytest.mark.parametrize("second", ["status", "STATUS"])
def test_two_columns_that_could_be_one_are_told(stage: Stage, second: str) -> None:
    first = "status" if second == "status" else "Status"
    with pytest.raises(FileRejected, match=rf"could be 'status' .* number 3 \({first}\) and number 4 \({second}\)"):
        stage.load(f"event_time,feature,{first},{second}\n{ROW},crash\n")


def test_columns_that_nobody_maps_may_be_there_twice(stage: Stage) -> None:
    assert stage.load(f"{HEADER},x,x\n{ROW},1,2\n").good_rows == 1
    # The exact name is what the source maps.
    assert stage.load(f"{HEADER},Status\n{ROW},crash\n", file_id="f2").good_rows == 1


def test_parquet_columns_that_are_there_twice(stage: Stage) -> None:
    path = stage.folder / "a.parquet"
    names = [*HEADER.split(","), "status"]
    pq.write_table(pa.table([pa.array([value]) for value in (T, "search", "ok", "crash")], names=names), path)
    with pytest.raises(FileRejected, match=r"number 3 .* and number 4"):
        stage.stage(path)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_folders_are_columns(stage: Stage, kind: str) -> None:
    path = stage.folder / "part-0"
    if kind == "parquet":
        pq.write_table(pa.table({"event_time": [T, "never"], "status": ["ok", "ok"], "user_id": ["u", "u"]}), path)
    elif kind == "csv":
        path.write_text(f'event_time,status,user_id\n{T},ok,u\n"open,ok,u\nnever,ok,u\n', encoding="utf-8")
    else:
        path.write_text(
            "".join(f'{{"event_time": "{time}", "status": "ok", "user_id": "u"}}\n' for time in (T, "never")),
            encoding="utf-8",
        )
    folders = "events/dt=2026-02-01/feature=se%20arch/user_id=other/country=__HIVE_DEFAULT_PARTITION__"
    stage.stage(path, landing_path=f"{folders}/part-0")
    rows = stage.rows("feature", "user_id", "country", "reasons")
    assert rows[0] == ("se arch", "u", None, None)
    assert rows[-1] == ("se arch", "u", None, ["invalid_event_time"])
    assert len(rows) == (3 if kind == "csv" else 2)


def test_a_header_that_comes_again_is_known_beside_columns_of_the_path(stage: Stage) -> None:
    stage.load(f"event_time,status\n{T},ok\nevent_time,status\n", landing_path="feature=a/log.csv")
    assert stage.rows("reasons") == [None, ["repeated_header"]]


def test_markers_of_spark_are_no_logs(tmp_path: Path) -> None:
    events = tmp_path / "out" / "events"
    names = [
        "_SUCCESS",
        "_committed_123",
        "_started_123",
        "part-0.csv",
        ".part-0.csv.crc",
        "part-0.crc",
        "_metadata",
        "desktop.ini",
    ]
    for name in (*names, "_temporary/0/part-1.csv", "_delta_log/0.json"):
        (events / name).parent.mkdir(parents=True, exist_ok=True)
        (events / name).write_text(f"{HEADER}\n{ROW}\n", encoding="utf-8")
    placed, ignored = place([tmp_path / "out"], tmp_path / "landing")
    assert placed == ["out/events/part-0.csv"]
    assert ignored == []
    assert [file.name for file in scan(tmp_path / "out")[0]] == ["events/part-0.csv"]


def test_parquet_text_without_its_mark(stage: Stage) -> None:
    path = stage.folder / "a.parquet"
    data = {"event_time": [T.encode()] * 2, "feature": ["Über".encode(), b"\xff"], "status": [b"ok"] * 2}
    pq.write_table(pa.table(data), path)
    stage.stage(path)
    assert stage.rows("feature", "reasons") == [("Über", None), ("\\xFF", None)]


def test_parquet_values_out_of_range_of_a_column_that_nobody_maps(stage: Stage) -> None:
    path = stage.folder / "a.parquet"
    late = pa.array([9_200_000_000_000_000_000, 0], pa.timestamp("ms"))
    table = pa.table({"event_time": [T, "never"], "feature": ["a", "b"], "status": ["ok", "ok"], "odd": late})
    pq.write_table(table, path)
    stage.stage(path)
    assert stage.rows("feature", "reasons") == [("a", None), ("b", ["invalid_event_time"])]
    pq.write_table(table.rename_columns(["odd", "feature", "status", "event_time"]), path)
    with pytest.raises(FileRejected, match="its column 'event_time' holds what cannot be read"):
        stage.stage(path, file_id="f2")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_more_columns_than_an_expression_may_be_deep(stage: Stage, kind: str) -> None:
    # Those of DuckDB may be a thousand deep.
    names = [f"x{number}" for number in range(1100)]
    if kind == "csv":
        more = "," * len(names)
        text = f"{HEADER},{','.join(names)}\n{ROW}{more}\n{T},,ok{more}\n"
        staged = stage.load(text)
    else:
        data = {"event_time": [T] * 2, "feature": ["a", None], "status": ["ok"] * 2, **{name: [1, 2] for name in names}}
        pq.write_table(pa.table(data), stage.folder / "a.parquet")
        staged = stage.stage(stage.folder / "a.parquet")
    assert (staged.rows, staged.good_rows) == (2, 1)


@given(
    before=st.lists(st.sampled_from(["# c", "", "title", "a;b"]), max_size=3),
    rows=st.lists(st.sampled_from([ROW, "# c", "bad", f"{T},,ok", f"{ROW},more", '"', ""]), max_size=6),
)
@settings(max_examples=dear(25))
def test_rows_in_are_valid_or_quarantined(before: list[str], rows: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        content = "\n".join([*before, HEADER, *rows]) + "\n"
        staged = stage.load(content, landing_path="web/a.csv", sources=source(csv={"comment": "#"}))
        records = [row for row in rows if row and row != "# c"]
        assert staged.rows == len(records) == len(stage.rows("line_number"))
        assert staged.good_rows == records.count(ROW) == stage.rows("reasons").count(None)
        stage.close()


ZEROS_BEFORE = {
    "a.jsonl": 2 * f'{{"event_time": "{T}", "feature": "search", "status": "ok", "user_id": "ä"}}\n',
    "b.csv": f"{HEADER}\n{ROW}\n{ROW}\n",
}


@pytest.mark.parametrize("name", ZEROS_BEFORE)
@pytest.mark.parametrize("zeros", [64, 70_000, 600_000])
def test_a_log_that_was_cut_to_nothing_while_it_was_written_is_read_behind_its_zeros(
    stage: Stage, zeros: int, name: str
) -> None:
    staged = stage.load(bytes(zeros) + ZEROS_BEFORE[name].encode(), name)
    assert (staged.rows, staged.good_rows) == (2, 2)
    assert stage.rows("line_number") == ([1, 2] if name == "a.jsonl" else [2, 3])


def test_zeros_in_the_midst_of_a_log_are_of_one_line(stage: Stage) -> None:
    staged = stage.load(f"{HEADER}\n{ROW}\n".encode() + bytes(5000) + f"{ROW}\n{ROW}\n".encode())
    assert (staged.rows, staged.good_rows, stage.rows("line_number", "reasons")[1]) == (
        3,
        2,
        (3, ["nul_byte", "invalid_event_time"]),
    )


@pytest.mark.parametrize("content", [bytes(70_000), bytes(5000) + bytes(range(256)) * 40])
def test_zeros_alone_and_before_what_is_no_text_are_binary(stage: Stage, content: bytes) -> None:
    with pytest.raises(FileRejected, match="binary data"):
        stage.load(content)
