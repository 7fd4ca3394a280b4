"""What the views of a guest said: strict JSON, valid by the schemas that the command prints."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import jsonschema

from procmirror.decoding.render import schema
from procmirror.views import VIEWS
from tests.kernels.findings import Findings

# How much of a long list is validated: the first and the last of its items. All of it is parsed.
_ITEMS = 200
_OWN_FILES = {"README.txt"}
_SCHEMAS = {
    view.name: jsonschema.Draft202012Validator(schema(view)) for view in VIEWS if view.suffixes
}


def judge(archive: Path, findings: Findings) -> None:
    """Add what is wrong in an archive, which may lack its end, to what the guest found."""
    names = set()
    try:
        with tarfile.open(archive) as members:
            for member in members:
                file = members.extractfile(member)
                if file is None or member.name in _OWN_FILES:
                    continue
                try:
                    names.add(check(member.name, file.read()))
                except (ValueError, jsonschema.ValidationError) as wrong:
                    findings.fail(f"{member.name}: {type(wrong).__name__}: {str(wrong)[:300]}")
    except tarfile.ReadError:
        findings.remarks.append("the archive of the views has no end")
    findings.remarks.append(f"views of {len(names)} kinds of {len(_SCHEMAS)}")


def check(path: str, content: bytes) -> str:
    """The name of the view at a path; ValueError, ValidationError for a wrong content."""
    name = _name(path)
    if name not in _SCHEMAS:
        raise ValueError(f"no view is called {name}")
    if path.endswith((".txt", ".folded")):
        content.decode()
        return name
    for document in content.splitlines() if path.endswith(".ndjson") else [content]:
        record = json.loads(document, parse_constant=_refuse, object_pairs_hook=_unique)
        if isinstance(record, list) and len(record) > 2 * _ITEMS:
            record = record[:_ITEMS] + record[-_ITEMS:]
        _SCHEMAS[name].validate(record)
    return name


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key occurs twice")
    return made


def _name(path: str) -> str:
    """The name of the view at a path of the mirror."""
    name = path.rpartition(".")[0]
    parts = name.split("/")
    if parts[0].isdigit():
        parts[0] = "PID"
        if parts[1:2] == ["task"] and len(parts) > 3:
            parts[2] = "TID"
            if f"PID/task/TID/{'/'.join(parts[3:])}" not in _SCHEMAS:
                parts[1:3] = []
        if parts[1] == "net" and len(parts) > 2:
            parts = parts[1:]
        if parts[1:2] == ["fdinfo"] and len(parts) > 2:
            parts[2] = "N"
    name = "/".join(parts)
    return name if name in _SCHEMAS else f"{name}.gz" if f"{name}.gz" in _SCHEMAS else name
