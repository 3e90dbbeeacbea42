"""Training pictures and degradations."""
