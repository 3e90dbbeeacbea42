"""Labels of pictures from a table or a folder for each class: what each shows, its groups, its patient."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgesr.bench.grouping import Grouping, grouping
from edgesr.errors import InputError, UsageError
from edgesr.image.source import shown
from edgesr.model.schema import suggest
from edgesr.pipelines.sources import find_pictures

FILE_COLUMNS = ("file", "path", "image", "filename", "name")
LABEL_COLUMNS = ("label", "class", "target")
CLUSTER_COLUMNS = ("patient", "patient_id", "subject", "subject_id")
DELIMITERS = ",;\t"


@dataclass(frozen=True)
class LabelTable:
    """The rows of a CSV file by the names of their pictures."""

    path: Path
    columns: tuple[str, ...]
    label: str | None
    """Column of the class; None where there is none."""
    cluster: str | None
    """Column that says which pictures belong together, such as those of one patient."""
    groups: tuple[Grouping, ...]
    rows: Mapping[str, Mapping[str, str]]
    """By the file as it is written, with ``/``, and by its last part where that is unique."""
    is_folder: bool = False
    """Whether subfolders name the classes, so that files of one name may lie in several."""

    def row(self, picture: Path) -> Mapping[str, str] | None:
        """Return the row of a picture: the longest end of its path that the table names; None for none."""
        parts = picture.parts
        for start in range(len(parts)):
            found = self.rows.get("/".join(parts[start:]))
            if found is not None:
                return found
        return self.rows.get(picture.stem)

    def name_of(self, row: Mapping[str, str], picture: Path) -> str:
        """Return what a picture is called: its file without suffix, with the subfolder where that names the class."""
        return row[FILE_COLUMNS[0]].rpartition(".")[0] if self.is_folder else picture.stem

    def groups_of(self, row: Mapping[str, str]) -> dict[str, str]:
        """Return the groups of a row by column, without empty ones."""
        found = {by.column: by.group(row[by.column]) for by in self.groups}
        return {column: group for column, group in found.items() if group}

    def cluster_of(self, row: Mapping[str, str], picture: str) -> str:
        """Return whom the picture shows; itself where no column says it."""
        return (row[self.cluster].strip() if self.cluster else "") or picture


def read_labels(
    path: str | Path, *, label: str | None = None, groups: Sequence[str] = (), cluster: str | None = None
) -> LabelTable:
    """Read a CSV file with a header line and a column of files; raise InputError for what is no such table.

    Fields are parted by commas, semicolons or tabs, as the header is. ``label``, ``groups`` and ``cluster`` name
    columns, groups of numbers with ranges, as ``age:40:60``. Without ``label`` the first of `LABEL_COLUMNS` that
    exists is taken, without ``cluster`` the first of `CLUSTER_COLUMNS`, in upper or lower case.
    """
    file = Path(path)
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            first = stream.readline()
            stream.seek(0)
            reader = csv.reader(stream, strict=True, delimiter=max(DELIMITERS, key=first.count))
            columns = tuple(name.strip() for name in next(reader, []))
            lines = [(reader.line_num, line) for line in reader if line]
    except OSError as error:
        raise InputError(f"{shown(file)}: the labels cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{shown(file)}: is no CSV file in UTF-8: {error}") from None
    name_column = _first_of(FILE_COLUMNS, columns)
    if name_column is None:
        got = ", ".join(columns) or "an empty file"
        raise InputError(f"{shown(file)}: the first line must name a column {', '.join(FILE_COLUMNS)}; got {got}")
    twice = next((name for name in columns if name and columns.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{shown(file)}: the first line names the column {twice!r} twice; rename one of them")
    for chosen in (label, cluster):
        if chosen and chosen not in columns:
            raise UsageError(
                f"{shown(file)} has no column {chosen!r}; it has {', '.join(columns)}{suggest(chosen, columns)}"
            )
    by = tuple(grouping(text, columns, shown(file)) for text in groups)
    rows: dict[str, Mapping[str, str]] = {}
    short: dict[str, list[Mapping[str, str]]] = {}
    for number, line in lines:
        if len(line) != len(columns):
            raise InputError(f"{shown(file)}, line {number}: has {len(line)} fields, the first line {len(columns)}")
        row = dict(zip(columns, line, strict=True))
        written = row[name_column].strip().replace("\\", "/")
        if not written or written in rows:
            what = f"names {written} a second time" if written else "names no file"
            raise InputError(f"{shown(file)}, line {number}: {what}")
        try:
            for one in by:
                one.group(row[one.column])
        except InputError as error:
            raise InputError(f"{shown(file)}, line {number}: {error}") from None
        rows[written] = row
        last = written.rsplit("/", 1)[-1]
        for key in {last, Path(last).stem} - {written}:
            short.setdefault(key, []).append(row)
    if not rows:
        raise InputError(f"{shown(file)}: holds no labels, only the first line")
    rows.update({key: found[0] for key, found in short.items() if len(found) == 1 and key not in rows})
    return LabelTable(
        file,
        columns,
        label or _first_of(LABEL_COLUMNS, columns),
        cluster or _first_of(CLUSTER_COLUMNS, columns),
        by,
        rows,
    )


def _first_of(usual: Sequence[str], columns: Sequence[str]) -> str | None:
    """Return the first column that has one of the usual names, in upper or lower case; None for none."""
    folded = {name.casefold(): name for name in reversed(columns)}
    return next((folded[name] for name in usual if name in folded), None)


def folder_labels(folder: str | Path) -> LabelTable:
    """Return the table of a folder that has one subfolder for each class, with the pictures of that class in it."""
    root = Path(folder)
    rows: dict[str, Mapping[str, str]] = {}
    for path in find_pictures(root, recursive=True):
        parts = path.relative_to(root).parts
        if len(parts) > 1:
            rows["/".join(parts)] = {FILE_COLUMNS[0]: "/".join(parts), LABEL_COLUMNS[0]: parts[0]}
    if not rows:
        raise InputError(
            f"{shown(root)}: has no subfolders with pictures; name one for each class, or give a CSV table"
        )
    return LabelTable(root, (FILE_COLUMNS[0], LABEL_COLUMNS[0]), LABEL_COLUMNS[0], None, (), rows, True)


def class_index(text: str, names: Sequence[str], classes: int) -> int:
    """Return the class that a label means: a name of the model's, or a number from 0; else raise InputError."""
    word = text.strip()
    if word in names:
        return list(names).index(word)
    folded = [name.casefold() for name in names]
    if folded.count(word.casefold()) == 1:
        return folded.index(word.casefold())
    if word.isdecimal() and int(word) < classes:
        return int(word)
    known = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    numbers = f"0 to {classes - 1}"
    raise InputError(
        f"the label {word!r} is no class of the model; it has {f'{known}, or {numbers}' if names else numbers}"
        f"{suggest(word, names)}"
    )
