"""Benchmarks: what a model costs and what its pictures are worth, measured on the same pictures."""
