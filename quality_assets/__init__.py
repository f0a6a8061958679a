"""Product-feature quality analytics as a Dagster asset graph.

Rooms: `defs/` holds every Dagster object and nothing else; `domain/` holds pure functions; `contracts/` says what
each table is; `warehouse/` is the only place that opens files and databases. Only `defs/`, `definitions.py` and
`cli.py` may import dagster.
"""
