"""Whether features are used, finished, come back for and worth it: SQL of the impact tables, and what it says."""
