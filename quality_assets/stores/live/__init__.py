"""What the collector keeps: the log that makes requests durable, and all that follows from it."""
