from __future__ import annotations

import math

import numpy as np
import pytest

from edgesr.errors import UsageError
from edgesr.schedule import noise_field
from edgesr.schedule.noise import LARGEST_SEED

# "philox4x64 10" of tests/kat_vectors of Random123, commit 9545ff6: counter, key, result.
KNOWN = [
    (
        "0000000000000000 0000000000000000 0000000000000000 0000000000000000",
        "0000000000000000 0000000000000000",
        "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b",
    ),
    (
        "ffffffffffffffff ffffffffffffffff ffffffffffffffff ffffffffffffffff",
        "ffffffffffffffff ffffffffffffffff",
        "87b092c3013fe90b 438c3c67be8d0224 9cc7d7c69cd777b6 a09caebf594f0ba0",
    ),
    (
        "243f6a8885a308d3 13198a2e03707344 a4093822299f31d0 082efa98ec4e6c89",
        "452821e638d01377 be5466cf34e90c6c",
        "a528f45403e61d95 38c72dbd566e9788 a5a1610e72fd18b5 57bd43b5e52b7fe6",
    ),
]


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x64-10 in Python's own integers."""
    a, b, c, d = counter
    first, second = key
    for _ in range(10):
        low, high = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
        a, b, c, d = (high >> 64) ^ b ^ first, high % 2**64, (low >> 64) ^ d ^ second, low % 2**64
        first, second = (first + 0x9E3779B97F4A7C15) % 2**64, (second + 0xBB67AE8584CAA73B) % 2**64
    return [a, b, c, d]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_the_generator_of_the_oracle_gives_the_known_answers_of_its_authors(counter, key, result):
    numbers = [[int(word, 16) for word in text.split()] for text in (counter, key, result)]
    assert philox(*numbers[:2]) == numbers[2]


def plain(seed: int, stream: int, channel: int, y: int, x: int, sample: int = 0) -> float:
    """The documented formula for one element, in Python's own integers and floats."""
    i, j = y % 32, x % 32
    k = 32 * (i % 16) + j
    counter = [128 * channel + 1 + k // 4, x // 32 % 2**64, y // 32 % 2**64, stream + 2**32 * sample]
    word = philox(counter, [seed, 0])[k % 4]
    radius, angle = ((2 * (half >> 9) + 1) / 2**24 for half in (word % 2**32, word >> 32))
    wave = math.sin if i >= 16 else math.cos
    return math.sqrt(-2 * math.log(radius)) * wave(2 * math.pi * angle)


@pytest.mark.parametrize("seed", [0, 1234, LARGEST_SEED])
@pytest.mark.parametrize(("top", "left"), [(-1, -5), (14, 27)])
def test_every_element_is_the_documented_function_of_seed_and_place(seed, top, left):
    field = noise_field(seed, 3, (2, 4, 9), top=top, left=left, sample=7)
    for channel, y, x in np.ndindex(field.shape):
        assert field[channel, y, x] == pytest.approx(plain(seed, 3, channel, y + top, x + left, 7), rel=1e-6, abs=3e-6)


def test_numbers_recorded_once_are_drawn_again():
    field = noise_field(42, 0, (1, 1, 4))
    assert field.dtype == np.float32
    assert field.ravel().tolist() == pytest.approx([0.660362005, 0.530746996, 0.237976194, -0.966424525], rel=1e-6)


def test_windows_are_cut_from_one_field():
    whole = noise_field(5, 1, (3, 40, 50), top=-8, left=-8)
    for top, left, height, width in ((0, 0, 8, 8), (-8, -8, 1, 1), (3, 5, 29, 37), (31, 41, 1, 1), (-3, 1, 5, 2)):
        window = noise_field(5, 1, (3, height, width), top=top, left=left)
        assert np.array_equal(window, whole[:, top + 8 :, left + 8 :][:, :height, :width])


def test_seed_stream_sample_and_channel_each_give_other_noise():
    fields = [
        noise_field(1, 0, (2, 64, 64)), noise_field(2, 0, (2, 64, 64)), noise_field(1 + 2**32, 0, (2, 64, 64)),
        noise_field(1, 1, (2, 64, 64)), noise_field(1, 0, (2, 64, 64), sample=1),
    ]  # fmt: skip
    rows = np.concatenate([field.reshape(2, -1) for field in fields])
    correlation = np.corrcoef(rows) - np.eye(len(rows))
    assert np.abs(correlation).max() < 5 / 64


def test_the_noise_is_white_and_normal():
    field = noise_field(9, 0, (4, 512, 512)).astype(np.float64)
    count = field.size
    assert abs(field.mean()) < 4 / count**0.5
    assert abs(field.var() - 1) < 4 * (2 / count) ** 0.5
    assert abs((field**3).mean()) < 4 * (15 / count) ** 0.5
    assert abs((field**4).mean() - 3) < 4 * (96 / count) ** 0.5
    for dy, dx in ((0, 1), (1, 0), (0, 2), (0, 4), (1, 1)):
        product = field[:, dy:, dx:] * field[:, : 512 - dy, : 512 - dx]
        assert abs(product.mean()) < 4.5 / count**0.5
    below = np.sort(field.ravel())[:: count // 64]
    expected = [0.5 * (1 + math.erf(value / math.sqrt(2))) for value in below]
    assert np.abs(np.array(expected) - np.arange(len(below)) / 64).max() < 2 / count**0.5 + 1e-3


@pytest.mark.parametrize("seed", [-1, LARGEST_SEED + 1])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(UsageError, match=f"seed must be 0 to 18446744073709551615, got {seed}"):
        noise_field(seed, 0, (1, 2, 2))


def test_a_sample_out_of_range_is_refused():
    with pytest.raises(UsageError, match="at most 65536 samples"):
        noise_field(0, 0, (1, 2, 2), sample=65536)
