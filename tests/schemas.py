"""What answers are judged by: their schema, by somebody else's validator, and no control character.

A test that changes one word of a file validates almost the same document hundreds of times. What
was found valid for a reference or an alternative of one schema is therefore not looked at again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
import jsonschema.validators

from procmirror.decoding import render
from procmirror.decoding.view import View

# C0 but the newline, DEL, and C1 (ECMA-48): what a terminal obeys.
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_KEYWORDS = ("$ref", "anyOf")


def validator(view: View) -> Any:
    """A validator of the documents of a view, which remembers the parts that were valid."""
    kind, extend = jsonschema.Draft202012Validator, jsonschema.validators.extend
    once = {keyword: _remembering(kind.VALIDATORS[keyword]) for keyword in _KEYWORDS}
    return extend(kind, once)(schema(view))  # type: ignore[no-untyped-call]


@cache
def schema(view: View) -> dict[str, Any]:
    """The JSON Schema of a view; not to be changed."""
    return render.schema(view)


def _remembering(check: Any) -> Any:
    """A keyword's check that finds no error again where it found none before.

    The value of a keyword is a part of one schema, which lives as long as the validator.
    """
    valid: set[tuple[object, str]] = set()

    def remembered(checker: Any, value: Any, instance: Any, part: Any) -> Iterator[Any]:
        key = (value if isinstance(value, str) else id(value), json.dumps(instance))
        if key not in valid:
            errors = list(check(checker, value, instance, part))
            yield from errors
            if not errors:
                valid.add(key)

    return remembered
