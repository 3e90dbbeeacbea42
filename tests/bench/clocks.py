"""A clock that tests drive: work takes the time that it is told to take."""


class StubClock:
    """Seconds that pass only while something runs."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def working(self, milliseconds):
        """Return a run whose n-th call takes ``milliseconds(n)``; n counts all calls from 0."""
        calls = []

        def run(picture):
            spent = milliseconds(len(calls))
            calls.append(picture)
            self.now += spent / 1e3
            return {"compute": spent * 0.75, "end_to_end": spent}

        run.calls = calls
        return run
