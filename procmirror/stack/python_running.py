"""The functions of Python of a thread that runs, without stopping it.

The chain of its frames is read again and again, and believed if three readings in a row are alike
but for the instruction of the innermost frame, which may have gone on. Frames of one thread lie
beside each other, so that a chain takes few reads. That does not prove one moment: a frame may have
ended and begun anew in between. So what is found is marked as of a thread that ran.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

PAGE = 4096
MOST_PAGED = 4 * PAGE  # what is longer is read by itself
ALIKE = 3
TRIES = 12


class Pages:
    """Memory that is read page by page, each page once.

    `read(address, size)` returns exactly `size` bytes, or raises.
    """

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._read = read
        self._held: dict[int, bytes] = {}

    def read(self, address: int, size: int) -> bytes:
        """Exactly `size` bytes from `address`."""
        first, at = divmod(address, PAGE)
        if at + size <= PAGE:
            return self._page(first)[at : at + size]
        if size > MOST_PAGED:
            return self._read(address, size)
        last = (address + size - 1) // PAGE
        return b"".join(map(self._page, range(first, last + 1)))[at : at + size]

    def _page(self, number: int) -> bytes:
        if number not in self._held:
            self._held[number] = self._read(number * PAGE, PAGE)
        return self._held[number]


def agreed(
    chain: Callable[[Callable[[int, int], bytes]], Sequence[bytes] | None],
    read: Callable[[int, int], bytes],
    told: Callable[[bytes], tuple[int, ...]],
) -> Sequence[bytes] | None:
    """The frames that `ALIKE` readings in a row agree on, innermost first; None without such.

    `chain(read)` reads the frames, None if the thread was elsewhere afterwards. `told(frame)` is
    what of a frame must not change, its instruction last.
    """
    before: list[tuple[int, ...]] | None = None
    alike = 0
    for _ in range(TRIES):
        frames = chain(Pages(read).read)
        now = None if frames is None else [told(frame) for frame in frames]
        if now:
            now[0] = now[0][:-1]
        alike = alike + 1 if now is not None and now == before else 1
        if frames is not None and alike == ALIKE:
            return frames
        before = now
    return None
