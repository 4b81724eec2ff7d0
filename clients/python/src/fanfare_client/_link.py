"""One connection to a node."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from ._calls import Call
from ._socket import Socket, loss
from .errors import ConnectionLost, ProtocolError, SessionEnded

#: How many characters of an address are for rooms. With all the rest of it, the address
#: stays below the 8 KiB that proxies read.
_ROOM_SPACE = 3000

#: For how many seconds a message that comes again is recognised. In so much time nodes
#: deliver no second message with the same id.
_REPEATED_FOR = 120.0


class Link:
    """A connection from before it is dialled until it has ended.

    Its task does all of it, and returns why it ended.
    """

    def __init__(self, work: Callable[[Link], Coroutine[Any, Any, ConnectionLost]]) -> None:
        loop = asyncio.get_running_loop()
        self.socket: Socket | None = None
        self.token: str | None = None
        #: The rooms in the address of the connection.
        self.named: list[str] = []
        #: How often each message, by system and id, was brought by the connection before since
        #: this one was dialled. It is dropped here as often.
        self._repeated: dict[str, Counter[str]] = {}
        #: The systems whose cursors are those of the last of these messages.
        self.ahead: set[str] = set()
        self._repeated_until = 0.0  # when they are forgotten
        self.greeted: asyncio.Future[None] = loop.create_future()
        self.greeted_at = 0.0
        #: Done when the node says that it will close this connection, but not at once.
        self.sent_away: asyncio.Future[None] = loop.create_future()
        #: How many seconds after the end the node wants the client back; None if it has
        #: not said so.
        self.retry: float | None = None
        #: The calls that were given to this link and have no answer.
        self.calls: set[Call] = set()
        #: Set while there are none of them, and while there are none that are about a place.
        self.idle, self.settled = asyncio.Event(), asyncio.Event()
        self._note_calls()
        self._outbox: asyncio.Queue[Call] = asyncio.Queue()  # bounded by how many calls there can be
        self.task = asyncio.create_task(work(self))

    def give(self, call: Call) -> None:
        """Sends a call as soon as it can be sent."""
        call.link, call.written = self, False
        self.calls.add(call)
        self._note_calls()
        self._outbox.put_nowait(call)

    def forget(self, call: Call) -> None:
        """The call was answered, or waits for another link."""
        self.calls.discard(call)
        self._note_calls()

    def _note_calls(self) -> None:
        places = any(call.place for call in self.calls)
        for event, wanted in ((self.idle, not self.calls), (self.settled, not places)):
            if wanted:
                event.set()
            else:
                event.clear()

    def repeats(self, messages: list[tuple[str, str]]) -> None:
        """The connection brings these messages, each with its system and id, once more."""
        for system, name in messages:
            self._repeated.setdefault(system, Counter())[name] += 1
        self.ahead = set(self._repeated)
        self._repeated_until = time.monotonic() + _REPEATED_FOR

    def is_behind(self, system: str) -> bool:
        """Whether the connection still brings what the one before has brought."""
        return system in self.ahead and system in self._repeated and time.monotonic() < self._repeated_until

    def forget_repeated(self, system: str, name: str) -> bool:
        """Whether a message comes again. If so, it does once less."""
        names = self._repeated.get(system)
        if not names or not names[name] or time.monotonic() >= self._repeated_until:
            return False
        names[name] -= 1
        if not +names:
            del self._repeated[system]
        return True

    async def write(self) -> None:
        """Sends what was given to the link, until the connection is lost."""
        assert self.socket is not None
        while True:
            call = await self._outbox.get()
            if call.link is not self or call.answer.done():
                continue
            call.written = True
            try:
                await self.socket.send(call.text())
            except Exception:  # reading the connection fails, too, and says why
                return

    async def ops(self) -> AsyncIterator[tuple[dict[str, Any], int]]:
        """All ops with the lengths of their texts. Raises ConnectionLost at the end."""
        assert self.socket is not None
        while True:
            try:
                frame = await self.socket.recv()
            except Exception as err:
                raise loss(err) from err
            for line in frame.split("\n") if isinstance(frame, str) else frame.split(b"\n"):
                if line:
                    yield parse(line), len(line)

    async def close(self) -> None:
        """Closes with 1000, and waits a moment for the node's answer."""
        if self.socket is not None:
            await self.socket.close()


def parse(line: str | bytes) -> dict[str, Any]:
    try:
        op = json.loads(line)
    except ValueError as err:
        raise ProtocolError(f"what the node said is no JSON: {line[:100]!r}") from err
    if not isinstance(op, dict) or not isinstance(op.get("op"), str):
        raise ProtocolError(f"what the node said is no op: {line[:100]!r}")
    return op


def disconnected(op: dict[str, Any]) -> SessionEnded:
    """How a session ends by the op disconnect. A code that is none becomes 4009."""
    code = op.get("code")
    if isinstance(code, bool) or not isinstance(code, int) or not 1000 <= code <= 4999:
        code = 4009
    return SessionEnded(code, str(op.get("reason") or ""), bool(op.get("reconnect")))


def fitting(rooms: list[str]) -> list[str]:
    """The rooms that fit into an address."""
    named, space = [], _ROOM_SPACE
    for room in rooms:
        space -= len("&rooms=") + len(quote(room, safe=""))
        if space >= 0:
            named.append(room)
    return named


def address(
    url: str, systems: list[str], rooms: list[str], cursors: Mapping[str, str], last: Mapping[str, int | str]
) -> str:
    """The address of a WebSocket. It keeps the parameters of the node's address."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.netloc:
        raise ValueError("url: want http://host:port or https://host:port")
    own = ("systems", "rooms", "room", "resume", "last")
    query = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k not in own]
    query.append(("systems", ",".join(systems)))
    if listed := [room for room in rooms if "," not in room]:
        query.append(("rooms", ",".join(listed)))
    query += [("room", room) for room in rooms if "," in room]  # the list has commas between its elements
    if resume := [f"{system}:{cursors[system]}" for system in systems if system in cursors]:
        query.append(("resume", ",".join(resume)))
    if wanted := [f"{system}:{last[system]}" for system in systems if system in last and system not in cursors]:
        query.append(("last", ",".join(wanted)))
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + "/ws", urlencode(query, quote_via=quote), ""))
