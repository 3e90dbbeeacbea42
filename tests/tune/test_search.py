from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgesr
from edgesr.errors import NonFiniteError, UsageError
from edgesr.image import Metadata, Picture, write
from edgesr.image.resample import downscale
from edgesr.model import open_package
from edgesr.pipelines.diffusion import LatentDiffusion
from edgesr.schedule import ScheduleConfig, make_schedule
from edgesr.tune.candidate import CLASS_OF, Candidate, full, packaged
from edgesr.tune.journal import Journal
from edgesr.tune.pairs import Pair, made_pairs
from edgesr.tune.scores import Scorer, Scores
from edgesr.tune.search import Budget, Found, Search
from edgesr.tune.trial import Bench, Trial
from tests.pipelines.diffusion_packages import package

SCHEDULE = {"_class_name": "DDPMScheduler", "num_train_timesteps": 24, "clip_sample": False, "num_inference_steps": 24}
RNG = np.random.default_rng(8)


@pytest.fixture(scope="module")
def diffusion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LatentDiffusion]:
    folder = tmp_path_factory.mktemp("tune")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        with edgesr.load(package(folder, schedule=SCHEDULE), "cpu", threads=1) as pipeline:
            assert isinstance(pipeline, LatentDiffusion)
            yield pipeline


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    found = []
    for index in range(3):
        large = np.kron(RNG.random((6, 6)), np.ones((8, 8)))
        small = large.reshape(12, 4, 12, 4).mean(axis=(1, 3))
        pixels = [np.rint(p * 255).astype(np.uint8)[..., None] for p in (small, large)]
        found.append(Pair(f"{index}.png", *pixels))
    return found


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Journal("facts") as opened:
        yield opened


def trial(evaluations: int, milliseconds: float, *scores: float) -> Trial:
    return Trial(Candidate("ddim", evaluations, "noised", 5), (Scores(*scores),), milliseconds)


def test_the_full_schedule_is_the_package_s_own_sampler_over_all_timesteps(diffusion):
    assert full(diffusion.descriptor) == packaged(diffusion.descriptor)
    truncated = Candidate("euler", 3, "input", 9, samples=2, fidelity=1.0, consistency="off").descriptor(
        diffusion.descriptor
    )
    assert packaged(truncated) == Candidate("euler", 3, "input", 9, None, "off", "oblique", 2, 1.0)
    everything = make_schedule(ScheduleConfig.from_json(full(truncated).descriptor(truncated).schedule, source="it"))
    assert (everything.steps, everything.start, everything.timesteps[0]) == (24, "noise", 23)


@pytest.mark.parametrize("sampler", [name for name in CLASS_OF if name != "resshift"])
def test_a_candidate_written_into_a_package_is_the_schedule_that_was_tried(diffusion, sampler):
    descriptor = Candidate(sampler, 3, "noised", 9).descriptor(diffusion.descriptor)
    own = ScheduleConfig.from_json(diffusion.descriptor.schedule, source="its own")
    tried = make_schedule(own, 3, sampler=sampler, start_timestep=9)
    written = make_schedule(ScheduleConfig.from_json(descriptor.schedule, source="written"))
    np.testing.assert_array_equal(written.rows, tried.rows)
    assert (written.start, written.clip, written.signal) == (tried.start, tried.clip, tried.signal)


def test_clipping_stays_what_it_was_when_the_sampler_changes(diffusion):
    clipped = {"_class_name": "DDPMScheduler", "num_train_timesteps": 24, "num_inference_steps": 24}
    source = replace(diffusion.descriptor, schedule=clipped)
    schedule = Candidate("dpm++2m", 2, "noised", 9).descriptor(source).schedule
    assert make_schedule(ScheduleConfig.from_json(schedule, source="it")).clip == 1.0


