"""Memory of the fake GPU: host memory whose address spaces, bounds and lifetimes are enforced."""

from __future__ import annotations

import bisect
import ctypes
import mmap
import os
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FRESH = 0xFF
"""Fills new memory: NaN as float16, float32 and float64, so that what was never written shows."""
FREED = 0xDD
_ALIGNMENT = 256
_QUARANTINE_BYTES = 64 << 20


class ViolationError(Exception):
    """What real CUDA would answer with wrong data or a crash."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


@dataclass
class Allocation:
    """One allocation; ``host`` and ``device`` are its addresses in the two address spaces, None where it has none."""

    kind: str
    size: int
    gpu: int
    host: int | None
    device: int | None
    keeps: Any = field(repr=False)
    is_freed: bool = False

    def __str__(self) -> str:
        return f"{self.size} bytes of {self.kind} memory on GPU {self.gpu}"

    def fill(self, value: int) -> None:
        ctypes.memset(self.host or self.device or 0, value, self.size)


class Memory:
    """All allocations, live and lately freed; addresses are real, so that other libraries can use them."""

    def __init__(self) -> None:
        self._spaces: dict[str, _Space] = {"host": _Space(), "device": _Space()}
        self._live: dict[int, Allocation] = {}
        self._quarantine: deque[Allocation] = deque()
        self._quarantined = 0

    @property
    def live(self) -> list[Allocation]:
        return list(self._live.values())

    def used(self, gpu: int) -> int:
        return sum(a.size for a in self.live if a.gpu == gpu and a.kind == "device")

    def allocate(self, kind: str, size: int, gpu: int) -> Allocation:
        self._shrink_quarantine()
        if kind == "device":
            keeps, address = _aligned(size)
            allocation = Allocation(kind, size, gpu, None, address, keeps)
        else:
            keeps, host, device = _mapped_twice(size)
            allocation = Allocation(kind, size, gpu, host, device, keeps)
        allocation.fill(FRESH)
        for name, address in (("host", allocation.host), ("device", allocation.device)):
            if address is not None:
                self._spaces[name].add(address, allocation)
        self._live[allocation.host or allocation.device or 0] = allocation
        return allocation

    def free(self, address: int, kinds: tuple[str, ...]) -> None:
        allocation = self._live.get(address)
        if allocation is None:
            old = next((a for a in self._quarantine if address in (a.host, a.device)), None)
            raise ViolationError(f"double free of {old}" if old else f"free of {address:#x}, which was never allocated")
        if allocation.kind not in kinds:
            raise ViolationError(f"{allocation} was freed by the function for {kinds[0]} memory")
        del self._live[address]
        allocation.fill(FREED)
        allocation.is_freed = True
        self._quarantine.append(allocation)
        self._quarantined += allocation.size

    def starting_at(self, address: int) -> Allocation | None:
        """Return the live allocation that was handed out at ``address``."""
        return self._live.get(address)

    def find(self, space: str, address: int, size: int) -> Allocation | None:
        """Return the live allocation that holds the range in ``space``; None for addresses that are not ours."""
        allocation, start = self._spaces[space].at(address)
        if allocation is None:
            return None
        if allocation.is_freed:
            raise ViolationError(f"use after free of {allocation}", 700)
        if address + size > start + allocation.size:
            raise ViolationError(f"{size} bytes at offset {address - start} are out of bounds of {allocation}")
        return allocation

    def _shrink_quarantine(self) -> None:
        # Not in free: the garbage collector calls that in the middle of a look-up.
        while self._quarantined > _QUARANTINE_BYTES:
            oldest = self._quarantine.popleft()
            self._quarantined -= oldest.size
            self._spaces["host"].remove(oldest.host)
            self._spaces["device"].remove(oldest.device)

    def require(self, space: str, address: int, size: int) -> Allocation:
        allocation = self.find(space, address, size)
        if allocation is None:
            other = "device" if space == "host" else "host"
            hint = f"; it is a {other} address" if self.find(other, address, size) else ""
            raise ViolationError(f"{address:#x} is no {space} address{hint}")
        return allocation


class _Space:
    def __init__(self) -> None:
        self._starts: list[int] = []
        self._by_start: dict[int, Allocation] = {}

    def add(self, start: int, allocation: Allocation) -> None:
        bisect.insort(self._starts, start)
        self._by_start[start] = allocation

    def remove(self, start: int | None) -> None:
        if start is not None:
            self._starts.remove(start)
            del self._by_start[start]

    def at(self, address: int) -> tuple[Allocation | None, int]:
        index = bisect.bisect_right(self._starts, address) - 1
        if index < 0:
            return None, 0
        start = self._starts[index]
        allocation = self._by_start[start]
        # One byte past the end belongs here too, so that overruns are told from foreign addresses.
        return (allocation, start) if address <= start + allocation.size else (None, 0)


def _aligned(size: int) -> tuple[Any, int]:
    block = np.empty(size + 2 * _ALIGNMENT, np.uint8)
    return block, -(-block.ctypes.data // _ALIGNMENT) * _ALIGNMENT


def _mapped_twice(size: int) -> tuple[Any, int, int]:
    """Map the same pages at two addresses, so that host and device addresses cannot be mistaken for each other."""
    file = os.memfd_create("fake-pinned")
    try:
        length = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        os.ftruncate(file, length)
        views = [np.frombuffer(mmap.mmap(file, length), np.uint8) for _ in range(2)]
    finally:
        os.close(file)
    return views, views[0].ctypes.data, views[1].ctypes.data
