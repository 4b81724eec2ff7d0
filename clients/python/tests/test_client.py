"""What the script of test/clients does not show: see docs/clients.md."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import unittest
from collections.abc import Awaitable, Callable
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

from fanfare_client import Client, Closed, ConnectionLost, Message, Open, OpError, Refused, SessionEnded, Unknown
from fanfare_client._link import Link
from fanfare_client._tokens import expiry, keep_for

try:
    from websockets.asyncio.server import serve
except ImportError:
    from websockets.legacy.server import serve

HELLO = {"op": "hello", "session": "S", "node": "n", "user": "alice", "systems": {"orders": {"cursor": "c0"}}}

GOAWAY = {"op": "goaway", "retry_ms": 10, "grace_ms": 20_000}


def refusal(status: int, request: tuple[Any, ...], times: int = 1) -> Any:
    """What a process_request returns to refuse, for either kind of websockets.

    It has so many headers that say that it is a node's.
    """
    kind = "application/problem+json"
    if not hasattr(request[0], "respond"):
        return status, [("Content-Type", kind)] * times, b"{}"
    answer = request[0].respond(status, "{}")
    del answer.headers["Content-Type"]
    for _ in range(times):
        answer.headers["Content-Type"] = kind
    return answer


def message(n: int, data: Any = None) -> dict[str, Any]:
    return {"op": "message", "system": "orders", "id": f"m{n}", "cursor": f"c{n}", "to": "user:alice", "data": data}


class Peer:
    """One connection of a client, as a test plays it."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        path = socket.path if hasattr(socket, "path") else socket.request.path
        self.query = parse_qs(urlsplit(path).query)

    async def say(self, *ops: dict[str, Any]) -> None:
        await self._socket.send("\n".join(map(json.dumps, ops)))

    async def hear(self) -> dict[str, Any]:
        op: dict[str, Any] = json.loads(await self._socket.recv())
        return op

    async def ok(self, **more: Any) -> dict[str, Any]:
        op = await self.hear()
        await self.say({"op": "ok", "ref": op["ref"], **more})
        return op

    async def close(self, code: int) -> None:
        await self._socket.close(code)

    async def closed(self) -> None:
        await self._socket.wait_closed()


