from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import pytest

from edgesr.errors import ModelError
from edgesr.model import Control, ModelDescriptor, SizeRequirements
from edgesr.model.schema import load
from tests.model.samples import document, minimal

MISSING = object()


def changed(*steps: Any) -> dict[str, Any]:
    """A full document with one place changed: keys, then the value (MISSING deletes)."""
    *path, last, value = steps
    result = copy.deepcopy(document())
    place: Any = result
    for key in path:
        place = place[key]
    if value is MISSING:
        del place[last]
    else:
        place[last] = value
    return result


def refusal(data: Any) -> str:
    with pytest.raises(ModelError) as caught:
        ModelDescriptor.from_json(data, source="m/model.json")
    message = str(caught.value)
    assert message.startswith("m/model.json: ")
    assert "\n" not in message
    return message.removeprefix("m/model.json: ")


ESTIMATOR = {
    "kernels": ["cubic", "area"],
    "mean": [0.0] * 16,
    "deviation": [1.0] * 16,
    "weights": [[0.5] * 16, [0.25] * 16],
    "bias": [0.0, 1.0],
}
CLASSES = {"network": {"file": "n.onnx", "sha256": "0" * 64, "inputs": {"image": "x"}, "outputs": {"logits": "y"}}}
ACCEPTED = [
    changed("degradation", {"kernel": "cubic", "estimator": ESTIMATOR}),
    document(),
    minimal(),
    changed("size", "fixed", [32, 64]),
    changed("receptive_field", None),
    changed("uncertainty", None),
    changed("parts", "network", "outputs", "parsing", "maps"),
    changed("golden", None),
    changed("scale", 2.0),
    changed("scale", 64),
    changed("controls", "fidelity", "choices", None),
    changed("version", "2026.11+build-7"),
    changed("description", "Two\nlines, an umlaut \u00e4 and a tab\t."),
    minimal(task="classify", labels=["a", "a"], output_channels=1000, parts=CLASSES),
    minimal(quality=[{"psnr": 1e300, "nested": {"list": [1, None, True, "x"]}}]),
    minimal(files={"golden/a-b_c.1.png": "a" * 64, "LICENSE.txt": "b" * 64}),
]
REFUSED = [
    (changed("schema", MISSING), "schema: is missing"),
    (changed("schema", 0), "schema: must be 1, got 0"),
    (changed("schema", True), "schema: must be 1"),
    (changed("schema", "1"), "schema: must be 1"),
    (changed("name", ""), "name: must be 1 to 64"),
    (changed("name", "a/b"), "name: "),
    (changed("name", "a\n"), "name: "),
    (changed("name", "Upper"), "name: "),
    (changed("name", "a" * 65), "name: "),
    (changed("name", 5), "name: must be a string, got 5"),
    (changed("version", "1 0"), "version: "),
    (changed("version", MISSING), "version: is missing"),
    (changed("task", "restor"), "did you mean 'restore'?"),
    (changed("task", ["restore"]), "task: must be one of"),
    (changed("parts", {}), "parts: must have at least 1 entries, got 0"),
    (changed("parts", {f"p{i}": document()["parts"]["network"] for i in range(65)}), "parts: must have at most 64"),
    (changed("parts", "network", "file", "../network.onnx"), "parts.network.file: must be a relative path"),
    (changed("parts", "network", "file", "/network.onnx"), "parts.network.file: "),
    (changed("parts", "network", "file", "network.png"), "parts.network.file: "),
    (changed("parts", "network", "file", "a\\network.onnx"), "parts.network.file: "),
    (changed("parts", "network", "file", ".hidden/network.onnx"), "parts.network.file: "),
    (changed("parts", "network", "sha256", "0" * 63), "parts.network.sha256: must be 64 lower-case"),
    (changed("parts", "network", "sha256", "A" * 64), "parts.network.sha256: "),
    (changed("parts", "network", "inputs", "image", ""), "parts.network.inputs.image: must be a non-empty line"),
    (changed("parts", "network", "inputs", ["image"]), "parts.network.inputs: must be an object"),
    (changed("parts", "network", "size", 3), "parts.network: unknown key 'size'"),
    (changed("scale", 0), "scale: must be at least 1, got 0"),
    (changed("scale", 65), "scale: must be at most 64, got 65"),
    (changed("scale", 2.5), "scale: must be a whole number, got 2.5"),
    (changed("scale", True), "scale: must be a whole number, got True"),
    (changed("scale", None), "scale: must be a whole number, got None"),
    (changed("input_channels", 5), "input_channels: must be at most 4, got 5"),
    (changed("output_channels", 0), "output_channels: must be at least 1"),
    (changed("input", "colour", "rgb"), "input: unknown key 'colour'; did you mean 'color'?"),
    (changed("input", "color", "red"), "input.color: must be one of grey, y, rgb, bgr"),
    (changed("input", "layout", "CHW"), "input.layout: "),
    (changed("input", "dtype", "int4"), "input.dtype: "),
    (changed("input", "range", [0]), "input.range: must have 2 entries, got 1"),
    (changed("input", "range", [0, "1"]), "input.range[1]: must be a finite number, got '1'"),
    (changed("input", "range", [0, 1e10]), "input.range[1]: must be at most"),
    (changed("input", "std", [0]), "input.std[0]: must be greater than 0"),
    (changed("size", "multiple", 4097), "size.multiple: must be at most 4096"),
    (changed("size", "minimum", 65537), "size.minimum: must be at most 65536"),
    (changed("size", "fixed", [32]), "size.fixed: must have 2 entries"),
    (changed("size", "fixed", [32, 0]), "size.fixed[1]: must be at least 1"),
    (changed("receptive_field", -1), "receptive_field: must be at least 0"),
    (changed("tile", 0), "tile: must be at least 1"),
    (changed("controls", "fidelity", "default", "x"), "controls.fidelity.default: must be a list, got 'x'"),
    (changed("controls", "fidelity", "default", []), "controls.fidelity.default: must have at least 1"),
    (changed("controls", "fidelity", "default", ["x"]), "controls.fidelity.default[0]: "),
    (changed("controls", "fidelity", "default", MISSING), "controls.fidelity.default: is missing"),
    (changed("controls", "fidelity", "minimum", "0"), "controls.fidelity.minimum: must be a finite number or null"),
    (changed("controls", "fidelity", "choices", "a b", [1]), "controls.fidelity.choices: every key must be 1 to 64"),
    (changed("controls", "fidelity", "estimated", 1), "controls.fidelity.estimated: must be true or false"),
    (changed("degradation", {"estimator": {}}), "degradation.estimator.kernels: is missing"),
    (changed("degradation", {"estimator": {**ESTIMATOR, "mean": [0]}}), "degradation.estimator.mean: must have 16"),
    (changed("degradation", {"estimator": {**ESTIMATOR, "deviation": [0] * 16}}), "deviation[0]: must be greater"),
    (changed("uncertainty", "coverage", 1), "uncertainty.coverage: must be less than 1"),
    (changed("uncertainty", "coverage", 0), "uncertainty.coverage: must be greater than 0"),
    (changed("uncertainty", "factor", 0), "uncertainty.factor: must be greater than 0"),
    (changed("uncertainty", "factor", MISSING), "uncertainty.factor: is missing"),
    (changed("uncertainty", "noise", 0.003), "uncertainty.noise: must be an object or null"),
    (
        changed("uncertainty", "noise", "cubic", "growth", -1),
        "uncertainty.noise.cubic.growth: must be at least",
    ),
    (changed("uncertainty", "noise", "cubic", "usual", MISSING), "uncertainty.noise.cubic.usual: is missing"),
    (changed("degradation", "cubic"), "degradation: must be an object or null"),
    (changed("schedule", []), "schedule: must be an object or null"),
    (changed("labels", []), "labels: must have at least 1"),
    (changed("labels", ["a", ""]), "labels[1]: must be a non-empty line"),
    (changed("labels", ["a\x1b[31m"]), "labels[0]: "),
    (changed("golden", "input", "golden/input.exe"), "golden.input: "),
    (changed("files", "model.pkl", "0" * 64), "files: every key must be a relative path"),
    (changed("files", "golden/input.png", ""), "files.golden/input.png: must be 64 lower-case"),
    (changed("description", "bell\x07"), "description: must be text without control characters"),
    (changed("description", "x" * 20001), "description: must have at most 20000 characters"),
    (changed("quality", {"psnr": 3}), "quality: must be a list"),
    (changed("quality", ["good"]), "quality[0]: must be an object"),
    (changed("descriptoin", "typo"), "unknown key 'descriptoin'; did you mean 'description'?"),
    ([], "must be a JSON object"),
]
CONTRADICTORY = [
    (
        changed("degradation", {"estimator": {**ESTIMATOR, "bias": [0]}}),
        "degradation.estimator.bias: must have one entry for each of the 2 kernels, got 1",
    ),
    (
        changed("uncertainty", "noise", "area", {"usual": 0.001, "growth": 3.0}),
        "uncertainty.noise.area: must be a downscaler that degradation names (cubic)",
    ),
    (
        changed("degradation", {"kernel": "area", "also": ["cubic"]}),
        "uncertainty.noise: must have a rule for degradation.kernel 'area'",
    ),
    (changed("controls", "fidelity", "estimated", True), "controls.fidelity.estimated: needs degradation.estimator"),
    (changed("input", "range", [1, 0]), "input.range: must be [low, high] with low below high, got [1, 0]"),
    (changed("output_range", [1, 1]), "output_range: "),
    (changed("input", "mean", [0.5, 0.5]), "input.mean: must have 1 or input_channels = 1 values, got 2"),
    (changed("size", "fixed", [30, 32]), "size.fixed: the height 30 must be a multiple"),
    (changed("size", "fixed", [32, 4]), "size.fixed: the width 4"),
    (changed("controls", "fidelity", "default", [2]), "controls.fidelity.default: must lie in 0 .. 1, got 2"),
    (changed("controls", "fidelity", "minimum", 3), "controls.fidelity.minimum: must not be above the maximum 1"),
    (changed("controls", "fidelity", "choices", {"x": [0, 0]}), "controls.fidelity.choices.x: must have 1 values"),
    (changed("controls", "fidelity", "choices", {"x": [-1]}), "controls.fidelity.choices.x: must lie in"),
    (changed("golden", "input", "golden/other.png"), "golden.input: 'golden/other.png' is not declared in files"),
    (changed("files", "network.onnx", "3" * 64), "files.network.onnx: 'network.onnx' is declared twice"),
    (changed("files", "Golden/Input.png", "1" * 64), "declared twice, with other capitals"),
    (changed("files", "model.json", "1" * 64), "files.model.json: "),
    (changed("input", "color", "rgb"), "input.color: 'rgb' needs input_channels 3 or 4, got 1"),
    (changed("parts", {"main": document()["parts"]["network"]}), "parts: task restore needs a part named 'network'"),
    (changed("parts", "network", "outputs", {"scale": "spread"}), "must name the tensor of role 'image'"),
    (changed("parts", "network", "inputs", "dial", "z"), "parts.network.inputs.dial: must be image, quantum or"),
    (changed("parts", "network", "inputs", "quantum", "image"), "two roles name the same tensor"),
    (changed("controls", "other", {"default": [0]}), "controls.other: parts.network.inputs has no tensor for it"),
    (changed("parts", "network", "outputs", {"image": "upscaled"}), "uncertainty: "),
]


