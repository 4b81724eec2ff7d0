"""The errors of this package."""

from __future__ import annotations


class FanfareError(Exception):
    """The base of all errors of this package."""


class OpError(FanfareError):
    """A node's answer to an op that it refused.

    ``code`` is for programs: invalid, forbidden, not_found, too_large, rate_limited,
    bus_down, unsupported or busy. ``message`` is for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Unknown(FanfareError):
    """The connection was lost before the answer: the message may have been published.

    Sending it again with the same id is safe.
    """


class Withdrawn(FanfareError):
    """The room was left, or its presence given up, before the answer."""


class Closed(FanfareError):
    """The client is closed."""


class ConnectionLost(FanfareError):
    """A connection broke, or could not be made."""


class ProtocolError(ConnectionLost):
    """The node said what this client does not understand."""


class TokenFailed(ConnectionLost):
    """The function that returns tokens failed. ``__cause__`` says how."""


class SessionEnded(ConnectionLost):
    """The node closed the session.

    ``reconnect`` is whether the node wants the client back; None if it did not say.
    """

    def __init__(self, code: int, reason: str, reconnect: bool | None = None) -> None:
        super().__init__(f"the node closed the session: {code} {reason}".rstrip())
        self.code = code
        self.reason = reason
        self.reconnect = reconnect


class Refused(ConnectionLost):
    """A request for a connection was answered with a status of 300 or more.

    ``detail`` is what the node said of it, where this can be seen. ``retry_after`` is
    how many seconds the answer asks to wait, 0 if it does not say. ``by_node`` is False
    if something else answered, such as a proxy.
    """

    def __init__(self, status: int, detail: str, retry_after: float, by_node: bool) -> None:
        super().__init__(f"refused with {status}: {detail}" if detail else f"refused with {status}")
        self.status = status
        self.detail = detail
        self.retry_after = retry_after
        self.by_node = by_node
