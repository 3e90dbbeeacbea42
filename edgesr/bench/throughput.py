"""Pictures per second with several in work at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import perf_counter

from edgesr.bench.record import Throughput
from edgesr.bench.timing import Clock
from edgesr.errors import UsageError


def measure_throughput(
    run: Callable[[int], object], streams: int, seconds: float, *, pictures: int = 1, clock: Clock = perf_counter
) -> Throughput:
    """Let ``streams`` threads run pictures for ``seconds``; raise what one of them raised.

    Time runs from the common start to the end of the last picture, and every picture that was begun counts.
    """
    if streams < 1:
        raise UsageError(f"the number of streams must be at least 1, got {streams}")
    counts = [0] * streams
    errors: list[BaseException] = []
    begin = [0.0]

    def start() -> None:
        begin[0] = clock()

    ready = threading.Barrier(streams + 1, action=start)

    def work(index: int) -> None:
        try:
            run(index % pictures)
            ready.wait()
            while not errors and clock() - begin[0] < seconds:
                run((index + counts[index] * streams) % pictures)
                counts[index] += 1
        except threading.BrokenBarrierError:
            return
        except BaseException as error:
            errors.append(error)
            ready.abort()

    threads = [threading.Thread(target=work, args=(index,), daemon=True) for index in range(streams)]
    for thread in threads:
        thread.start()
    try:
        ready.wait()
        for thread in threads:
            thread.join()
    except threading.BrokenBarrierError:
        for thread in threads:
            thread.join()
    except BaseException as error:
        errors.append(error)
        raise
    if errors:
        raise errors[0]
    spent = clock() - begin[0]
    return Throughput(sum(counts) / spent, streams, sum(counts), spent)