@pytest.mark.parametrize("data", ACCEPTED, ids=range(len(ACCEPTED)))
def test_parser_and_schema_accept_the_same_documents(data: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(load()).validate(data)
    descriptor = ModelDescriptor.from_json(data, source="m")
    assert ModelDescriptor.from_json(descriptor.to_json(), source="m") == descriptor


@pytest.mark.parametrize(("data", "message"), REFUSED, ids=range(len(REFUSED)))
def test_parser_and_schema_refuse_the_same_documents(data: Any, message: str) -> None:
    assert not jsonschema.Draft202012Validator(load()).is_valid(data)
    assert message in refusal(data if isinstance(data, dict) else json.dumps(data))


@pytest.mark.parametrize(("data", "message"), CONTRADICTORY, ids=range(len(CONTRADICTORY)))
def test_contradictory_fields_are_refused(data: dict[str, Any], message: str) -> None:
    assert message in refusal(data)


def test_the_schema_is_valid_and_uses_only_what_the_parser_knows() -> None:
    jsonschema.Draft202012Validator.check_schema(load())
    known = {
        "$schema",
        "$defs",
        "$ref",
        "title",
        "type",
        "const",
        "enum",
        "pattern",
        "maxLength",
        "allOf",
        "if",
        "then",
    }
    known |= {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "items", "minItems", "maxItems", "required"}
    known |= {"properties", "additionalProperties", "propertyNames", "minProperties", "maxProperties"}
    pending = [load()]
    while pending:
        schema = pending.pop()
        if not isinstance(schema, dict):
            continue
        assert set(schema) <= known
        for key, value in schema.items():
            if key in ("properties", "$defs"):
                pending += value.values()
            elif key == "allOf":
                pending += value
            elif key in ("items", "additionalProperties", "propertyNames", "if", "then"):
                pending.append(value)


def test_every_field_of_the_descriptor_is_in_the_schema() -> None:
    assert set(load()["properties"]) == {"schema", *ModelDescriptor.__dataclass_fields__}


def test_a_newer_schema_asks_for_an_update() -> None:
    assert refusal({"schema": 2, "anything": "else"}) == "schema: this edgesr reads version 1, got 2; update edgesr"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ('{"schema": 1, "schema": 1}', "the key 'schema' appears twice"),
        ('{"scale": NaN}', "NaN is not a number"),
        ('{"scale": -Infinity}', "-Infinity is not a number"),
        ('{"scale": 1e999}', "scale: must be a finite number, got inf"),
        ('{"name": "\\ud800"}', "name: '\\ud800' holds a character that UTF-8 cannot write"),
        ('{"\\ud800": 1}', "a key holds a character"),
        ("[" * 100_000, "is nested too deeply"),
        ('{"schedule": ' + '{"a":' * 40 + "1" + "}" * 41, "schedule: is nested more than 32 levels deep"),
        ('{"scale": ' + "9" * 5000 + "}", ""),
        ("null", "must be a JSON object, got None"),
    ],
    ids=range(12),
)
def test_broken_json_is_refused(text: str, message: str) -> None:
    assert message in refusal(text)


