"""Experiments and lift: who saw what, whether that can be trusted, and what it did."""
