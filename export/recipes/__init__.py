"""Training recipes, one module per family."""
