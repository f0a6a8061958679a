"""Models: training, choosing, grading, promoting; what they may not know."""
