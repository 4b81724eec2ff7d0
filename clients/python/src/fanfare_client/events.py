"""What a Client tells its user."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .errors import ConnectionLost, ProtocolError


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was published for this session."""

    system: str
    id: str
    #: "Everything up to and with this message was seen". None where the bus has no
    #: cursors, and for messages that a join with ``since`` brought.
    cursor: str | None
    #: The first of the message's targets that matched, such as user:alice.
    to: str
    #: The user who sent it; None if a service published it.
    sender: str | None
    type: str
    #: None if the message has no time that can be read.
    time: datetime | None
    headers: Mapping[str, str]
    content_type: str
    #: A JSON value; a str where content_type is text; bytes where it is something else.
    data: Any


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages of a system may be missing here."""

    system: str
    #: trimmed, lossy, overflow, too_far or unknown_cursor.
    reason: str
    cursor: str | None
    #: After how many seconds to fetch the state anew, so that not all clients do so at once.
    after: float


@dataclass(frozen=True, slots=True)
class Coverage:
    """Whether all of the latest messages come that were asked for."""

    complete: bool
    #: Why some are missing, in the words of a Gap; "" if none is.
    reason: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session begins in a system."""

    #: None while the node does not know it.
    cursor: str | None
    #: The session continues from the cursor that the client gave.
    resumed: bool
    #: Whether all of the latest messages come, if the client asked for them.
    last: Coverage | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """A session begins. What was missed follows."""

    session: str
    node: str
    user: str
    systems: Mapping[str, Place]


@dataclass(frozen=True, slots=True)
class Bus:
    """The node has lost its bus, or has it again."""

    up: bool


@dataclass(frozen=True, slots=True)
class Joined:
    """The server has put the session into a room, of which the user is a member."""

    system: str
    room: str
    by: str


@dataclass(frozen=True, slots=True)
class Left:
    """The session was taken out of a room or, without a room, out of a system.

    The reason is "server" if the user is no longer a member, "token" if a new token does
    not allow it, or the code with which a node refused to join the room again.
    """

    system: str
    room: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Presence:
    """Who is in a place that is watched, or what has changed there."""

    system: str
    #: None where the system itself is watched.
    room: str | None
    #: How many users are there; None only with a reason.
    count: int | None
    #: All users, sorted: replaces what was known.
    users: list[str] | None
    #: Who came and who went. If these and users are None, only count is known from now on.
    joined: list[str] | None
    left: list[str] | None
    #: Why the place is not watched any more; None while it is.
    reason: str | None


@dataclass(frozen=True, slots=True)
class Lost:
    """A connection ended or could not be made. The client will connect again."""

    error: ConnectionLost = field(compare=False)
    #: After how many seconds it will.
    delay: float
    #: How many connections in a row did not last.
    failures: int


Event = Message | Gap | Open | Bus | Joined | Left | Presence | Lost

#: The longest time for which a node can make a client wait, in seconds.
LONGEST = 3600.0


def seconds(milliseconds: Any) -> float:
    """Milliseconds of a node as seconds, from 0 to LONGEST."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, (int, float)):
        return 0.0
    return min(max(milliseconds / 1000, 0.0), LONGEST)


def cursor_of(op: Mapping[str, Any]) -> str | None:
    """The cursor of an op; None if it is missing, null or empty."""
    cursor = op.get("cursor")
    return cursor if isinstance(cursor, str) and cursor else None


def event_of(op: Mapping[str, Any]) -> Event | None:
    """The event that an op is told as; None if the user is told nothing."""
    try:
        match op.get("op"):
            case "message":
                return _message(op)
            case "gap":
                return Gap(op["system"], op.get("reason", ""), cursor_of(op), seconds(op.get("after_ms")))
            case "bus":
                return Bus(bool(op.get("up")))
            case "joined":
                return Joined(op["system"], op["room"], op.get("by", ""))
            case "left":
                return Left(op["system"], op.get("room"), op.get("reason", ""))
            case "presence":
                return Presence(
                    op["system"], op.get("room"), op.get("count"), op.get("users"),
                    op.get("joined"), op.get("left"), op.get("reason"),
                )
            case "hello":
                places = {
                    name: Place(cursor_of(place), bool(place.get("resumed")), _coverage(place.get("last")))
                    for name, place in op.get("systems", {}).items()
                }
                return Open(op.get("session", ""), op.get("node", ""), op.get("user", ""), places)
    except (KeyError, TypeError, AttributeError, ValueError) as err:
        raise ProtocolError(f"the op {op.get('op')} cannot be read: {err!r}") from err
    return None


def _coverage(last: Any) -> Coverage | None:
    if last is None:
        return None
    return Coverage(bool(last.get("complete")), last.get("reason") or "")


def _message(op: Mapping[str, Any]) -> Message:
    content_type = op.get("content_type") or "application/json"
    data = op.get("data")
    if isinstance(op.get("data_base64"), str):
        try:
            data = base64.b64decode(op["data_base64"], validate=True)
        except binascii.Error as err:
            raise ValueError(f"data_base64: {err}") from err
    return Message(
        op["system"], op.get("id", ""), cursor_of(op), op.get("to", ""), op.get("from"),
        op.get("type", ""), _time(op.get("time")), op.get("headers") or {}, content_type, data,
    )


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
