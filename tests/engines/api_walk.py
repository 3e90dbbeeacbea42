"""Reads code that uses TensorRT and checks every member, argument and enum against the interface of each version.

Objects are known by their names: ``engine`` is an ICudaEngine, ``parser`` an OnnxParser and so on, with or without
``self._``. A guard narrows the versions: ``if hasattr(engine, "x")``, ``if strategy is not None`` where ``strategy``
came from ``api.flag``. What a version has that can reach a line is what that line may use.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data" / "tensorrt_api"
APIS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in sorted(DATA.glob("*.json"))}
WRITABLE: dict[str, dict[str, list[str]]] = json.loads(DATA.with_name("tensorrt_writable.json").read_text())
VERSIONS = frozenset(APIS)
RECEIVERS = {
    "engine": "ICudaEngine",
    "native": "IExecutionContext",
    "runtime": "Runtime",
    "builder": "Builder",
    "network": "INetworkDefinition",
    "config": "IBuilderConfig",
    "parser": "OnnxParser",
    "optimization": "IOptimizationProfile",
    "timing": "ITimingCache",
    "merged": "ITimingCache",
    "mine": "ITimingCache",
    "inspector": "EngineInspector",
    "layer": "ILayer",
    "io_tensor": "ITensor",
    "mistake": "ParserError",
}
_STOPS = (ast.Return, ast.Raise, ast.Continue, ast.Break)


class Walk:
    """Everything wrong in one file; ``names`` maps the file's own variable names to classes of TensorRT."""

    def __init__(self, source: str, names: dict[str, str] | None = None) -> None:
        self.problems: list[str] = []
        self.checked = 0
        self._names = RECEIVERS if names is None else names
        self._flags: dict[str, frozenset[str]] = {}
        self._block(ast.parse(source).body, VERSIONS)

    def _block(self, statements: list[ast.stmt], versions: frozenset[str]) -> None:
        for statement in statements:
            if isinstance(statement, ast.If):
                self._expression(statement.test, versions)
                true, false = self._narrow(statement.test, versions)
                self._block(statement.body, true)
                self._block(statement.orelse, false)
                if isinstance(statement.body[-1], _STOPS):
                    versions = false
                continue
            self._remember(statement)
            for _, value in ast.iter_fields(statement):
                for part in value if isinstance(value, list) else [value]:
                    if isinstance(part, ast.stmt):
                        self._block([part], versions)
                    elif isinstance(part, ast.excepthandler | ast.match_case):
                        self._block(part.body, versions)
                    elif isinstance(part, ast.AST):
                        self._expression(part, versions)

    def _expression(self, node: ast.AST, versions: frozenset[str]) -> None:
        if isinstance(node, ast.IfExp):
            self._expression(node.test, versions)
            true, false = self._narrow(node.test, versions)
            self._expression(node.body, true)
            self._expression(node.orelse, false)
            return
        if isinstance(node, ast.BoolOp):
            for part in node.values:
                self._expression(part, versions)
                true, false = self._narrow(part, versions)
                versions = true if isinstance(node.op, ast.And) else false
            return
        if isinstance(node, ast.Call):
            self._call(node, versions)
        if isinstance(node, ast.Attribute):
            self._attribute(node, versions)
        for child in ast.iter_child_nodes(node):
            self._expression(child, versions)

    def _attribute(self, node: ast.Attribute, versions: frozenset[str]) -> None:
        path = list(_path(node))
        if "trt" in path[:-1]:
            self._module_member(node, path[path.index("trt") + 1 :], versions)
        elif self._class_of(node.value) is not None:
            self.checked += 1
            kind = self._class_of(node.value) or ""
            self._require(
                node, versions, {v for v in versions if node.attr in _members(v, kind)}, f"{kind}.{node.attr}"
            )
            if not isinstance(node.ctx, ast.Load):
                settable = {v for v in versions if node.attr in WRITABLE[v].get(kind, ())}
                self._require(node, versions, settable, f"a way to set {kind}.{node.attr}")

    def _module_member(self, node: ast.Attribute, path: list[str], versions: frozenset[str]) -> None:
        self.checked += 1
        name = path[0]
        if len(path) == 1:
            there = {v for v in versions if name == "__version__" or any(name in APIS[v][k] for k in _MODULE)}
        else:
            there = {v for v in versions if path[1] in APIS[v]["enums"].get(name, ())}
            there |= {v for v in versions if path[1] in _members(v, name)}
        self._require(node, versions, there, ".".join(path))

    def _call(self, node: ast.Call, versions: frozenset[str]) -> None:
        function = node.func
        if not isinstance(function, ast.Attribute):
            return
        if function.attr in ("flag", "require") and node.args and isinstance(node.args[0], ast.Constant):
            enum, *members = (part.value for part in node.args[:2] if isinstance(part, ast.Constant))
            self.checked += 1
            # A member that is a variable is asked for at run time; the double answers then.
            for member in members or [None]:
                if member is None and not any(enum in api["enums"] for api in APIS.values()):
                    self.problems.append(f"line {node.lineno}: no version has {enum}")
                elif member is not None and not _having(enum, member):
                    self.problems.append(f"line {node.lineno}: no version has {enum}.{member}")
            return
        kind = self._class_of(function.value)
        method = function.attr
        if "trt" in _path(function.value) and function.attr[:1].isupper():
            kind, method = function.attr, "__init__"
        if kind is None or any(isinstance(a, ast.Starred) for a in node.args):
            return
        keywords = {keyword.arg for keyword in node.keywords}
        for version in sorted(versions):
            signatures = APIS[version]["classes"].get(kind, {"methods": {}})["methods"].get(method, [])
            if signatures and not any(_fits(line, len(node.args), keywords) for line in signatures):
                self.problems.append(f"line {node.lineno}: {kind}.{method} of {version} takes {signatures}")

    def _narrow(self, test: ast.expr, versions: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return self._narrow(test.operand, versions)[::-1]
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            true = versions
            for part in test.values:
                true = self._narrow(part, true)[0]
            return true, versions
        having: frozenset[str] | None = None
        if isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and test.func.id == "hasattr":
            kind, member = self._class_of(test.args[0]), test.args[1]
            if kind and isinstance(member, ast.Constant):
                having = frozenset(v for v in VERSIONS if member.value in _members(v, kind))
        elif isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id in self._flags:
            having = self._flags[test.left.id]
            if isinstance(test.ops[0], ast.Is):
                having = VERSIONS - having
        return (versions, versions) if having is None else (versions & having, versions - having)

    def _remember(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
            call, target = statement.value, statement.targets[0]
            is_flag = isinstance(call.func, ast.Attribute) and call.func.attr == "flag"
            if is_flag and isinstance(target, ast.Name) and all(isinstance(a, ast.Constant) for a in call.args):
                enum, member = (a.value for a in call.args if isinstance(a, ast.Constant))
                self._flags[target.id] = _having(enum, member)

    def _class_of(self, node: ast.expr) -> str | None:
        path = list(_path(node))
        if len(path) == 2 and path[0] == "self":
            path = path[1:]
        return self._names.get(path[0].lstrip("_")) if len(path) == 1 else None

    def _require(self, node: ast.AST, versions: frozenset[str], there: set[str], what: str) -> None:
        if versions - there:
            self.problems.append(f"line {node.lineno}: {', '.join(sorted(versions - there))} lacks {what}")  # type: ignore[attr-defined]


_MODULE = ("classes", "enums", "functions")


def _members(version: str, kind: str) -> set[str]:
    found = APIS[version]["classes"].get(kind)
    if found is None:
        return set()
    inherited = (member for base in found["bases"] for member in _members(version, base))
    return {*found["methods"], *found["properties"], *inherited}


def _having(enum: Any, member: Any) -> frozenset[str]:
    return frozenset(v for v in VERSIONS if member in APIS[v]["enums"].get(enum, ()))


def _fits(line: str, positional: int, keywords: set[str | None]) -> bool:
    inside = line[1 : line.rindex(")")] if line.startswith("(") else line
    names, required = [], []
    for part in filter(None, inside.split(", ")):
        if ":" in part:
            names.append(part.split(":")[0])
            required.append("=" not in part)
    given = set(names[:positional]) | keywords
    needed = {name for name, must in zip(names, required, strict=True) if must}
    return positional <= len(names) and keywords <= set(names) and needed <= given


def _path(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Attribute):
        yield from _path(node.value)
        yield node.attr
    elif isinstance(node, ast.Name):
        yield node.id
    else:
        yield f"<{type(node).__name__}>"
