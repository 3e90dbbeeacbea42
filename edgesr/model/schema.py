"""Check plain JSON data against ``model.schema.json``, in the part of draft 2020-12 that this schema uses."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

MAX_DEPTH = 32

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_NOUNS = {
    "object": "an object",
    "array": "a list",
    "string": "a string",
    "number": "a finite number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}
_HINTS = {
    "name": "1 to 64 of a-z 0-9 . _ -, starting with a letter or digit",
    "file": "a relative path of A-Z a-z 0-9 . _ - and /, ending in .onnx .data .json .png .npy .txt .md or .jpg",
    "sha256": "64 lower-case hexadecimal digits",
    "line": "a non-empty line without control characters",
    "text": "text without control characters",
}


@cache
def load() -> Mapping[str, Any]:
    """Read the schema shipped beside this file."""
    schema: Mapping[str, Any] = json.loads(Path(__file__).with_name("model.schema.json").read_text("utf-8"))
    return schema


def violations(value: object) -> Iterator[str]:
    """Yield ``path: what is wrong`` for every place where a decoded JSON document breaks the schema."""
    yield from _plain(value)
    yield from _check(value, load(), "")


def matches(definition: str, value: str) -> bool:
    """Tell whether ``value`` satisfies one of the schema's named definitions, e.g. ``file``."""
    return next(_check(value, load()["$defs"][definition], ""), None) is None


def show(value: object) -> str:
    """Write a value for a one-line message, at most 60 characters long."""
    text = ascii(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest known word, or nothing."""
    import difflib

    close = difflib.get_close_matches(word[:100], list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _plain(value: object) -> Iterator[str]:
    """Refuse what JSON texts can smuggle past a schema: infinite numbers, lone surrogates, deep nesting."""
    level = [("", value)]
    for _ in range(MAX_DEPTH):
        below: list[tuple[str, object]] = []
        for path, item in level:
            if isinstance(item, dict):
                below += ((_join(path, str(key)), child) for key, child in item.items())
                if any(_has_surrogate(str(key)) for key in item):
                    yield _at(path, "a key holds a character that UTF-8 cannot write")
            elif isinstance(item, list):
                below += ((f"{path}[{index}]", child) for index, child in enumerate(item))
            elif isinstance(item, str) and _has_surrogate(item):
                yield _at(path, f"{show(item)} holds a character that UTF-8 cannot write")
            elif isinstance(item, float) and not math.isfinite(item):
                yield _at(path, f"must be a finite number, got {item}")
        level = below
    if level:
        yield _at(level[0][0].split(".")[0], f"is nested more than {MAX_DEPTH} levels deep")


def _check(value: object, schema: Mapping[str, Any], path: str, noun: str = "") -> Iterator[str]:
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[-1]
        yield from _check(value, load()["$defs"][name], path, _HINTS.get(name, ""))
    for part in schema.get("allOf", ()):
        yield from _check(value, part, path, noun)
    if "if" in schema and next(_check(value, schema["if"], path), None) is None:
        yield from _check(value, schema["then"], path)
    if "const" in schema and (isinstance(value, bool) or value != schema["const"]):
        yield _at(path, f"must be {schema['const']}, got {show(value)}")
    if "enum" in schema and (not isinstance(value, str) or value not in schema["enum"]):
        known = dict.fromkeys(schema["enum"])
        hint = suggest(value, known) if isinstance(value, str) else ""
        yield _at(path, f"must be one of {', '.join(known)}, got {show(value)}{hint}")
    if "type" in schema:
        names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        if not any(_is(value, name) for name in names):
            yield _at(path, f"must be {' or '.join(_NOUNS[name] for name in names)}, got {show(value)}")
            return
    if isinstance(value, str):
        yield from _check_string(value, schema, path, noun)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _check_number(value, schema, path)
    elif isinstance(value, list):
        yield from _check_array(value, schema, path)
    elif isinstance(value, dict):
        yield from _check_object(value, schema, path)


def _check_string(value: str, schema: Mapping[str, Any], path: str, noun: str) -> Iterator[str]:
    if len(value) > schema.get("maxLength", len(value)):
        yield _at(path, f"must have at most {schema['maxLength']} characters, got {len(value)}")
    elif "pattern" in schema and re.search(schema["pattern"], value) is None:
        yield _at(path, f"must be {noun or 'text matching ' + schema['pattern']}, got {show(value)}")


def _check_number(value: float, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if "minimum" in schema and not value >= schema["minimum"]:
        yield _at(path, f"must be at least {schema['minimum']}, got {show(value)}")
    if "maximum" in schema and not value <= schema["maximum"]:
        yield _at(path, f"must be at most {schema['maximum']}, got {show(value)}")
    if "exclusiveMinimum" in schema and not value > schema["exclusiveMinimum"]:
        yield _at(path, f"must be greater than {schema['exclusiveMinimum']}, got {show(value)}")
    if "exclusiveMaximum" in schema and not value < schema["exclusiveMaximum"]:
        yield _at(path, f"must be less than {schema['exclusiveMaximum']}, got {show(value)}")


def _check_array(value: list[object], schema: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from _check_count(len(value), schema.get("minItems", 0), schema.get("maxItems", len(value)), path)
    for index, item in enumerate(value):
        yield from _check(item, schema.get("items", {}), f"{path}[{index}]")


def _check_object(value: Mapping[str, object], schema: Mapping[str, Any], path: str) -> Iterator[str]:
    properties: Mapping[str, Any] = schema.get("properties", {})
    others = schema.get("additionalProperties", {})
    if others is False:
        for key in value.keys() - properties.keys():
            yield _at(path, f"unknown key {show(key)}{suggest(key, properties)}")
    for key in schema.get("required", ()):
        if key not in value:
            yield _at(_join(path, key), "is missing")
    yield from _check_count(len(value), schema.get("minProperties", 0), schema.get("maxProperties", len(value)), path)
    for key, item in value.items():
        for problem in _check(key, schema.get("propertyNames", {}), ""):
            yield _at(path, f"every key {problem}")
        yield from _check(item, properties.get(key, others or {}), _join(path, key))


def _check_count(count: int, fewest: int, most: int, path: str) -> Iterator[str]:
    if not fewest <= count <= most:
        wanted = str(fewest) if fewest == most else f"at least {fewest}" if count < fewest else f"at most {most}"
        yield _at(path, f"must have {wanted} entries, got {count}")


def _is(value: object, name: str) -> bool:
    if isinstance(value, bool) and name != "boolean":
        return False
    whole = name != "integer" or not isinstance(value, float) or value.is_integer()
    return isinstance(value, _TYPES[name]) and whole


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _join(path: str, key: str) -> str:
    short = key if re.fullmatch(r"[!-~]{1,64}", key) else show(key)
    return f"{path}.{short}" if path else short


def _at(path: str, message: str) -> str:
    return f"{path}: {message}" if path else message
