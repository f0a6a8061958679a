"""Product features: trends, incidents, slices, what needs attention, in numbers and words."""
