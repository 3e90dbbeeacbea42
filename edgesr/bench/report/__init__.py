"""Benchmark documents as people read them: terminal table, Markdown, and one HTML page with plots and pictures."""
