"""What is wrong with a table that somebody depends on: its cells, its columns, its rows, beside what it was before."""
