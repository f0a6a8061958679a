"""Building the impact tables: each finds out which of its dates are stale, and makes those anew."""
