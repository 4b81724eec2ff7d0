"""What a client asks of a node, and what becomes of it when a connection is lost."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._link import Link


@dataclass(eq=False, slots=True)
class Call:
    """An op that a node answers. ``kind`` is its name."""

    kind: str
    fields: dict[str, Any]
    #: system/room, or the system alone; empty where the op has no place.
    place: str = ""
    #: It joins a room for which the address of the connection had no space.
    late: bool = False
    #: It watches on a new connection what the last one watched.
    again: bool = False

    ref: int = 0
    #: The link that it was given to; None while it waits for one.
    link: Link | None = None
    #: A node may have received it.
    written: bool = False
    answer: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def watches(self) -> bool:
        return self.kind == "presence" and bool(self.fields["watch"])

    @property
    def moot(self) -> bool:
        """The next connection does by itself what it asks for.

        That connection names the rooms and the token anew, and watches only what is to
        be watched.
        """
        return self.kind in ("leave", "auth") or self.kind == "presence" and (self.again or not self.watches)

    def text(self) -> str:
        return json.dumps({"op": self.kind, "ref": self.ref, **self.fields}, separators=(",", ":"))


def place_name(system: str, room: str | None) -> str:
    return system if room is None else f"{system}/{room}"


def split_place(place: str) -> tuple[str, str | None]:
    system, slash, room = place.partition("/")
    return system, room if slash else None
