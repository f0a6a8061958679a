"""Events: validation row by row, and SQL of what is computed from them."""
