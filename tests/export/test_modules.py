"""Modules of every form that makers hand over, and what is refused of them."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("PIL")

from torch import nn  # noqa: E402

import export  # noqa: E402
from edgesr.errors import UsageError  # noqa: E402
from export.exporting.modules import plain  # noqa: E402
from export.say import reminding  # noqa: E402


class Gives(nn.Module):
    """Returns whatever a function makes of the picture."""

    def __init__(self, make) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)
        self.make = make

    def forward(self, image):
        return self.make(self.layer(image))


class Wrapped(nn.Module):
    """Stands for what torch.compile returns."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._orig_mod = module


Wrapped.__name__ = "OptimizedModule"


def test_what_is_wrapped_is_found() -> None:
    network = nn.Conv2d(3, 3, 3)
    assert plain(Wrapped(nn.DataParallel(network))) is network
    assert plain(network) is network


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda y: {"image": y, "map": y}, "gives a dict with 'image', 'map'; wrap it in a module that returns"),
        (lambda y: None, "gives a NoneType"),
        (lambda y: (y, [y, y]), "result 1 of the network is a list, not a tensor"),
        (lambda y: (y, y.mean()), r"gives 2 results \(\[.*\], \[\]\), but 1 names are given \(image\)"),
        (lambda y: y.mean((2, 3)), r"makes \[1, 3\] of a picture \[1, 3, 16, 16\]; its first result must be a picture"),
        (lambda y: (y * 255).to(torch.uint8), "image is uint8; return float32, not rounded"),
        (lambda y: y + torch.rand_like(y), "image differs from run to run .* random numbers; give it constants"),
    ],
    ids=["dict", "none", "nested", "unnamed", "scores", "rounded", "random"],
)
def test_results_that_a_package_cannot_hold_are_refused(make, words, tmp_path) -> None:
    with pytest.raises(UsageError, match=words):
        export.package(Gives(make).eval(), tmp_path / "x.edgesr", size=(16, 16))
    assert not (tmp_path / "x.edgesr").exists()


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (nn.Conv2d(3, 3, 1).half(), r"weight is float16; call network\.float\(\) before the export"),
        (nn.Conv2d(3, 3, 1).to(torch.bfloat16), "weight is bfloat16; call"),
        (nn.Conv2d(3, 3, 1, device="meta"), r"weight lies on meta; call network\.cpu\(\)"),
        (nn.Bilinear(3, 3, 3), r"takes input1, input2; edgesr gives it the picture alone"),
        (Gives(torch.relu), r"is in training mode; call network\.eval\(\)"),
        ({"weight": torch.zeros(1)}, r"must be a torch\.nn\.Module, got dict"),
    ],
    ids=["half", "bfloat16", "elsewhere", "two inputs", "training", "weights"],
)
def test_modules_of_another_kind_are_refused(network, words, tmp_path) -> None:
    with pytest.raises(UsageError, match=words):
        export.package(network, tmp_path / "x.edgesr")


def test_weight_norm_and_buffers_of_integers_become_constants(tmp_path) -> None:
    network = Gives(lambda y: y)
    network.layer = nn.Sequential(
        torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3, padding=1)),
        torch.nn.utils.parametrizations.spectral_norm(nn.Conv2d(8, 3, 3, padding=1)),
    )
    network.register_buffer("order", torch.tensor([2, 0, 1]))
    network.make = lambda y: y[:, network.order]
    package = export.package(network.eval(), tmp_path / "x.edgesr", size=(16, 16))
    assert max(row["relative"] for row in package.descriptor.quality) < 1e-5


@pytest.mark.parametrize("expects", [{"range": "0..1"}, {"range": [0]}, {"range": 3}, [0, 1]])
def test_a_range_that_is_none_is_refused(expects, tmp_path) -> None:
    with pytest.raises(UsageError, match=r"input\.range must be two numbers|input must be an object"):
        export.package(nn.Conv2d(3, 3, 1).eval(), tmp_path / "x.edgesr", {"input": expects})


def test_a_step_that_takes_long_says_so() -> None:
    said: list[str] = []
    with reminding(said.append, "exporting", every=0.01):
        while not said:
            pass
    assert said[0] == "exporting, 0 s so far"
