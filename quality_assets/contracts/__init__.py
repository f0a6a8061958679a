"""What each table is: columns, types, units, allowed values, key, grain. One module a schema.

Add a table here; DDL, validation, checks, catalog descriptions and API models all derive from it. Keep SQL that
computes tables out: it belongs in `domain/`.
"""
