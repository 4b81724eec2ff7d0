"""When to replace a token."""

from __future__ import annotations

import base64
import json
import random

#: How many seconds a token must have left to be worth replacing on the same connection.
_TOO_SHORT = 5.0


def expiry(token: str) -> float | None:
    """When a JWT expires, in seconds since 1970; None if it does not say or is no JWT.

    The signature is not checked: the node does that.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        at = claims["exp"]
    except (ValueError, KeyError, TypeError):
        return None
    if isinstance(at, bool) or not isinstance(at, (int, float)) or at <= 0:
        return None
    return float(at)


def keep_for(token: str, now: float) -> float | None:
    """How many seconds to keep a token before asking for the next.

    That is a random part, from 75 to 90 percent, of what it has left, so that clients
    that got their tokens together do not ask together. None if it does not expire, or
    expires too soon.
    """
    at = expiry(token)
    if at is None or at - now <= _TOO_SHORT:
        return None
    return (at - now) * random.uniform(0.75, 0.9)
