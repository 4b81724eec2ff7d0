"""Sessions of many users, on the "websockets" package.

Reads commands from stdin and writes what happens to stdout, one JSON object a
line each.

Commands:
  {"do":"open","s":NAME,"url":URL,"token":JWT,"plain":BOOL,"reconnect":BOOL}
        URL has systems and rooms in its query. With reconnect a session that
        ends is opened again, with the cursors that it has got to.
  {"do":"drop","s":NAME}            cut the connection, without a word
  {"do":"say","s":NAME,"text":T}    send a frame
  {"do":"shut","s":NAME}            close the session and leave it closed
When stdin ends all sessions are closed, and the program ends.

Events, each with the session's name "s":
  {"e":"open"}  {"e":"op","op":{...}}  {"e":"text","text":T}
  {"e":"close","code":N,"reason":R}  {"e":"refused","code":STATUS or 0,"reason":R}
"""

import asyncio
import json
import random
import sys
import urllib.parse

import websockets

# The names of one argument and one exception differ between versions.
try:
    from websockets.exceptions import InvalidStatusCode as Refused
except ImportError:
    from websockets.exceptions import InvalidStatus as Refused


def emit(session, event, **fields):
    sys.stdout.write(json.dumps({"s": session, "e": event, **fields}) + "\n")


class Session:
    def __init__(self, name, url, token, plain=False, reconnect=True):
        self.name, self.url, self.token = name, url, token
        self.plain, self.reconnect = plain, reconnect
        self.cursors = {}
        self.retry = None
        self.ws = None
        self.failures = 0

    async def run(self, gate):
        while True:
            await self.connect(gate)
            if not self.reconnect:
                return
            if self.retry is None:
                self.retry = random.uniform(0.02, 0.1 * 2 ** min(self.failures, 4))
            await asyncio.sleep(self.retry)
            self.retry = None

    async def connect(self, gate):
        protocol = "fanfare.plain" if self.plain else "fanfare.v1.json"
        url = self.url
        if self.cursors:
            at = ",".join(f"{system}:{cursor}" for system, cursor in self.cursors.items())
            url += "&resume=" + urllib.parse.quote(at)
        try:
            async with gate:
                self.ws = await websockets.connect(
                    url, subprotocols=[protocol, "fanfare.token." + self.token],
                    ping_interval=None, compression=None, max_size=None, open_timeout=15)
        except (OSError, asyncio.TimeoutError, EOFError, websockets.WebSocketException) as e:
            self.failures += 1
            status = getattr(e, "status_code", 0) if isinstance(e, Refused) else 0
            emit(self.name, "refused", code=status, reason=f"{type(e).__name__}: {e}")
            return
        self.failures = 0
        emit(self.name, "open")
        try:
            async for frame in self.ws:
                self.receive(frame)
        except websockets.ConnectionClosed:
            pass
        emit(self.name, "close", code=self.ws.close_code or 1006, reason=self.ws.close_reason or "")

    def receive(self, frame):
        if self.plain:
            emit(self.name, "text", text=frame if isinstance(frame, str) else frame.decode("latin-1"))
            return
        for line in frame.split("\n"):
            op = json.loads(line)
            emit(self.name, "op", op=op)
            self.note(op)

    def note(self, op):
        if op["op"] == "hello":
            for system, state in op["systems"].items():
                self.move(system, state["cursor"])
        elif op["op"] in ("message", "cursor", "gap"):
            self.move(op["system"], op["cursor"])
        elif op["op"] == "goaway":
            self.retry = op["retry_ms"] / 1000

    def move(self, system, cursor):
        if cursor is not None:
            self.cursors[system] = cursor

    async def shut(self):
        self.reconnect = False
        if self.ws is not None:
            await self.ws.close()

    def drop(self):
        self.ws.transport.abort()


class Program:
    def __init__(self):
        self.sessions, self.tasks = {}, []
        self.gate = asyncio.Semaphore(32)  # handshakes at a time

    async def obey(self, command):
        do, name = command.pop("do"), command.pop("s")
        if do == "open":
            self.sessions[name] = Session(name, **command)
            self.tasks.append(asyncio.create_task(self.sessions[name].run(self.gate)))
        elif do == "drop":
            self.sessions[name].drop()
        elif do == "say":
            await self.sessions[name].ws.send(command["text"])
        elif do == "shut":
            await self.sessions[name].shut()

    async def end(self):
        await asyncio.gather(*(s.shut() for s in self.sessions.values()))
        done, left = await asyncio.wait(self.tasks, timeout=10) if self.tasks else ((), ())
        for task in left:
            task.cancel()
        for task in done:
            task.result()  # a bug in here is not to go unnoticed


async def flush():
    while True:
        sys.stdout.flush()
        await asyncio.sleep(0.01)


async def main():
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    flusher = asyncio.create_task(flush())
    program = Program()
    while line := await reader.readline():
        await program.obey(json.loads(line))
    await program.end()
    flusher.cancel()
    sys.stdout.flush()


asyncio.run(main())
