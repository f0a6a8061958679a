"""What the files are that telemetry comes in, as YAML says it."""
