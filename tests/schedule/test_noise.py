from __future__ import annotations

import math

import numpy as np
import pytest

from edgesr.errors import UsageError
from edgesr.schedule import noise_field
from edgesr.schedule.noise import LARGEST_SEED, noise_fields, philox

# "philox4x32 10" of tests/kat_vectors of Random123, commit 9545ff6: counter, key, result.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_the_generator_gives_the_known_answers_of_its_authors(counter, key, result):
    found = philox([np.full((2, 3), word, np.uint64) for word in words(counter)], tuple(words(key)))
    for word, expected in zip(found, words(result), strict=True):
        assert np.all(word == expected)


def plain(seed: int, stream: int, channel: int, y: int, x: int, sample: int = 0) -> float:
    """The documented formula for one element, in Python's own integers and floats."""
    c = [(x // 4) % 2**32, y % 2**32, channel + 65536 * sample, stream]
    k = [seed % 2**32, seed // 2**32]
    for _ in range(10):
        low, high = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(high >> 32) ^ c[1] ^ k[0], high % 2**32, (low >> 32) ^ c[3] ^ k[1], low % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    pair = x % 4 // 2 * 2
    radius = math.sqrt(-2 * math.log((c[pair] + 0.5) / 2**32))
    angle = 2 * math.pi * ((c[pair + 1] + 0.5) / 2**32)
    return radius * (math.sin(angle) if x % 2 else math.cos(angle))


@pytest.mark.parametrize("seed", [0, 1234, LARGEST_SEED])
def test_every_element_is_the_documented_function_of_seed_and_place(seed):
    field = noise_field(seed, 3, (2, 3, 9), top=-1, left=-5, sample=7)
    for channel, y, x in np.ndindex(field.shape):
        assert field[channel, y, x] == pytest.approx(plain(seed, 3, channel, y - 1, x - 5, 7), rel=2e-7, abs=1e-9)


def test_numbers_recorded_once_are_drawn_again():
    field = noise_field(42, 0, (1, 1, 4))
    assert field.dtype == np.float32
    assert field.ravel().tolist() == pytest.approx([-0.97018979, 0.194018955, -1.23562074, 1.92392675], rel=1e-6)


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


def test_several_streams_at_once_are_each_of_them():
    fields = noise_fields(7, [0, 3, 9], (2, 5, 6), top=-2, left=3, sample=1)
    for field, stream in zip(fields, (0, 3, 9), strict=True):
        np.testing.assert_array_equal(field, noise_field(7, stream, (2, 5, 6), top=-2, left=3, sample=1))
