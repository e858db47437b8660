"""Places for work that owners share."""

from __future__ import annotations

import asyncio
import collections
import contextlib
from typing import AsyncIterator, Callable, Counter, Deque, Dict


class Places:
    """So many pieces of work at once, of them so many of one owner. Owners that wait get a
    place in turn: many waiting pieces of one delay another by one piece. For one event loop.
    """

    def __init__(self, most: int, each: int):
        self._free, self._each = most, each
        self._held: Counter[str] = collections.Counter()
        # Owners in the order of their turns.
        self._waiting: Dict[str, Deque["asyncio.Future[None]"]] = {}

    async def take(self, owner: str) -> Callable[[], None]:
        """Waits for a place; returns what gives it back."""
        place: "asyncio.Future[None]" = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, collections.deque()).append(place)
        self._fill()
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():  # It came at the same moment.
                self._give_back(owner)
            raise
        return lambda: self._give_back(owner)

    @contextlib.asynccontextmanager
    async def of(self, owner: str) -> AsyncIterator[None]:
        give_back = await self.take(owner)
        try:
            yield
        finally:
            give_back()

    def _give_back(self, owner: str) -> None:
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        self._free += 1
        self._fill()

    def _fill(self) -> None:
        for line in self._waiting.values():
            while line and line[0].cancelled():
                line.popleft()
        self._waiting = {owner: line for owner, line in self._waiting.items() if line}
        while self._free:
            # The owner with the fewest, and of these the one that has waited longest.
            owner = min(self._waiting, key=self._held.__getitem__, default=None)
            if owner is None or self._held[owner] >= self._each:
                return
            line = self._waiting.pop(owner)
            place = line.popleft()
            if line:
                self._waiting[owner] = line  # Behind the others.
            if not place.cancelled():
                self._held[owner] += 1
                self._free -= 1
                place.set_result(None)
