"""The fields of a JSON Schema, with their types in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Path, type, unit and meaning.
Field = tuple[str, str, str, str]


def fields(document: dict[str, Any]) -> list[Field]:
    """The fields of a JSON Schema: path, type, unit, meaning.

    `[]` stands for each element, `*` for each key.
    """
    return list(dict.fromkeys(_fields(document, document.get("$defs", {}), "", ())))


def _fields(
    part: dict[str, Any], named: dict[str, Any], path: str, inside: tuple[str, ...]
) -> Iterator[Field]:
    reference = part.get("$ref")
    if reference and reference not in inside:
        yield from _fields(named[_name(reference)], named, path, (*inside, reference))
    for alternative in part.get("anyOf", ()):
        yield from _fields(alternative, named, path, inside)
    for name, value in part.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        yield f"`{below}`", kind(value), value.get("unit", ""), _meaning(value, named)
        yield from _fields(value, named, below, inside)
    if isinstance(part.get("items"), dict):
        yield from _fields(part["items"], named, f"{path}[]" if path else "", inside)
    if isinstance(part.get("additionalProperties"), dict):
        yield from _fields(
            part["additionalProperties"], named, f"{path}.*" if path else "*", inside
        )


def _meaning(part: dict[str, Any], named: dict[str, Any]) -> str:
    """The description of a field, or else of the record that it holds."""
    reference = part.get("$ref") or part.get("items", {}).get("$ref")
    return str(
        part.get("description")
        or (named[_name(reference)].get("description", "") if reference else "")
    )


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def kind(part: dict[str, Any]) -> str:
    """A type of JSON Schema in words: `integer or null`, `array of string`."""
    if "anyOf" in part:
        words = [kind(alternative) for alternative in part["anyOf"]]
        return " or ".join(sorted(dict.fromkeys(words), key=lambda word: word == "null"))
    if "enum" in part:
        return " or ".join(f"`{value}`" for value in part["enum"])
    if "prefixItems" in part:
        return f"array of {', '.join(map(kind, part['prefixItems']))}"
    below = part.get("items", part.get("additionalProperties"))
    word = part.get("type", "object" if "$ref" in part else "any")
    return f"{word} of {kind(below)}" if isinstance(below, dict) else str(word)
