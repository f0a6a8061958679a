"""Daily series: what is expected of each day, what is a change, when it began and ended."""
