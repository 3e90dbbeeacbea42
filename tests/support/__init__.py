"""What every family of ``python -m export`` can do, measured: ``python -m tests.support`` writes docs/support.md."""
