"""Models by name: those shipped inside edgesr and those that the user installed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgesr.errors import EdgesrError, ModelError, UsageError
from edgesr.model.atomic import beside, saying_why
from edgesr.model.chain import stages
from edgesr.model.label_rules import LABEL_TASKS
from edgesr.model.package import open_package, verify
from edgesr.model.rules import DESCRIPTOR_FILE
from edgesr.model.schema import matches, show, suggest
from edgesr.model.storage import FolderStorage
from edgesr.model.writer import copy_file, write_archive

DEFAULT_MODEL = "cxr-x4"
SUFFIX = ".edgesr"
_SHIPPED = Path(__file__).resolve().parent.parent / "models"


@dataclass(frozen=True)
class ModelInfo:
    """One line of the list of models."""

    name: str
    path: Path
    origin: str
    """``installed`` or ``shipped``."""
    size: int
    """Bytes of the archive."""
    version: str = ""
    task: str = ""
    """Of a chain also that of its second model, e.g. ``chain segment``."""
    scale: int | None = 1
    """None for models that make no pictures."""
    classes: int | None = None
    """Number of classes, None for models that label nothing or name none."""
    description: str = ""
    problem: str = ""
    """Why the package cannot be opened; the fields above are empty then."""


def find(name_or_path: str | Path) -> Path:
    """Return where a model lies: an installed or shipped one by name, else a package or ONNX file by path."""
    text = str(name_or_path)
    known = _paths()
    if text in known:
        return known[text][1]
    path = Path(text)
    try:
        if text and path.exists():
            return path
    except (OSError, ValueError):
        raise ModelError(f"{show(text)}: is neither a model name nor a usable path") from None
    if len(path.parts) > 1 or path.suffix in (SUFFIX, ".onnx", ".zip"):
        raise ModelError(f"{show(text)}: no such file; give a package, an ONNX file or one of {_listed(known)}")
    raise ModelError(f"{show(text)}: no such model or file; known models are {_listed(known)}{suggest(text, known)}")


def list_models() -> list[ModelInfo]:
    """Describe every model that ``find`` knows by name, in order of name; damaged ones say so in ``problem``."""
    return [_info(name, origin, path) for name, (origin, path) in sorted(_paths().items())]


def add(path: str | Path, *, force: bool = False) -> Path:
    """Verify a package, install it for this user and return where; ``force`` replaces or hides one of its name."""
    source = Path(path)
    package = open_package(source)
    name, known = package.descriptor.name, _paths()
    if name in known and not force:
        raise UsageError(
            f"{source}: a model named {name!r} is {known[name][0]} already; use --force to put this one first"
        )
    target = installed_folder() / f"{name}{SUFFIX}"
    temporary = beside(target).with_suffix(SUFFIX)
    with saying_why(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if isinstance(package.storage, FolderStorage):
                files = sorted(package.storage.sizes().keys() - {DESCRIPTOR_FILE})
                write_archive(temporary, {file: package.storage.path(file) for file in (DESCRIPTOR_FILE, *files)})
            else:
                copy_file(source, temporary)
            _verify_copy(temporary, source)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    return target


def remove(name: str) -> Path:
    """Delete an installed model and return where it was."""
    path = installed_folder() / f"{name}{SUFFIX}"
    known = _paths()
    if name not in known:
        raise ModelError(f"{show(name)}: no such model; known models are {_listed(known)}{suggest(name, known)}")
    if known[name][0] != "installed":
        raise UsageError(f"{name!r} is shipped with edgesr and cannot be removed; only installed models can")
    with saying_why(path):
        path.unlink()
    return path


def installed_folder() -> Path:
    """Return the folder of this user's models; it need not exist."""
    configured = Path(os.environ.get("XDG_DATA_HOME", ""))
    try:
        base = configured if configured.is_absolute() else Path("~/.local/share").expanduser()
    except RuntimeError:
        raise ModelError("this user has no home folder for models; set XDG_DATA_HOME to a folder") from None
    return base / "edgesr" / "models"


def _paths() -> dict[str, tuple[str, Path]]:
    """Return origin and path by name; an installed model hides a shipped one."""
    found: dict[str, tuple[str, Path]] = {}
    for origin, folder in (("shipped", _SHIPPED), ("installed", installed_folder())):
        try:
            paths = sorted(folder.glob(f"*{SUFFIX}"))
        except OSError:
            continue
        found.update({path.stem: (origin, path) for path in paths if matches("name", path.stem)})
    return found


def _info(name: str, origin: str, path: Path) -> ModelInfo:
    size = 0
    try:
        size = path.stat().st_size
        package = open_package(path)
        descriptor = package.descriptor
        labelling = stages(package)[1].descriptor if descriptor.task == "chain" else descriptor
    except (EdgesrError, OSError) as error:
        return ModelInfo(name, path, origin, size, problem=str(error))
    is_chain = labelling is not descriptor
    return ModelInfo(
        name,
        path,
        origin,
        size,
        version=descriptor.version,
        task=f"chain {labelling.task}" if is_chain else descriptor.task,
        scale=None if descriptor.task in LABEL_TASKS else descriptor.scale,
        classes=len(labelling.labels) if labelling.labels else None,
        description=descriptor.description,
    )


def _verify_copy(copy: Path, source: Path) -> None:
    try:
        verify(open_package(copy))
    except ModelError as error:
        raise ModelError(str(error).replace(str(copy), str(source))) from None


def _listed(known: dict[str, tuple[str, Path]]) -> str:
    names = sorted(known)
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "") or "none"