def test_a_search_finds_settings_in_its_budget_and_writes_down_each_picture_once(diffusion, pairs, journal):
    planned, done = [], []
    bench = Bench(diffusion, pairs, Scorer(), journal, on_picture=done.append)
    found = Search(bench, Budget(evaluations=2), plan=planned.append).run()
    assert found.reference.candidate.evaluations == 24
    assert all(t.candidate.evaluations <= 2 and len(t.scores) == 3 for t in found.trials)
    assert found.winner is not None
    assert found.winner.mean().misses(found.reference.mean()) == []
    assert found.tried > 30
    assert sum(done) <= sum(planned)
    known = len(journal)
    with Journal("facts") as again:
        assert len(again) == known
        made = []
        pipeline = _Counting(diffusion, made)
        repeated = Search(Bench(pipeline, pairs, Scorer(), again), Budget(evaluations=2)).run()
    assert (repeated, made) == (found, [1])  # nothing but the warm-up
    assert all(any(_beaten(t, f) for f in found.frontier) for t in found.trials if t not in found.frontier)


class _Counting:
    """A pipeline that counts what it makes."""

    def __init__(self, pipeline: LatentDiffusion, made: list[int]) -> None:
        self.descriptor = pipeline.descriptor
        self._pipeline, self._made = pipeline, made

    def as_described(self, *given):
        self._made.append(1)
        return self._pipeline.as_described(*given)


def _beaten(one: Trial, other: Trial) -> bool:
    ours, theirs = one.mean(), other.mean()
    return (
        other.candidate.evaluations <= one.candidate.evaluations and other.milliseconds <= one.milliseconds
        and theirs.psnr >= ours.psnr and theirs.ssim >= ours.ssim and theirs.gmsd <= ours.gmsd
    )  # fmt: skip


def test_what_is_as_good_to_rounding_goes_to_the_cheapest():
    reference = trial(24, 100.0, 30.0, 0.9, 0.1)
    cheap, dear = trial(1, 5.0, 33.0, 0.95, 0.05), trial(3, 9.0, 33.001, 0.95, 0.05)
    assert Found(reference, reference, (dear, cheap), 2).winner is cheap
    assert Found(reference, reference, (dear, cheap), 2).frontier == (cheap, dear)


@pytest.mark.parametrize("scores", [(29.9, 0.95, 0.05), (33.0, 0.89, 0.05), (33.0, 0.95, 0.11)])
def test_what_is_below_the_full_schedule_in_one_score_does_not_win(scores):
    reference = trial(24, 100.0, 30.0, 0.9, 0.1)
    assert Found(reference, reference, (trial(1, 5.0, *scores),), 1).winner is None


def test_a_time_budget_without_room_is_refused_with_what_an_evaluation_takes(diffusion, pairs, journal):
    with pytest.raises(UsageError, match=r"takes less than 0\.001 ms|budget of 0\.001 ms has no room"):
        Search(Bench(diffusion, pairs[:1], Scorer(), journal), Budget(milliseconds=0.001)).run()


def test_a_setting_that_makes_nan_is_left_out_and_not_tried_again(diffusion, pairs, journal):
    class Broken(_Counting):
        def as_described(self, descriptor, pixels):
            self._made.append(1)
            raise NonFiniteError("NaN")

    made: list[int] = []
    bench = Bench(Broken(diffusion, made), pairs, Scorer(), journal)
    assert [bench.run(Candidate("ddim", 1, "noised", 9)) for _ in range(2)] == [None, None]
    assert made == [1]


def test_large_pictures_are_made_small_as_the_package_says(tmp_path, diffusion):
    large = RNG.integers(0, 256, (70, 90, 1), np.uint8)
    write(tmp_path / "a.png", Picture([large], Metadata(format="PNG")))
    (pair,) = made_pairs(diffusion.descriptor, tmp_path, count=5, side=16)
    np.testing.assert_array_equal(pair.large, large[3:67, 13:77])
    expected = np.clip(np.rint(downscale(large[3:67, 13:77].astype(np.float64), 4, "cubic")), 0, 255)
    np.testing.assert_array_equal(pair.small, expected)


def test_a_journal_survives_a_line_that_was_cut_off(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Journal("facts") as journal:
        journal.add("a", {"psnr": 1.0})
        journal.add("b", {})
    with journal.path.open("a") as stream:
        stream.write('["c", {"ps')
    with Journal("facts") as journal:
        assert (journal.get("a"), journal.get("b"), journal.get("c")) == ({"psnr": 1.0}, {}, None)
    with Journal("other facts") as other, Journal("facts", restart=True) as afresh:
        assert len(other) == len(afresh) == 0


def test_the_package_itself_is_not_changed(diffusion):
    assert open_package(diffusion.package.path).descriptor.schedule == SCHEDULE
