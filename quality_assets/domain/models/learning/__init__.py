"""Learning from tables: guards against leaks, held-out rows, candidates over a declared base, intervals, releases."""
