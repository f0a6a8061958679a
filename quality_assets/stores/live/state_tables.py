"""state.db: everything that follows from the log, in the tables of SQLite."""

from __future__ import annotations

from hashlib import md5
from secrets import token_hex
from typing import Any

import apsw

from quality_assets.domain.live.compiler import TILES, tile_types, tiles_ddl
from quality_assets.domain.live.expressions import SQLITE
from quality_assets.domain.live.feature_set import FeatureSet

DAY_US = 86_400_000_000
# A key is remembered for the day that it was received on and so many days before: two days and some.
SEEN_DAYS_BEFORE = 2
# Answers that are held against the lake, the newest ones.
MOST_SERVED = 5_000

EVENT_COLUMNS = (
    "seq", "log_seq", "source", "event_date", "tile", "received_us", "event_id", "event_us", "feature", "event_name",
    "user_id", "session_id", "status", "latency_ms", "latency_us", "feedback_score", "device_type", "platform",
    "app_version", "country", "variant", "properties",
)  # fmt: skip

_DDL = (
    "create table if not exists events (seq integer primary key, log_seq integer, source text, event_date integer,"
    " tile integer, received_us integer, event_id text, event_us integer, feature text, event_name text, user_id text,"
    " session_id text, status text, latency_ms real, latency_us integer, feedback_score real, device_type text,"
    " platform text, app_version text, country text, variant text, properties text)",
    "create table if not exists live_metrics (feature text, tile integer, events integer, errors integer,"
    " crashes integer, timed integer, latency_us integer, primary key (tile, feature)) without rowid",
    "create table if not exists live_latency (hour integer, feature text, bucket integer, n integer,"
    " primary key (hour, feature, bucket)) without rowid",
    "create table if not exists live_users (day integer, feature text, user_id text,"
    " primary key (day, feature, user_id)) without rowid",
    "create table if not exists live_steps (day integer, event_name text, user_id text,"
    " primary key (day, event_name, user_id)) without rowid",
    "create table if not exists live_sources (source text primary key, events integer, duplicates integer,"
    " refused integer, calls integer, last_us integer)",
    "create table if not exists dead_letters (id integer primary key autoincrement, received_us integer, source text,"
    " endpoint text, reasons text, body text, state text not null default 'waiting', replays integer not null"
    " default 0)",
    "create index if not exists dead_letters_by_state on dead_letters (state, id)",
    "create table if not exists exports (batch integer primary key autoincrement, event_date integer,"
    " first_seq integer, last_seq integer, rows integer, name text unique, state text, planned_us integer,"
    " landed_us integer)",
    "create table if not exists served (user_id text, version integer, as_of_us integer, known_us integer,"
    " answer text)",
    "create table if not exists meta (name text primary key, value) without rowid",
)

METRIC_STEPS = (
    "insert into live_metrics (feature, tile, events, errors, crashes, timed, latency_us)"
    " select feature, tile, count(*), count(case when status = 'error' then 1 end),"
    " count(case when status = 'crash' then 1 end), count(latency_us), coalesce(sum(latency_us), 0)"
    " from {events} group by tile, feature on conflict (tile, feature) do update set"
    " events = events + excluded.events, errors = errors + excluded.errors, crashes = crashes + excluded.crashes,"
    " timed = timed + excluded.timed, latency_us = latency_us + excluded.latency_us",
    # Buckets of 2 %: a percentile is known to 1 %.
    "insert into live_latency (hour, feature, bucket, n)"
    " select event_us / 3600000000, feature, cast(floor(ln(max(latency_us, 1)) / ln(1.02)) as integer), count(*)"
    " from {events} and latency_us is not null group by 1, 2, 3"
    " on conflict (hour, feature, bucket) do update set n = n + excluded.n",
    "insert or ignore into live_users select distinct event_date, feature, user_id from {events}"
    " and user_id is not null",
    "insert or ignore into live_users select distinct event_date, '', user_id from {events} and user_id is not null",
    "insert or ignore into live_steps select distinct event_date, event_name, user_id from {events}"
    " and user_id is not null",
)
"""What adds a step's events to today's figures."""


def create_tables(connection: apsw.Connection, features: FeatureSet) -> None:
    """Make what is missing, and columns of aggregates that are new; those have nothing before now."""
    connection.execute("begin immediate")
    for text in (*_DDL, tiles_ddl(features, SQLITE)):
        connection.execute(text)
    there = {row[1] for row in connection.execute(f"pragma table_info({TILES})")}
    for name, type_ in tile_types(features, SQLITE).items():
        if name not in there:
            connection.execute(f"alter table {TILES} add column {name} {type_}")
    connection.execute("insert or ignore into meta values ('store', ?)", (token_hex(3),))
    connection.execute("commit")


def register_functions(connection: apsw.Connection) -> None:
    """What SQLite has no function for."""
    connection.create_scalar_function("md5", _md5, 1, deterministic=True)


def _md5(*texts: Any) -> str:
    return md5(str(texts[0]).encode(), usedforsecurity=False).hexdigest()


def seen_table(day: int) -> str:
    """The table of the keys that were received on a day, counted from 1970."""
    return f"seen_{int(day)}"


def seen_tables(connection: apsw.Connection) -> list[str]:
    """The tables of received keys, oldest first."""
    rows = connection.execute("select name from sqlite_master where type = 'table' and name glob 'seen_[0-9]*'")
    return sorted((row[0] for row in rows), key=lambda name: int(name.partition("_")[2]))
