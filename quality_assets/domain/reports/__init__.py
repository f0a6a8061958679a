"""Reports for people, as JSON, text and pages."""