def test_json_leaves_out_defaults_and_keeps_a_fixed_order() -> None:
    text = ModelDescriptor.from_json(minimal(), source="m").to_json()
    assert list(json.loads(text)) == [
        "schema", "name", "version", "task", "parts", "scale", "input_channels", "output_channels",
    ]  # fmt: skip
    shuffled = dict(reversed(list(document().items())))
    read = ModelDescriptor.from_json(shuffled, source="m").to_json()
    assert list(json.loads(read)) == [key for key in document() if key not in ("schedule", "output_range")]


def test_values_are_typed_and_tuples() -> None:
    descriptor = ModelDescriptor.from_json(changed("size", "fixed", [32, 64.0]), source="m")
    assert descriptor.size == SizeRequirements(4, 8, (32, 64))
    assert isinstance(descriptor.size.fixed, tuple)
    assert descriptor.input.range == (0.0, 1.0)
    assert descriptor.controls["fidelity"].choices == {"sharp": (0.0,), "faithful": (1.0,)}
    assert descriptor.labels == ("clear", "opaque")


def test_numpy_numbers_can_be_written() -> None:
    descriptor = ModelDescriptor.from_json(minimal(), source="m")
    measured = replace(descriptor, scale=np.int64(3), quality=({"psnr": np.float32(30.5)},))  # type: ignore[arg-type]
    assert ModelDescriptor.from_json(measured.to_json(), source="m").quality == ({"psnr": 30.5},)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, b"bytes"])
def test_values_that_json_cannot_hold_are_refused_when_writing(value: Any) -> None:
    descriptor = replace(ModelDescriptor.from_json(minimal(), source="m"), degradation={"x": value})
    with pytest.raises(ModelError, match="not writable as JSON"):
        descriptor.to_json()


def test_a_control_without_limits_takes_any_default() -> None:
    controls = {"dial": {"default": [-5, 1e6]}}
    part = {**minimal()["parts"]["network"], "inputs": {"image": "image", "dial": "d"}}
    descriptor = ModelDescriptor.from_json(minimal(controls=controls, parts={"network": part}), source="m")
    assert descriptor.controls == {"dial": Control((-5.0, 1e6))}
