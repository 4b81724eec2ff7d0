"""Drives the client for the script that every client must pass: see docs/clients.md."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import sys
from typing import Any

from fanfare_client import (
    Client,
    FanfareError,
    Lost,
    Message,
    Open,
    OpError,
    Refused,
    SessionEnded,
    Unknown,
)


def say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def tell(event: Any) -> None:
    match event:
        case Message():
            line = {
                "system": event.system, "id": event.id, "to": event.to, "from": event.sender, "type": event.type,
                "headers": dict(event.headers), "content_type": event.content_type,
            }
            if isinstance(event.data, bytes):
                line["data_base64"] = base64.b64encode(event.data).decode()
            else:
                line["data"] = event.data
            say(e="message", **line)
        case Open():
            last = {system: dataclasses.asdict(at.last) for system, at in event.systems.items() if at.last}
            say(e="open", node=event.node, last=last)
        case Lost():
            say(e="lost", text=str(event.error))
        case _:
            line = dataclasses.asdict(event)
            if "after" in line:
                line["after_ms"] = round(line.pop("after") * 1000)
            say(e=type(event).__name__.lower(), **line)


def tokens_of(tokens: list[str | None]) -> Any:
    given = iter(tokens)

    async def token() -> str | None:
        one = next(given, tokens[-1])
        if one is None:
            raise RuntimeError("no token now")
        return one

    return token


async def run(client: Client, stop: asyncio.Event) -> None:
    async with client:
        stopped = asyncio.create_task(stop.wait())
        stopped.add_done_callback(lambda _: asyncio.create_task(client.close()))
        try:
            async for event in client:
                tell(event)
        except FanfareError as err:
            line: dict[str, Any] = {"e": "ended", "text": str(err)}
            if isinstance(err, SessionEnded):
                line |= {"code": err.code, "reason": err.reason}
            if isinstance(err, Refused):
                line["status"] = err.status
            say(**line)
            await stopped


async def ask(client: Client, command: dict[str, Any]) -> None:
    what, ref = command.pop("do"), command.pop("ref")
    try:
        match what:
            case "send":
                say(did=ref, id=await client.send(command.pop("system"), command.pop("data"), **command))
            case "join" | "leave" | "watch" | "unwatch":
                await getattr(client, what)(**command)
                say(did=ref)
            case "cursors":
                say(did=ref, cursors=client.cursors)
            case _:
                say(did=ref, error=f"{what} is no command")
    except OpError as err:
        say(did=ref, error=err.code)
    except Unknown:
        say(did=ref, error="unknown")
    except FanfareError as err:
        say(did=ref, error=str(err))


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say(e="ready", can=["send", "status", "from", "last"])
    client, session, stop = None, None, asyncio.Event()
    asked = set()
    while line := await reader.readline():
        command = json.loads(line)
        if command["do"] == "start":
            options = {name: command[name] for name in ("rooms", "cursors", "last") if name in command}
            options["from_"] = command.get("from")
            if "tokens" in command:
                options["token"] = tokens_of(command["tokens"])
            if "timeout_ms" in command:
                options["timeout"] = command["timeout_ms"] / 1000
            client, stop = Client(command["url"], command["systems"], **options), asyncio.Event()
            session = asyncio.create_task(run(client, stop))
        elif command["do"] == "stop":
            stop.set()
            await session
            await asyncio.gather(*asked)
            say(e="stopped")
        else:
            task = asyncio.create_task(ask(client, command))
            asked.add(task)
            task.add_done_callback(asked.discard)
    if session is not None:
        stop.set()
        await session


asyncio.run(main())
