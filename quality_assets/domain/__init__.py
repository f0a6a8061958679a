"""Pure functions: SQL text over columns, small frames, numbers. Nothing here imports dagster or opens a file."""
