"""Statistics that know no product: intervals, discoveries, grading of probabilities."""
