"""Checkpoints as strangers write them: containers, prefixes, other keys, and files that are no weights."""

from __future__ import annotations

import pickle
from argparse import Namespace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("PIL")

from edgesr.errors import ModelError, UsageError  # noqa: E402
from export.exporting.weights import TASK_CONTAINERS, TASK_WRAPPERS, load_into, read_weights  # noqa: E402
from tests.export.seeded import seeded  # noqa: E402

NETWORK = seeded(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)))
STATE = NETWORK.state_dict()


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (STATE, "the file itself"),
        ({"params": {"0.weight": torch.zeros(1)}, "params_ema": STATE}, "params_ema"),
        ({"state_dict": {f"module.{name}": t for name, t in STATE.items()}}, "state_dict"),
        ({"model": {"state_dict": STATE}, "epoch": 3}, "model.state_dict"),
        ({f"_orig_mod.module.{name}": t for name, t in STATE.items()}, "the file itself"),
        (
            {f"generator.{name}": t for name, t in STATE.items()} | {"discriminator.0.weight": torch.zeros(2)},
            "the file itself",
        ),
        ({"ema": {"module": STATE}, "optimizer": {"state": {}}}, "ema.module"),
        ({"n_averaged": torch.tensor(7)} | {f"module.{name}": t for name, t in STATE.items()}, "the file itself"),
    ],
    ids=[
        "plain",
        "ema first",
        "DataParallel",
        "nested",
        "compiled",
        "whole GAN",
        "nested average",
        "averaged",
    ],
)
def test_weights_are_found_in_every_container(content: object, place: str, tmp_path: Path) -> None:
    state, found = read_weights(saved(tmp_path / "w.pth", content))
    assert found == place
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[name], STATE[name]) for name in STATE)


@pytest.mark.parametrize("prefix", ["net_cls.", "model.", "module.net_det.", "net."])
def test_prefixes_of_label_networks_are_removed_from_them_alone(prefix: str, tmp_path: Path) -> None:
    content = {f"{prefix}{name}": t for name, t in STATE.items()} | {"net_sr.0.weight": torch.zeros(2)}
    if prefix.startswith("module."):
        content["module.net_sr.0.weight"] = content.pop("net_sr.0.weight")
    path = saved(tmp_path / "w.pth", {"state_dict": content})
    state, _ = read_weights(path, containers=TASK_CONTAINERS, wrappers=TASK_WRAPPERS)
    assert state.keys() == STATE.keys()
    assert read_weights(path)[0].keys() == {"0.weight"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_other_precisions_become_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    state, _ = read_weights(saved(tmp_path / "w.pth", {"0.weight": torch.ones(3).to(dtype)}))
    assert torch.equal(state["0.weight"], torch.ones(3))


def test_lightnings_attribute_is_removed_and_a_list_of_layers_called_model_kept(tmp_path: Path) -> None:
    content = {"state_dict": {"model.conv_first.weight": torch.zeros(1), "loss.weight": torch.zeros(1)}, "epoch": 1}
    assert read_weights(saved(tmp_path / "w.ckpt", content))[0].keys() == {"conv_first.weight"}
    partial = {"head.weight": torch.zeros(1), "model.body.weight": torch.zeros(1)}
    assert read_weights(saved(tmp_path / "w.pth", partial))[0].keys() == partial.keys()
    state = {f"model.{name}": t for name, t in STATE.items()}
    assert read_weights(saved(tmp_path / "w.pth", state))[0].keys() == state.keys()


def test_the_entry_can_be_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", {"student": STATE, "params": {"x": torch.zeros(1)}})
    assert read_weights(path, key="student")[0].keys() == STATE.keys()
    with pytest.raises(UsageError, match=r"--key teacher: .* has student, params"):
        read_weights(path, key="teacher")


def test_safetensors_are_read(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(dict(STATE), tmp_path / "w.safetensors")
    assert read_weights(tmp_path / "w.safetensors")[0].keys() == STATE.keys()
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(ModelError, match="is no safetensors file"):
        read_weights(tmp_path / "broken.safetensors")


class Shout:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("save", ["torch", "pickle"])
def test_code_in_a_checkpoint_is_not_run(save: str, tmp_path: Path) -> None:
    content, path = {"params": STATE, "extra": Shout(tmp_path / "ran")}, tmp_path / "w.pth"
    saved(path, content) if save == "torch" else path.write_bytes(pickle.dumps(content))
    reason = r"it holds code \([\w.]*open\), which is not run" if save == "torch" else "nothing else is run"
    with pytest.raises(ModelError, match=f"{reason}; save the weights alone"):
        read_weights(path)
    assert not (tmp_path / "ran").exists()


def test_a_whole_pickled_module_is_refused_by_its_class(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds code \(torch\.nn\.modules\.container\.Sequential\)"):
        read_weights(saved(tmp_path / "w.pth", NETWORK))


def test_a_missing_file_and_an_empty_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        read_weights(tmp_path / "w.pth")
    with pytest.raises(UsageError, match="is a folder; name the file in it"):
        read_weights(tmp_path)
    with pytest.raises(ModelError, match="holds no named tensors"):
        read_weights(saved(tmp_path / "w.pth", {"epoch": 3, "lr": 0.1}))


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"0\.weight has NaN or infinite values"):
        read_weights(saved(tmp_path / "w.pth", STATE | {"0.weight": torch.full((4, 3, 3, 3), torch.nan)}))


def test_keys_that_differ_are_named() -> None:
    wrong = {name: t for name, t in STATE.items() if name != "0.bias"} | {"0.beta": STATE["0.bias"]}
    wrong["0.weight"] = torch.zeros(8, 3, 3, 3)
    with pytest.raises(ModelError) as caught:
        load_into(NETWORK, wrong, source="w.pth", what="a test")
    assert str(caught.value) == (
        "w.pth: these are no weights of a test: 1 missing (0.bias); 1 unknown (0.beta); "
        "1 of another shape (0.weight: [8, 3, 3, 3] instead of [4, 3, 3, 3])"
    )


@pytest.mark.parametrize("kind", ["int8", "complex64"])
def test_weights_of_another_type_are_not_cast(kind: str) -> None:
    wrong = STATE | {"0.weight": STATE["0.weight"].to(getattr(torch, kind))}
    with pytest.raises(ModelError, match=rf"1 of another type \(0\.weight: {kind} instead of float32\)"):
        load_into(NETWORK, wrong, source="w.pth", what="a test")


def test_weights_of_one_family_are_refused_by_another() -> None:
    from export.families import edsr, rrdb
    from export.models.edsr import Edsr
    from export.models.rrdb import Rrdb

    arguments = Namespace()
    with pytest.raises(ModelError, match=r"no weights of an RRDB generator: body\.0\.rdb1\.conv1\.weight is missing"):
        rrdb.build(Edsr(4, blocks=1, channels=8).state_dict(), arguments, "w.pth")
    with pytest.raises(ModelError, match=r"no weights of an EDSR x1: 6 missing \(body\.0\.conv1\.bias, .*unknown"):
        edsr.build(Rrdb(1, channels=8).state_dict(), arguments, "w.pth")
