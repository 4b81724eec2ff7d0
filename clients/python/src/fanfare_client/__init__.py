"""Receives messages from Fanfare, and sends messages, over a WebSocket.

    async with Client("https://push.example.com", ["orders"], token=mint) as client:
        async for event in client:
            match event:
                case Message():
                    show(event.type, event.data)
                case Gap():
                    await asyncio.sleep(event.after)
                    await reload()

The client connects again by itself when the connection is lost, and receives what it
missed, or a Gap. See the class Client.
"""

from .client import Client
from .errors import (
    Closed,
    ConnectionLost,
    FanfareError,
    OpError,
    ProtocolError,
    Refused,
    SessionEnded,
    TokenFailed,
    Unknown,
    Withdrawn,
)
from .events import Bus, Coverage, Event, Gap, Joined, Left, Lost, Message, Open, Place, Presence

__all__ = [
    "Bus",
    "Client",
    "Closed",
    "ConnectionLost",
    "Coverage",
    "Event",
    "FanfareError",
    "Gap",
    "Joined",
    "Left",
    "Lost",
    "Message",
    "OpError",
    "Open",
    "Place",
    "Presence",
    "ProtocolError",
    "Refused",
    "SessionEnded",
    "TokenFailed",
    "Unknown",
    "Withdrawn",
]
