"""The collector: events come in by HTTP, are durable before they are acknowledged, and land exactly once."""
