"""WebSockets, by whichever version of the package websockets is installed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Protocol

import websockets
from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException

from .errors import ConnectionLost, ProtocolError, Refused, SessionEnded
from .events import LONGEST

_connect: Callable[..., Any]
try:
    from websockets.asyncio.client import connect as _connect

    _HEADERS = "additional_headers"
except ImportError:  # before version 13
    from websockets.legacy.client import connect as _connect

    _HEADERS = "extra_headers"

PROTOCOL = "fanfare.v1.json"

#: How many frames are read ahead; the client's own queue is the one that counts.
_FRAMES = 4

#: How long the closing of a connection may take, in seconds.
_CLOSING = 1.0


class FrameTooLarge(ConnectionLost):
    """A frame was larger than the client reads. It would come again."""


class Socket(Protocol):
    """The part of a connection that this package uses. Both kinds have it."""

    async def recv(self) -> str | bytes: ...
    async def send(self, message: str) -> None: ...
    async def close(self, code: int = 1000, reason: str = "") -> None: ...


async def dial(url: str, token: str | None, *, timeout: float, silence: float, frame_bytes: int) -> Socket:
    """Connects. Raises Refused if the answer was a status, otherwise ConnectionLost."""
    options: dict[str, Any] = {
        "subprotocols": [websockets.Subprotocol(PROTOCOL)],
        "open_timeout": timeout,
        "close_timeout": _CLOSING,
        "ping_interval": silence / 2,
        "ping_timeout": silence / 2,
        "max_size": frame_bytes,
        "max_queue": _FRAMES,
    }
    if token:
        options[_HEADERS] = {"Authorization": f"Bearer {token}"}
    try:
        socket = await _connect(url, **options)
    except InvalidHandshake as err:
        raise _refusal(err) from err
    except (OSError, WebSocketException, EOFError) as err:
        raise ConnectionLost(f"connecting: {err}") from err
    if socket.subprotocol != PROTOCOL:
        await socket.close()
        raise ProtocolError(f"the node does not speak {PROTOCOL}")
    found: Socket = socket
    return found


def loss(err: Exception) -> ConnectionLost:
    """Turns the error of a read or write into one of this package."""
    if isinstance(err, ConnectionClosed):
        if err.sent is not None and err.sent.code == 1009 and not err.rcvd_then_sent:
            return FrameTooLarge("a frame is larger than frame_bytes allows")
        if err.rcvd is not None:
            return SessionEnded(err.rcvd.code, err.rcvd.reason)
    return ConnectionLost(f"reading: {err}")


def _refusal(err: InvalidHandshake) -> ConnectionLost:
    response = getattr(err, "response", None)
    status = getattr(err, "status_code", None) if response is None else response.status_code
    if status is None:
        return ConnectionLost(f"connecting: {err}")
    headers: Mapping[str, str] = getattr(err, "headers", {}) if response is None else response.headers
    by_node = _header(headers, "Content-Type").startswith("application/problem+json")
    detail = ""
    if by_node and response is not None and response.body:  # before version 13 no body is read
        try:
            detail = str(json.loads(response.body).get("detail", ""))
        except (ValueError, AttributeError):
            detail = ""
    return Refused(status, detail, _retry_after(_header(headers, "Retry-After")), by_node)


def _header(headers: Mapping[str, str], name: str) -> str:
    """The value of a header; empty without it, and if an answer has two of them."""
    try:
        return headers.get(name, "")
    except LookupError:
        return ""


def _retry_after(text: str) -> float:
    """The seconds of Retry-After, which has them or a date: RFC 9110 §10.2.3."""
    try:
        wait = float(text) if text.isdecimal() else parsedate_to_datetime(text).timestamp() - time()
    except (ValueError, TypeError):
        return 0.0
    return min(max(wait, 0.0), LONGEST)
