"""How often a property is tried."""

from __future__ import annotations

from hypothesis import settings

_DEFAULT = 100


def examples(count: int) -> int:
    """`count`, or the share of it that the profile of the run asks for (`make quick`: a tenth)."""
    return max(5, count * settings.default.max_examples // _DEFAULT) if settings.default else count
