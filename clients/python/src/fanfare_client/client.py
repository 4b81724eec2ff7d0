"""A client of Fanfare."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Self

from ._calls import Call, place_name, split_place
from ._link import Link, address, disconnected, fitting
from ._queue import Item, Queue
from ._socket import FrameTooLarge, dial
from ._tokens import keep_for
from .errors import Closed, ConnectionLost, OpError, Refused, SessionEnded, TokenFailed, Unknown, Withdrawn
from .events import Event, Gap, Left, Lost, Message, Presence, cursor_of, event_of, seconds

#: How many seconds a session must last not to count as a failure.
_STABLE = 10.0

#: How many calls may wait for their answers.
_MOST_CALLS = 1000

#: How many messages of a connection that is about to end are remembered while the next
#: one is opened. If there are more, the next one is given up, so that none comes twice.
_MOST_REPEATED = 10_000

#: How often a token is fetched anew while nodes refuse it, after a session was ended so
#: that the client gets another token: tokens say only in which second they were issued.
_FRESH_TRIES = 3

#: Close codes after which the client must not come back by itself.
_FINAL = frozenset({1008, 1009, 4003, 4009, 4010})

#: Codes of answers that pass in a moment.
_PASSING = frozenset({"busy", "rate_limited", "bus_down"})

_SYSTEM = re.compile(r"[a-z0-9][a-z0-9_-]*")

_log = logging.getLogger("fanfare_client")

Token = Callable[[], Awaitable[str | None]]


class Client:
    """Holds one session with Fanfare, and connects again when the connection is lost.

    A client is an async context manager, and an async iterator of events: inside of
    ``async with`` it is connected, and ``async for`` brings what it is told, in order.
    One task iterates; the other methods may be called from any task of the same loop.

    The iteration ends when ``close`` is called. It raises SessionEnded or Refused when
    coming back would be wrong: see the rules in docs/clients.md.

    ``url`` is the address of a node or a load balancer, such as https://push.example.com.
    Its query is kept: ``?user=alice`` names the user at a node in development.

    ``rooms`` are those to be in from the beginning, each as ``system/room``.

    ``cursors`` are where to begin: an earlier value of ``Client.cursors``. ``from_`` are
    cursors at which a state was read, by system; they count before ``cursors``. ``last`` says,
    by system, with which of the latest messages to begin where there is no cursor: so many, up
    to 1,000, or those of so long, such as ``"5m"``.

    ``token`` returns a token that is valid now. It is called before each connection and,
    if the token is a JWT with an expiry, again before that. It is never called
    concurrently. Its errors count as a lost connection.

    ``first_pause`` is the upper bound, in seconds, of the random time before the client
    connects again; it doubles with each connection that did not last, up to
    ``max_pause``. ``timeout`` bounds connecting, the wait for hello, and getting a token.
    ``silence`` is how long a dead connection may go unnoticed.

    ``queue_bytes`` is how much may wait for the iteration before the client stops
    reading; while a call waits for its answer, it is eight times as much. ``frame_bytes``
    is the size of the largest frame that the client reads.
    """

    def __init__(
        self,
        url: str,
        systems: Iterable[str],
        *,
        rooms: Iterable[str] = (),
        cursors: Mapping[str, str] | None = None,
        from_: Mapping[str, str] | None = None,
        last: Mapping[str, int | str] | None = None,
        token: Token | None = None,
        first_pause: float = 1.0,
        max_pause: float = 30.0,
        timeout: float = 10.0,
        silence: float = 60.0,
        queue_bytes: int = 1 << 20,
        frame_bytes: int = 16 << 20,
    ) -> None:
        self._url = url
        self._systems = list(dict.fromkeys(systems))
        self._rooms = list(dict.fromkeys(rooms))
        self._token_of = token
        self._first_pause, self._max_pause = first_pause, max_pause
        self._timeout, self._silence = timeout, silence
        self._queue_bytes, self._frame_bytes = queue_bytes, frame_bytes
        self._wanted = dict(last or {})  # the latest messages, where there is no cursor
        self._check()

        #: What the iteration is done with, and what the links have brought, by system.
        self._handled = {s: c for s, c in {**(cursors or {}), **(from_ or {})}.items() if c and s in self._systems}
        self._seen = dict(self._handled)
        #: How many late joins are not caught up, by system; until there are none, _handled
        #: stays, and _behind is what it will be then.
        self._holds: dict[str, int] = {}
        self._behind: dict[str, str] = {}

        self._watches: dict[str, str] = {}  # how places are watched: "count" or "users"
        self._calls: dict[int, Call] = {}  # those without an answer, by ref
        self._late: list[Call] = []  # late joins that were not sent; they are sent one by one
        self._ref = 0
        self._active: Link | None = None  # the link that events are taken from
        #: What the active link has brought since its successor was dialled.
        self._since_dial: list[tuple[str, str]] | None = None
        self._young: Link | None = None  # that successor
        self._token_lock = asyncio.Lock()
        self._queue: Queue | None = None
        self._last: Item | None = None  # what the iteration has in hand
        self._iterating: asyncio.Task[Any] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def _check(self) -> None:
        address(self._url, self._systems, self._rooms, {}, {})
        if not self._systems:
            raise ValueError("systems: want at least one name")
        for system in self._systems:
            if not _SYSTEM.fullmatch(system):
                raise ValueError(f"systems: {system!r} is no name of a system")
        for place in self._rooms:
            system, room = split_place(place)
            if not room or system not in self._systems:
                raise ValueError(f"rooms: {place!r}: want system/room, of a system in systems")
        for name in ("first_pause", "max_pause", "timeout", "silence", "queue_bytes", "frame_bytes"):
            if getattr(self, "_" + name) <= 0:
                raise ValueError(f"{name}: must be positive")

    # --- what the user calls ---

    @property
    def cursors(self) -> dict[str, str]:
        """How far each system has been handled, by the system's name.

        The cursor of a message is there once the iteration has asked for the event after
        it. A program that saves the cursors, and begins with them another time, sees
        every message at least once.
        """
        return dict(self._handled)

    async def __aenter__(self) -> Self:
        """Begins to connect, and does not wait for the connection."""
        if self._supervisor is not None:
            raise RuntimeError("the client is in use already")
        self._queue = Queue(self._queue_bytes)
        self._seen, self._last = dict(self._handled), None
        self._supervisor = asyncio.create_task(self._keep_connected())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the session, and waits until all tasks of the client have ended.

        Calls that wait for an answer fail: with Unknown if they are sends that a node may
        have received, otherwise with Closed.
        """
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        supervisor.cancel()
        await asyncio.gather(supervisor, return_exceptions=True)
        await asyncio.gather(*(link.close() for link in self._links), return_exceptions=True)
        tasks = [*self._tasks, *(link.task for link in self._links)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._end(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._queue is None:
            raise RuntimeError("use the client with 'async with'")
        self._iterating = asyncio.current_task()
        while True:
            done, self._last = self._last, None
            self._handle(done)
            item = self._last = await self._queue.get()
            if item.event is not None:
                return item.event

    async def send(
        self,
        system: str,
        data: Any = None,
        *,
        to: str | list[str] | None = None,
        type: str | None = None,
        id: str | None = None,
        ttl: int | None = None,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
    ) -> str:
        """Publishes a message, and returns its id once the bus has it.

        Without ``to`` it is for the services behind the system. ``bytes`` are sent as
        bytes; a ``str`` with a content type that is not JSON as text; all else as JSON.
        ``ttl`` is in whole seconds.

        It waits for a connection, and sends once. Raises Unknown if the connection is
        lost before the answer, and OpError if the node refuses. The task that iterates
        waits no longer than ``timeout``, here and in the other calls: what comes before
        the answer waits for it.
        """
        fields: dict[str, Any] = {
            "system": system, "to": to, "type": type, "id": id, "ttl": ttl,
            "headers": dict(headers) if headers else None, "content_type": content_type,
        }
        fields = {name: value for name, value in fields.items() if value is not None}
        if isinstance(data, (bytes, bytearray, memoryview)):
            fields["data_base64"] = base64.b64encode(data).decode()
        else:
            fields["data"] = data
        return await self._ask(Call("send", fields))

    async def join(self, system: str, room: str, *, since: str | None = None) -> None:
        """Joins a room, on this connection and later ones.

        With ``since``, a cursor, the node first sends what the room had after it. Waits
        for a connection, and asks again if that is lost before the answer.
        """
        fields = {"system": system, "room": room}
        if since:
            fields["since"] = since
        await self._ask(Call("join", fields, place_name(system, room)))

    async def leave(self, system: str, room: str) -> None:
        """Leaves a room, on this connection and later ones. Without one it returns at once."""
        place = place_name(system, room)
        self._rooms = [name for name in self._rooms if name != place]
        for call in list(self._calls.values()):
            if call.kind == "join" and call.place == place:
                self._settle(call, Withdrawn("the room was left meanwhile"))
        if self._active is not None:
            await self._ask(Call("leave", {"system": system, "room": room}, place))

    async def watch(self, system: str, room: str | None = None, *, users: bool = False) -> None:
        """Asks to be told who is in a room or, without one, attached to the system.

        The events Presence tell how it is, and then what changes: with ``users`` by name,
        otherwise by number. On later connections the client watches again. Raises OpError:
        with the code unsupported where presence is not kept.
        """
        await self._ask(self._watch_call(place_name(system, room), "users" if users else "count"))

    async def unwatch(self, system: str, room: str | None = None) -> None:
        """Ends what watch began."""
        place = place_name(system, room)
        self._watches.pop(place, None)
        for call in list(self._calls.values()):
            if call.watches and call.place == place:
                self._settle(call, Withdrawn("the place is not watched any more"))
        if self._active is not None:
            await self._ask(self._watch_call(place, None))

    @staticmethod
    def _watch_call(place: str, how: str | None) -> Call:
        system, room = split_place(place)
        fields: dict[str, Any] = {"system": system, "watch": how or False}
        if room is not None:
            fields["room"] = room
        return Call("presence", fields, place)

    # --- calls ---

    async def _ask(self, call: Call) -> str:
        call.text().encode()  # what is no JSON, or no UTF-8, fails here and not in the writer
        if self._supervisor is None or self._supervisor.done():
            raise Closed("the client is closed")
        if len(self._calls) >= _MOST_CALLS:
            raise OpError("rate_limited", "too many calls are waiting for their answers")
        self._number(call)
        if self._active is not None:
            self._active.give(call)
        assert self._queue is not None
        self._queue.retry()  # it may be longer while a call waits
        # Where the iteration itself waits, the answer may stand behind more than the queue
        # holds, and the queue waits for the iteration.
        own = asyncio.current_task() is self._iterating
        try:
            async with asyncio.timeout(self._timeout if own else None):
                return await call.answer
        except (asyncio.CancelledError, TimeoutError) as err:
            self._drop(call)
            if isinstance(err, TimeoutError) and call.kind == "send" and call.written:
                raise Unknown("no answer in time") from err
            raise

    def _number(self, call: Call) -> None:
        self._ref += 1
        call.ref = self._ref
        self._calls[call.ref] = call

    def _drop(self, call: Call) -> None:
        self._calls.pop(call.ref, None)
        if call.link is not None:
            call.link.forget(call)
            call.link = None

    def _settle(self, call: Call, answer: str | Exception) -> None:
        """Ends a call. Only the first time counts."""
        self._drop(call)
        if call.answer.done():
            return
        if isinstance(answer, Exception):
            call.answer.set_exception(answer)
            call.answer.exception()  # nobody awaits the client's own calls, and that is no fault
            return
        if call.kind == "join" and call.place not in self._rooms:
            self._rooms.append(call.place)
        if call.watches and not call.again:
            self._watches[call.place] = call.fields["watch"]
        call.answer.set_result(answer)

    async def _answered(self, link: Link, op: dict[str, Any]) -> None:
        ref = op.get("ref")
        call = self._calls.get(ref) if isinstance(ref, int) else None
        refused = None if op["op"] == "ok" else OpError(str(op.get("code")), str(op.get("message", "")))
        if call is None or call.link is not link:
            if refused is not None and link is self._active:
                _log.warning("an error that belongs to nothing: %s", refused)
            return
        own = call.late or call.again
        if refused is not None and refused.code in _PASSING and (own or call.kind == "join" and refused.code == "busy"):
            self._retry_soon(call, link)
            return
        self._settle(call, refused or str(op.get("id", "")))
        if call.late:
            self._late_answered(link, call, refused)
        elif call.again and refused is not None:
            self._watches.pop(call.place, None)
            system, room = split_place(call.place)
            event = Presence(system, room, None, None, None, None, refused.code)
            await self._push(link, Item(event))

    def _retry_soon(self, call: Call, link: Link) -> None:
        def again() -> None:
            if call.link is link and not call.answer.done():
                link.give(call)

        asyncio.get_running_loop().call_later(random.uniform(0.25, 0.75), again)

    # --- late joins: rooms for which an address has no space ---

    def _join_late(self, named: list[str]) -> None:
        """Makes a late join of each room that the address does not name."""
        late = [room for room in self._rooms if room not in named]
        self._rooms = [room for room in self._rooms if room in named]
        for place in late:
            system, room = split_place(place)
            fields = {"system": system, "room": room}
            if system in self._seen:
                fields["since"] = self._seen[system]
            call = Call("join", fields, place, late=True)
            self._number(call)
            self._late.append(call)
            self._holds[system] = self._holds.get(system, 0) + 1

    def _send_late(self, link: Link) -> None:
        while self._late:
            call = self._late.pop(0)
            if not call.answer.done():
                link.give(call)
                return

    def _late_answered(self, link: Link, call: Call, refused: OpError | None) -> None:
        system, room = split_place(call.place)
        left = None
        if refused is not None:
            _log.warning("the room %s was refused: %s", call.place, refused)
            left = Left(system, room, refused.code)
        assert self._queue is not None
        self._queue.add(Item(left, released=system))  # without waiting, so that no hold is forgotten
        if link is self._active:
            self._send_late(link)

    def _release(self, system: str) -> None:
        """Ends one hold on the cursors of a system."""
        left = self._holds.get(system, 0) - 1
        if left > 0:
            self._holds[system] = left
            return
        self._holds.pop(system, None)
        if system in self._behind:
            self._handled[system] = self._behind.pop(system)

    # --- what the iteration is told ---

    def _handle(self, item: Item | None) -> None:
        """The user is done with an item."""
        if item is None:
            return
        if item.released is not None:
            self._release(item.released)
        for system, cursor in (item.cursors or {}).items():
            target = self._behind if self._holds.get(system) else self._handled
            if not (item.first and system in self._handled):
                target[system] = cursor

    async def _push(self, link: Link, item: Item) -> None:
        """Queues an item of a link, unless another link has taken its place."""
        assert self._queue is not None
        while link is self._active and not self._queue.fits(item, bool(self._calls)):
            await self._queue.space()
        if link is not self._active:
            return  # it comes again on the link that is active now
        self._queue.add(item)
        self._seen.update(item.cursors or {})
        if isinstance(item.event, Message) and self._since_dial is not None:
            self._since_dial.append((item.event.system, item.event.id))
            if len(self._since_dial) > _MOST_REPEATED and self._young is not None:
                self._young.task.cancel()

    # --- one connection ---

    def _new_link(self) -> Link:
        link = Link(self._work)
        self._links.add(link)
        link.task.add_done_callback(lambda _: self._links.discard(link))
        return link

    async def _work(self, link: Link) -> ConnectionLost:
        """Connects, reads until the connection is lost, and returns why it was."""
        helpers: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(self._timeout) as limit:
                link.token = await self._fresh_token()
                await self._dial(link)
                async for op, length in link.ops():
                    if op["op"] == "hello" and not link.greeted.done():
                        if limit.expired():
                            await asyncio.sleep(0)  # the time was over just now: here it is told
                        limit.reschedule(None)
                        self._adopt(link, op, length)
                        helpers = [asyncio.create_task(link.write()), asyncio.create_task(self._keep_token(link))]
                    elif link.greeted.done():
                        await self._receive(link, op, length)
            raise AssertionError("a connection ends with an error")
        except ConnectionLost as err:
            return err
        except TimeoutError:
            return ConnectionLost("no answer in time")
        finally:
            for helper in helpers:
                helper.cancel()
            self._link_lost(link)
            with contextlib.suppress(Exception):
                await link.close()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def _fresh_token(self) -> str | None:
        if self._token_of is None:
            return None
        async with self._token_lock:
            try:
                return await self._token_of()
            except Exception as err:
                raise TokenFailed(f"getting a token: {err}") from err

    async def _dial(self, link: Link) -> None:
        link.named = fitting(self._rooms)
        if self._active is not None:
            self._since_dial = []
        url = address(self._url, self._systems, link.named, self._seen, self._wanted)
        link.socket = await dial(
            url, link.token, timeout=self._timeout, silence=self._silence, frame_bytes=self._frame_bytes
        )

    def _adopt(self, link: Link, hello: dict[str, Any], length: int) -> None:
        """The link has said hello: from now on events are taken from it alone."""
        event = event_of(hello)
        self._active = link
        link.repeats(self._since_dial or [])
        self._since_dial = None
        link.greeted_at = time.monotonic()
        given = {s: c for s, p in hello.get("systems", {}).items() if s in self._systems and (c := cursor_of(p))}
        assert self._queue is not None
        self._queue.add(Item(event, given, first=True, text=length))
        self._queue.retry()  # what the last link waits to add is not wanted any more
        for system, cursor in given.items():
            self._seen.setdefault(system, cursor)
        self._take_over(link)
        link.greeted.set_result(None)

    def _take_over(self, link: Link) -> None:
        """Gives all calls to a new link, but for sends whose answers come on the last one."""
        for call in list(self._calls.values()):
            if call.link is not None and call.kind != "send":
                self._lost_with_link(call)
        for place in link.named:
            if place not in self._rooms:
                system, room = split_place(place)
                call = Call("leave", {"system": system, "room": room}, place)
                self._number(call)
        self._join_late(link.named)
        for place, how in self._watches.items():
            if not any(call.watches and call.place == place for call in self._calls.values()):
                call = self._watch_call(place, how)
                call.again = True
                self._number(call)
        for _, call in sorted(self._calls.items(), key=lambda entry: (entry[1].kind != "leave", entry[0])):
            if call.link is None and not call.late:
                link.give(call)
        self._send_late(link)

    def _lost_with_link(self, call: Call) -> None:
        """The link that a call was given to is gone, or no longer the active one."""
        link, call.link = call.link, None
        if link is not None:
            link.forget(call)
        if call.late:
            self._late.insert(0, call)  # the next link asks again, since the same cursor
        elif call.moot:
            self._settle(call, "")
        elif call.kind == "send" and call.written:
            self._settle(call, Unknown("the connection was lost before the answer"))

    def _link_lost(self, link: Link) -> None:
        """The link has ended, or could not be opened."""
        if self._active is link:
            self._active = None
        for call in list(link.calls):
            self._lost_with_link(call)
            if self._active is not None and call.link is None and not (call.late or call.answer.done()):
                self._active.give(call)
        if self._queue is not None:
            self._queue.retry()

    async def _receive(self, link: Link, op: dict[str, Any], length: int) -> None:
        name = op["op"]
        if name in ("ok", "error"):
            await self._answered(link, op)
            return
        if link is not self._active:
            return  # it comes again on the link that is active now
        if name == "goaway":
            link.retry = seconds(op.get("retry_ms"))
            if seconds(op.get("grace_ms")) > 0 and not link.sent_away.done():
                link.sent_away.set_result(None)
            return
        event = event_of(op)
        system = op.get("system")
        # The cursor of a message that comes again is behind what was seen, until a gap.
        behind = isinstance(system, str) and link.is_behind(system) and name != "gap"
        if isinstance(event, Message) and link.forget_repeated(event.system, event.id):
            event = None
        elif isinstance(event, Message):
            behind = False
        elif isinstance(event, Gap):
            link.ahead.discard(event.system)
        if isinstance(event, Left):
            self._forget_left(event)
        if isinstance(event, Presence) and event.reason is not None:
            self._watches.pop(place_name(event.system, event.room), None)
        cursors = None
        if name in ("message", "gap", "cursor") and not behind and (cursor := cursor_of(op)) and system in self._systems:
            cursors = {system: cursor}
        if event is not None or cursors:
            await self._push(link, Item(event, cursors, text=length))
        if name == "disconnect":
            raise disconnected(op)  # the close frame says no more, and may be lost

    def _forget_left(self, left: Left) -> None:
        if left.room is None:
            self._systems = [system for system in self._systems if system != left.system]
        gone = place_name(left.system, left.room)
        self._rooms = [
            place for place in self._rooms
            if place != gone and not (left.room is None and place.startswith(left.system + "/"))
        ]

    async def _keep_token(self, link: Link) -> None:
        """Replaces the token before it expires, again and again."""
        token = link.token
        while token and (wait := keep_for(token, time.time())) is not None:
            await asyncio.sleep(wait)
            try:
                fresh = await self._fresh_token()
                if fresh and link is self._active:
                    await self._ask(Call("auth", {"token": fresh}))
            except (ConnectionLost, OpError, Closed) as err:
                _log.warning("the token could not be replaced: %s", err)
            else:
                token = fresh or token

    # --- all connections ---

    async def _keep_connected(self) -> None:
        """Connects again and again, until coming back would be wrong, and ends the iteration."""
        try:
            self._end(await self._last_error())
        except Exception as err:  # a mistake of this package must not look like silence
            self._end(err)

    async def _last_error(self) -> ConnectionLost:
        """Connects again and again, and returns the error after which that would be wrong."""
        failures, fresh = 0, 0
        while True:
            link, error = await self._follow(self._new_link())
            if self._is_final(error) and not (fresh > 0 and isinstance(error, Refused) and error.status == 401):
                return error
            fresh = _FRESH_TRIES if self._wants_token(error) else fresh - 1
            lasted = time.monotonic() - link.greeted_at if link.greeted.done() else 0.0
            failures = 0 if lasted >= _STABLE else failures + 1
            delay = self._delay(link, error, failures)
            assert self._queue is not None
            lost = Item(Lost(error, delay, failures))
            while not self._queue.fits(lost, bool(self._calls)):
                await self._queue.space()
            self._queue.add(lost)
            await asyncio.sleep(delay)

    async def _follow(self, link: Link) -> tuple[Link, ConnectionLost]:
        """Waits for the end of a link. If the node sends it away, opens the next one before.

        Returns the link that has ended without a successor, and why it has.
        """
        while True:
            await _first(link.task, link.sent_away)
            if not link.sent_away.done():
                return link, link.task.result()
            # Joins are not divided between two links: what they bring would come twice.
            await _until(link.settled, link.task)
            young = self._young = self._new_link()
            await _first(young.task, young.greeted, link.task)
            if not (young.task.done() or young.greeted.done()):  # the old link has ended
                if self._is_final(link.task.result()):
                    young.task.cancel()
                    return link, link.task.result()
                await _first(young.task, young.greeted)
            if young.greeted.done():
                task = asyncio.create_task(self._retire(link))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                link = young
                continue
            self._since_dial = None
            await asyncio.wait({young.task})
            if young.task.cancelled():
                return link, await link.task
            error = young.task.result()
            if link.task.done() and self._wants_token(link.task.result()) and isinstance(error, Refused) and error.status == 401:
                return link, link.task.result()  # the young one came with a token of before
            if self._is_final(error):
                await link.close()
                await asyncio.wait({link.task})
                return young, error
            return link, await link.task

    async def _retire(self, link: Link) -> None:
        """Closes a link that has a successor, once its sends are answered."""
        await _until(link.idle, link.task)
        await link.close()

    def _end(self, error: Exception | None) -> None:
        """Nothing comes any more."""
        for call in list(self._calls.values()):
            if call.late:
                self._rooms.append(call.place)  # for the next 'async with'
            unknown = call.kind == "send" and call.written
            self._settle(call, Unknown("the client was closed before the answer") if unknown else Closed("the client is closed"))
        self._late.clear()
        self._holds.clear()  # what the rooms missed was not handled, so _handled does not move
        self._behind.clear()
        if self._queue is not None:
            self._queue.close(error)

    def _delay(self, link: Link, error: ConnectionLost, failures: int) -> float:
        """How many seconds to wait before connecting again."""
        asked = link.retry
        if isinstance(error, Refused):
            asked = error.retry_after
        elif asked is None and isinstance(error, SessionEnded) and error.code == 4001:
            asked = 0.0
        # A node that says when to come back is believed. If it does so again and again,
        # before a session has lasted, a random time is added.
        if asked is not None and failures <= 1 and not isinstance(error, Refused):
            return asked
        return (asked or 0.0) + self._backoff(failures)

    def _backoff(self, failures: int) -> float:
        """A random time, so that the clients of a node that died do not come back together."""
        bound = self._first_pause * 2.0 ** min(max(failures - 1, 0), 30)
        return random.random() * min(bound, self._max_pause)

    def _is_final(self, error: ConnectionLost) -> bool:
        if isinstance(error, SessionEnded):
            if error.reconnect is not None:
                return not error.reconnect
            own = 4100 <= error.code <= 4999
            return error.code in _FINAL or own or (error.code == 4001 and self._token_of is None)
        if isinstance(error, Refused):
            if error.status in (414, 431):
                return True  # a proxy's limit stays, too
            return error.by_node and 400 <= error.status < 500 and error.status not in (408, 429)
        return isinstance(error, FrameTooLarge)

    def _wants_token(self, error: ConnectionLost) -> bool:
        """Whether a node ended a session so that the client gets another token."""
        if self._token_of is None or not isinstance(error, SessionEnded):
            return False
        return error.code == 4001 or bool(error.reconnect)


async def _first(*futures: asyncio.Future[Any]) -> None:
    """Waits until one of them is done."""
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


async def _until(event: asyncio.Event, end: asyncio.Future[Any]) -> None:
    """Waits for an event, or for the end of what would set it."""
    waiter = asyncio.create_task(event.wait())
    try:
        await _first(waiter, end)
    finally:
        waiter.cancel()
