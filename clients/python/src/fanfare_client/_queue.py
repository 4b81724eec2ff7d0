"""What waits for the user of a Client."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from .events import Event

#: About how many bytes an item takes beside its text.
_PER_ITEM = 512

#: How many times as long the queue may be while a call waits for its answer, since the
#: answer comes behind what is in the queue.
_ANSWER_FACTOR = 8


@dataclass(frozen=True, slots=True)
class Item:
    """An event, or what else happens when the user is done with all before it."""

    event: Event | None = None
    #: The cursors that hold once the user is done with the item, by system.
    cursors: dict[str, str] | None = None
    #: Whether the cursors hold only where there are none.
    first: bool = False
    #: A system of which a room has caught up.
    released: str | None = None
    text: int = 0

    @property
    def size(self) -> int:
        return _PER_ITEM + 2 * self.text


class Queue:
    """Holds items in order. It is bounded by bytes: who adds waits for space before."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._more = asyncio.Event()
        self._less = asyncio.Event()
        self._closed = False
        self._error: Exception | None = None

    def fits(self, item: Item, waiting: bool) -> bool:
        """Whether an item fits. ``waiting`` says that a call waits for its answer."""
        limit = self._limit * (_ANSWER_FACTOR if waiting else 1)
        return not self._items or self._bytes + item.size <= limit

    async def space(self) -> None:
        """Waits until there may be space."""
        self._less.clear()
        await self._less.wait()

    def retry(self) -> None:
        """Lets all that wait for space look again."""
        self._less.set()

    def add(self, item: Item) -> None:
        self._items.append(item)
        self._bytes += item.size
        self._more.set()

    def close(self, error: Exception | None) -> None:
        """Lets get raise, once the queue is empty. Only the first time counts."""
        if not self._closed:
            self._closed, self._error = True, error
        self._more.set()
        self._less.set()

    async def get(self) -> Item:
        """The next item. Raises StopAsyncIteration, or the error of close, at the end."""
        while not self._items:
            if self._closed:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._more.clear()
            await self._more.wait()
        item = self._items.popleft()
        self._bytes -= item.size
        self._less.set()
        return item
