"""What each table, metric, source and model input is. One module a schema, or a part of one.

Add a table here; DDL, validation, checks, catalog descriptions and API models all derive from it. Keep SQL that
computes tables out: it belongs in `domain/`.
"""
