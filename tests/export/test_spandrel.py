"""Networks of spandrel: called as spandrel does, tiled where sizes are fixed, refused where a picture is not enough."""

from __future__ import annotations

from argparse import Namespace
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("PIL")

from torch import nn  # noqa: E402

from edgesr.errors import AccuracyError, BuildError, ModelError, UsageError  # noqa: E402
from edgesr.model.package import open_package  # noqa: E402
from export.exporting.parity import read_picture  # noqa: E402
from export.families import restoration, spandrel  # noqa: E402
from tests.export.seeded import seeded  # noqa: E402


class Sized(nn.Module):
    """Computes with the height as a number, which a graph of open sides cannot follow."""

    def forward(self, image):
        return image * float(int(image.shape[2]) % 7 + 1)


class Fails(nn.Module):
    """Takes no picture of any size."""

    def forward(self, image):
        raise RuntimeError("shapes cannot be multiplied")


def arguments(folder, **changes) -> Namespace:
    torch.save({"weight": torch.zeros(1)}, folder / "w.pth")
    given = {"weights": folder / "w.pth", "output": folder / "x.edgesr", "target": "any"}
    return Namespace(**{**dict.fromkeys(("key", "name", "descriptor")), **given, **changes})


def test_what_does_not_export_with_open_sides_gets_tiles_by_itself(tmp_path, capsys) -> None:
    built = restoration.Built(Sized(), "a test", tile=(24, 24), is_global=True)
    restoration.execute(arguments(tmp_path), lambda *given: built)
    said = capsys.readouterr().err
    assert "export: no dynamic size: " in said
    assert "export: so the graph is made for tiles of 24 x 24 pixels; others with --tile" in said
    assert "export: the network looks at the whole picture" in said
    assert open_package(tmp_path / "x.edgesr").descriptor.size.fixed == (24, 24)
    built = restoration.Built(Fails(), "a test", tile=(24, 24), channels=3)
    with pytest.raises(ModelError, match=r"does not run at 24 x 24 pixels: shapes cannot be multiplied"):
        restoration.execute(arguments(tmp_path), lambda *given: built)
    built = restoration.Built(Sized(), "a test")
    with pytest.raises((AccuracyError, BuildError), match="fixed"):
        restoration.execute(arguments(tmp_path), lambda *given: built)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("w.pth/x.edgesr", "cannot be written: .*w.pth is no folder that you may write to"),
        ("folder.edgesr", "is a folder; choose another name for the archive"),
        ("pictures", "exists and is not a model package; choose another name"),
        ("x.onnx", r"must end in \.edgesr or \.zip, or name a folder"),
    ],
)
def test_where_nothing_can_be_written_is_told_before_the_work(output, words, tmp_path) -> None:
    (tmp_path / "folder.edgesr").mkdir()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").touch()
    with pytest.raises(UsageError, match=words):
        restoration.execute(arguments(tmp_path, output=tmp_path / output), lambda *given: pytest.fail("began"))


def drunet() -> nn.Module:
    pytest.importorskip("spandrel")
    from spandrel.architectures.DRUNet.__arch.network_unet import DRUNet

    return seeded(DRUNet(in_nc=4, out_nc=3, nc=[8, 8, 16, 16], nb=2))


def test_a_noise_level_is_held_by_the_network() -> None:
    state = drunet().state_dict()
    image = read_picture("astronaut.png", (16, 24), 3)
    found = pytest.importorskip("spandrel").ModelLoader(device="cpu").load_from_state_dict(dict(state))
    with torch.inference_mode():
        usual = spandrel.build(state, Namespace(), "w.pth")
        torch.testing.assert_close(usual.network(image).clamp(0, 1), found(image))
        assert (usual.channels, usual.multiple, usual.tile) == (3, 8, (128, 128))
        strong = spandrel.build(state, Namespace(noise_level=50.0), "w.pth").network
        torch.testing.assert_close(
            strong(image), found.model(torch.cat([image, torch.full_like(image[:, :1], 50 / 255)], 1))
        )
        assert not torch.allclose(strong(image), usual.network(image))
    with pytest.raises(UsageError, match=r"--noise-level must be within 0 \.\. 255, got -1"):
        spandrel.build(state, Namespace(noise_level=-1.0), "w.pth")


def test_of_several_results_the_picture_is_taken_as_spandrel_takes_it() -> None:
    loader = pytest.importorskip("spandrel").ModelLoader(device="cpu")
    from spandrel.architectures.FBCNN.__arch.FBCNN import FBCNN

    state = seeded(FBCNN(nc=[8, 8, 16, 512], nb=2)).state_dict()
    image = read_picture("astronaut.png", (16, 24), 3)
    with torch.inference_mode():
        got = spandrel.build(state, Namespace(), "w.pth").network(image)
        torch.testing.assert_close(got.clamp(0, 1), loader.load_from_state_dict(dict(state))(image))
    with pytest.raises(UsageError, match="--noise-level: FBCNN takes no noise level"):
        spandrel.build(state, Namespace(noise_level=15.0), "w.pth")


@pytest.mark.parametrize(("square", "tile", "size"), [(True, "auto", (128, 128)), (False, "auto", None)])
def test_sides_come_from_what_the_network_needs(square, tile, size, monkeypatch) -> None:
    built = spandrel.build({}, Namespace(tile=tile), found(monkeypatch, purpose="SR", square=square))
    assert (built.size, built.tile) == (size, (128, 128))
    with pytest.raises(UsageError, match=r"--tile must be a multiple of 128, or dynamic, got '64'"):
        spandrel.build({}, Namespace(tile="64"), "w.pth")
    if square:
        with pytest.raises(UsageError, match=r"takes square pictures alone; give --tile 128"):
            spandrel.build({}, Namespace(tile="dynamic"), "w.pth")


def test_networks_for_cut_out_faces_are_refused(monkeypatch) -> None:
    with pytest.raises(ModelError, match=r"w\.pth: Some Net restores aligned faces of 512 x 512 pixels"):
        spandrel.build({}, Namespace(), found(monkeypatch, purpose="FaceSR"))


def found(monkeypatch, *, purpose: str, square: bool = False) -> str:
    """Let spandrel find a network of a purpose that needs sides of multiples of 128."""
    library = pytest.importorskip("spandrel")

    class Found(library.ImageModelDescriptor):
        def __init__(self) -> None:
            self._purpose, self.scale, self.input_channels = purpose, 2, 3
            self._model, self._call_fn = nn.Identity(), lambda model, image: model(image)
            self._architecture = SimpleNamespace(name="Some Net", id="some")
            self.size_requirements = library.SizeRequirements(multiple_of=128, square=square)
            self.tiling = library.ModelTiling.SUPPORTED

    monkeypatch.setattr(library.ModelLoader, "load_from_state_dict", lambda loader, state: Found())
    return "w.pth"