class ClientTest(unittest.IsolatedAsyncioTestCase):
    async def asyncTearDown(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        self.assertEqual(set(), {t for t in others if "fanfare_client" in repr(t)}, "tasks of the client are left")

    async def node(self, play: Callable[[Peer], Awaitable[None]], **options: Any) -> str:
        """Starts a node that plays each connection, and returns its address."""

        async def handle(socket: Any) -> None:
            await play(Peer(socket))

        server = await serve(handle, "127.0.0.1", 0, subprotocols=["fanfare.v1.json"], **options)

        async def stop() -> None:
            server.close()
            await server.wait_closed()

        self.addAsyncCleanup(stop)
        return f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"

    async def test_the_loop_may_send_while_much_is_waiting(self) -> None:
        async def play(peer: Peer) -> None:
            await peer.say(HELLO, *(message(n, "x" * 500) for n in range(1, 8)))
            await peer.ok(id="sent")
            await peer.say(message(8))
            await peer.closed()

        url, ids = await self.node(play), []
        async with asyncio.timeout(20), Client(url, ["orders"], queue_bytes=2000) as client:
            async for event in client:
                if isinstance(event, Open):
                    self.assertEqual("sent", await client.send("orders", 1))
                if isinstance(event, Message):
                    ids.append(event.id)
                    if event.id == "m8":
                        break
        self.assertEqual([f"m{n}" for n in range(1, 9)], ids)

    async def test_a_loop_that_waits_for_an_answer_is_not_stuck(self) -> None:
        async def play(peer: Peer) -> None:
            await peer.say(HELLO, *(message(n, "x" * 500) for n in range(1, 200)))
            await peer.closed()

        url = await self.node(play)
        async with asyncio.timeout(20), Client(url, ["orders"], queue_bytes=1000, timeout=0.3) as client:
            async for event in client:
                if isinstance(event, Message):
                    with self.assertRaises(Unknown):
                        await client.send("orders", 1)
                    break

    async def test_who_does_not_iterate_stops_the_reading(self) -> None:
        said = 0

        async def play(peer: Peer) -> None:
            nonlocal said
            await peer.say(HELLO)
            while said < 200:
                await peer.say(message(said + 1, "x" * 100_000))
                said += 1
                await asyncio.sleep(0)
            await peer.closed()

        url = await self.node(play)
        async with asyncio.timeout(20), Client(url, ["orders"], queue_bytes=10_000) as client:
            before = -1
            while said == 0 or said > before:  # until all is said, or nothing more can be
                before = said
                await asyncio.sleep(0.3)
            assert client._queue is not None
            self.assertLess(client._queue._bytes, 300_000)
            self.assertIsInstance(await anext(client), Open)
            self.assertEqual("m1", (await anext(client)).id)
            self.assertEqual({"orders": "c0"}, client.cursors)
            self.assertEqual("m2", (await anext(client)).id)
            self.assertEqual({"orders": "c1"}, client.cursors)

    async def test_closing_answers_what_waits(self) -> None:
        heard = asyncio.Event()

        async def play(peer: Peer) -> None:
            await peer.say(HELLO)
            await peer.hear()
            heard.set()
            await peer.closed()

        client = Client(await self.node(play), ["orders"])
        async with asyncio.timeout(20), client:
            self.assertIsInstance(await anext(client), Open)
            sent = asyncio.create_task(client.send("orders", 1))
            await heard.wait()
            joined = asyncio.create_task(client.join("orders", "lobby"))
            await asyncio.sleep(0)
            await client.close()
            with self.assertRaises(Unknown):
                await sent
            with self.assertRaises(Closed):
                await joined
            with self.assertRaises(StopAsyncIteration):
                await anext(client)
            with self.assertRaises(Closed):
                await client.send("orders", 2)

    async def test_a_client_can_be_used_again_and_continues(self) -> None:
        resumed: list[Any] = []

        async def play(peer: Peer) -> None:
            resumed.append(peer.query.get("resume"))
            await peer.say(HELLO, message(len(resumed)))
            await peer.closed()

        client = Client(await self.node(play), ["orders"])
        for n in (1, 2):
            async with asyncio.timeout(20), client:
                async for event in client:
                    if isinstance(event, Message):
                        self.assertEqual(f"m{n}", event.id)
                        asyncio.create_task(client.close())
        self.assertEqual([None, ["orders:c1"]], resumed)

    async def test_a_join_that_is_given_up_does_not_hold_on_later_connections(self) -> None:
        rooms: list[Any] = []

        async def play(peer: Peer) -> None:
            rooms.append(peer.query.get("rooms"))
            await peer.say(HELLO)
            if len(rooms) == 1:
                await peer.hear()  # and end
            else:
                await peer.closed()

        async with asyncio.timeout(20), Client(await self.node(play), ["orders"], first_pause=0.01) as client:
            await anext(client)
            with self.assertRaises(TimeoutError):
                await asyncio.wait_for(asyncio.create_task(client.join("orders", "lobby")), 0.1)
            while len(rooms) < 2:
                await anext(client)
        self.assertEqual([None, None], rooms)

    async def test_a_token_that_ends_both_connections_is_replaced(self) -> None:
        ended = asyncio.Event()
        old: list[Peer] = []

        async def play(peer: Peer) -> None:
            if not old:
                old.append(peer)
                await peer.say(HELLO, GOAWAY)
                await ended.wait()
                await peer.close(4001)
            else:
                await peer.say(HELLO)
                await peer.closed()

        async def refuse(*request: Any) -> Any:
            visits.append(None)
            if len(visits) == 2:
                ended.set()
                while len(client._links) > 1:  # until the old connection has ended
                    await asyncio.sleep(0.01)
                return refusal(401, request)
            return None

        visits: list[None] = []

        async def token() -> str:
            return "a token"

        url = await self.node(play, process_request=refuse)
        client = Client(url, ["orders"], token=token, first_pause=0.01)
        async with asyncio.timeout(20), client:
            opened = 0
            async for event in client:
                opened += isinstance(event, Open)
                if opened == 2:
                    break
        self.assertEqual(3, len(visits))

    async def test_an_answer_with_a_header_twice_is_a_refusal(self) -> None:
        async def play(peer: Peer) -> None:
            await peer.say(HELLO)
            await peer.closed()

        async def refuse(*request: Any) -> Any:
            visits.append(None)
            return refusal(503, request, 2) if len(visits) == 1 else None

        visits: list[None] = []
        url = await self.node(play, process_request=refuse)
        async with asyncio.timeout(20), Client(url, ["orders"], first_pause=0.01) as client:
            async for event in client:
                if isinstance(event, Open):
                    break
        self.assertEqual(2, len(visits))

    async def test_messages_that_never_come_again_are_forgotten(self) -> None:
        async def work(_: Link) -> ConnectionLost:
            return ConnectionLost("over")

        link = Link(work)
        with mock.patch("time.monotonic", return_value=1000.0) as clock:
            link.repeats([("orders", "m1"), ("orders", "m2")])
            self.assertTrue(link.forget_repeated("orders", "m1"))
            self.assertTrue(link.is_behind("orders"))
            clock.return_value += 120
            self.assertFalse(link.is_behind("orders"))
            self.assertFalse(link.forget_repeated("orders", "m2"))
        await link.task

    async def test_nothing_of_the_url_is_lost_and_nothing_is_named_twice(self) -> None:
        async def play(peer: Peer) -> None:
            self.assertEqual({"user": ["alice"], "systems": ["orders"], "resume": ["orders:c7"]}, peer.query)
            await peer.say(HELLO, {"op": "disconnect", "code": 4009, "reason": "done", "reconnect": False})

        url = await self.node(play) + "/?user=alice&systems=mine"
        with self.assertRaises(SessionEnded) as ended:
            async with asyncio.timeout(20), Client(url, ["orders", "orders"], cursors={"orders": "c7"}) as client:
                async for _ in client:
                    pass
        self.assertEqual((4009, "done"), (ended.exception.code, ended.exception.reason))

    async def test_what_cannot_be_sent_is_refused_at_once(self) -> None:
        async def play(peer: Peer) -> None:
            await peer.say(HELLO)
            await peer.closed()

        async with asyncio.timeout(20), Client(await self.node(play), ["orders"]) as client:
            await anext(client)
            with self.assertRaises(TypeError):
                await client.send("orders", object())

    async def test_wrong_arguments(self) -> None:
        for url, options in (
            ("push.example.com", {"systems": ["orders"]}),
            ("http://a", {"systems": []}),
            ("http://a", {"systems": ["Orders"]}),
            ("http://a", {"systems": ["orders"], "rooms": ["chat/lobby"]}),
            ("http://a", {"systems": ["orders"], "timeout": 0}),
        ):
            with self.assertRaises(ValueError, msg=str((url, options))):
                Client(url, **options)


class TokenTest(unittest.TestCase):
    def test_expiry(self) -> None:
        def jwt(claims: Any) -> str:
            return "e30." + base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=") + ".x"

        self.assertEqual(1000.0, expiry(jwt({"exp": 1000})))
        for token in ("", "a", "a.b.c", "a.!.c", jwt({}), jwt({"exp": "1"}), jwt({"exp": True}), jwt([1]), jwt({"exp": -1})):
            self.assertIsNone(expiry(token), token)
        now = time.time()
        self.assertIsNone(keep_for(jwt({"exp": now + 4}), now))
        kept = keep_for(jwt({"exp": now + 100}), now)
        assert kept is not None
        self.assertTrue(75 <= kept <= 90, kept)


class ErrorTest(unittest.TestCase):
    def test_texts(self) -> None:
        self.assertEqual("forbidden: no", str(OpError("forbidden", "no")))
        self.assertEqual("refused with 403: blocked", str(Refused(403, "blocked", 0, True)))


if __name__ == "__main__":
    unittest.main()
