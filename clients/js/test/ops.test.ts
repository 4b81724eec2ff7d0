// join, leave, send and auth: what is promised, and what becomes of it when the
// connection breaks.
import assert from "node:assert/strict";
import { test } from "node:test";
import { hello, message, type Peer } from "./fake.ts";
import { code, fake, luck, until, Watched } from "./kit.ts";

const asked = (peer: Peer | undefined, op: string) => until(`the client asks to ${op}`, () => peer?.said.find(s => s.op === op));

test("answers are matched to requests by ref, in any order", async t => {
  const node = await fake(t);
  const { client } = await new Watched(t, node.url).open();
  const peer = node.sockets[0]!;
  const sent = client.send("orders", { data: 1 });
  const joined = client.join("orders", "a");
  const refused = client.join("orders", "b");
  await until("three ops", () => peer.said.length === 3);
  const [send, a, b] = peer.said;
  peer.say({ op: "error", ref: b.ref, code: "forbidden", message: "the token does not allow this room" }, { op: "ok", ref: a.ref },
    { op: "ok", ref: send.ref, id: "m1" });
  assert.equal(await sent, "m1");
  await joined;
  await assert.rejects(refused, code("forbidden"));
  assert.deepEqual(send, { op: "send", ref: send.ref, system: "orders", data: 1 });
});

test("an error without a ref is an event", async t => {
  const node = await fake(t, peer => peer.say(hello(peer), { op: "error", code: "rate_limited", message: "too much" }));
  const w = await new Watched(t, node.url).open();
  await until("the event", () => w.events.error.length);
  assert.equal((w.events.error[0] as any).code, "rate_limited");
});

test("a room is named at connect once its join was answered, and not when it is left", async t => {
  luck(t, 0);
  const node = await fake(t);
  const w = await new Watched(t, node.url, { systems: ["orders", "chat"], rooms: ["chat/lobby"] }).open();
  assert.equal(node.sockets[0]!.query.get("rooms"), "chat/lobby");
  const joined = w.client.join("chat", "a/b c");
  node.sockets[0]!.say({ op: "ok", ref: (await asked(node.sockets[0], "join")).ref });
  await joined;
  const left = w.client.leave("chat", "lobby");
  await asked(node.sockets[0], "leave");
  node.sockets[0]!.cut();
  await left; // the next connection does not name it
  await w.open(2);
  assert.equal(node.sockets[1]!.query.get("rooms"), "chat/a/b c");
  assert.equal(node.sockets[1]!.query.get("systems"), "orders,chat");
});

test("a join that was not answered is asked for on the next connection", async t => {
  luck(t, 0);
  const node = await fake(t);
  const w = await new Watched(t, node.url).open();
  const joined = w.client.join("orders", "a");
  await asked(node.sockets[0], "join");
  node.sockets[0]!.cut();
  const { ref } = await asked(await until("another", () => node.sockets[1]), "join");
  assert.equal(node.sockets[1]!.query.get("rooms"), null); // a refusal of it must not cost the connection
  node.sockets[1]!.say({ op: "error", ref, code: "forbidden", message: "no" });
  await assert.rejects(joined, code("forbidden"));
});

test("a join while there is no connection waits for one; leaving the room ends it", async t => {
  luck(t, 0);
  const node = await fake(t);
  node.refuse.push(503);
  const w = new Watched(t, node.url);
  w.client.connect();
  const [a, b] = [w.client.join("orders", "a"), w.client.join("orders", "b")];
  const ended = assert.rejects(b, code("left"));
  await w.client.leave("orders", "b");
  await ended;
  await w.open();
  const { ref, room } = await asked(node.sockets[0], "join");
  assert.equal(room, "a");
  node.sockets[0]!.say({ op: "ok", ref });
  await a;
});

test("a replay that breaks off is asked for again, and no message is delivered twice", async t => {
  luck(t, 0);
  const past = (id: string, more = {}) => message(id, { cursor: undefined, to: "room:a", ...more });
  const node = await fake(t);
  const w = await new Watched(t, node.url).open();
  const joined = w.client.join("orders", "a", { since: "c0" });
  const first = node.sockets[0]!;
  await asked(first, "join");
  const live = message("7", { to: "room:a" });
  first.say(past("1"), past("2"), live, live);
  await until("a part", () => w.ids.length === 4);
  first.cut();
  const again = await asked(await until("another", () => node.sockets[1]), "join");
  assert.equal(again.since, "c0");
  assert.equal(node.sockets[1]!.query.get("resume"), "orders:c7");
  node.sockets[1]!.say(past("1"), past("2", { data: "other" }), past("2"), past("3"), past("7"), live, message("8"), { op: "ok", ref: again.ref }, message("9"));
  await joined;
  assert.deepEqual(w.ids, ["1", "2", "7", "7", "2", "3", "7", "8", "9"].slice(0, w.ids.length));
  await until("the last", () => w.ids.at(-1) === "9");
  assert.equal(w.events.message[4]!.data, "other");
});

test("a join that is answered with busy is sent again", async t => {
  luck(t, 0);
  const node = await fake(t);
  const w = await new Watched(t, node.url).open();
  const joined = w.client.join("orders", "a", { since: "c0" });
  const peer = node.sockets[0]!;
  peer.say({ op: "error", ref: (await asked(peer, "join")).ref, code: "busy", message: "try again in a moment" });
  await until("again", () => peer.said.length === 2);
  peer.say({ op: "ok", ref: peer.said[1].ref });
  await joined;
});

test("a send without an answer has an unknown outcome", async t => {
  luck(t, 0);
  const node = await fake(t);
  const w = await new Watched(t, node.url).open();
  const sent = w.client.send("orders", { id: "m1", data: 1 });
  await asked(node.sockets[0], "send");
  const ended = assert.rejects(sent, code("unknown"));
  node.sockets[0]!.cut();
  await ended;
  await w.open(2);
  assert.deepEqual(node.sockets[1]!.said, []);
});

test("a send with retry is repeated with its id", async t => {
  luck(t, 0);
  const node = await fake(t);
  const w = await new Watched(t, node.url).open();
  const sent = w.client.send("orders", { data: 1 }, { retry: true });
  const { id } = await asked(node.sockets[0], "send");
  assert.ok(id.length > 15);
  node.sockets[0]!.cut();
  const again = await asked(await until("another", () => node.sockets[1]), "send");
  assert.equal(again.id, id);
  node.sockets[1]!.say({ op: "ok", ref: again.ref, id });
  assert.equal(await sent, id);
});

test("a send with retry ends when nodes may have forgotten its id, or when it is too big", async t => {
  luck(t, 0);
  const node = await fake(t);
  const w = await new Watched(t, node.url).open();
  const big = assert.rejects(w.client.send("orders", { data: 1 }, { retry: true }), code("too_large"));
  await asked(node.sockets[0], "send");
  node.sockets[0]!.close(1009);
  await big;
  await w.open(2);
  const old = assert.rejects(w.client.send("orders", { data: 1 }, { retry: true }), code("unknown"));
  await asked(node.sockets[1], "send");
  t.mock.method(Date, "now", (now => () => now + 110_000)(Date.now()));
  node.sockets[1]!.cut();
  await old;
});

test("close rejects what is pending, with the code that is true for it", async t => {
  const node = await fake(t);
  const w = await new Watched(t, node.url).open();
  const ends = [
    assert.rejects(w.client.send("orders", { data: 1 }, { retry: true }), code("unknown")),
    assert.rejects(w.client.join("orders", "a"), code("closed")),
  ];
  await asked(node.sockets[0], "join");
  w.client.close();
  await Promise.all(ends);
  await assert.rejects(w.client.send("orders", { data: 1 }, { retry: true }), code("closed"));
});

test("the number of requests that wait for answers is bounded", async t => {
  const node = await fake(t);
  node.refuse.push(0);
  const w = new Watched(t, node.url);
  w.client.connect();
  const waiting = Array.from({ length: 1000 }, () => w.client.send("orders", { data: 1 }, { retry: true }));
  const ends = Promise.allSettled(waiting);
  await assert.rejects(w.client.send("orders", { data: 1 }, { retry: true }), code("rate_limited"));
  w.client.close();
  assert.ok((await ends).every(e => e.status === "rejected" && e.reason.code === "closed"));
});

test("what a new token does not allow is not asked for again", async t => {
  luck(t, 0);
  const node = await fake(t, (peer, i) => {
    peer.say(hello(peer));
    if (i === 0) peer.say({ op: "left", system: "orders", room: "a", reason: "token" }, { op: "left", system: "chat", reason: "token" });
  });
  const w = await new Watched(t, node.url, { systems: ["orders", "chat"], rooms: ["orders/a", "orders/ab", "chat/c"] }).open();
  await until("both notices", () => w.events.left.length === 2);
  node.sockets[0]!.cut();
  await w.open(2);
  const { query } = node.sockets[1]!;
  assert.deepEqual([query.get("systems"), query.get("rooms")], ["orders", "orders/ab"]);
});

test("no time is longer than a timer can wait", async t => {
  const node = await fake(t);
  const jwt = (exp: string) => `x.${Buffer.from(`{"exp":${exp}}`).toString("base64url")}.y`;
  for (const exp of ["9999999999", "9007199254740993", "1e300", "1e400"]) {
    let asked = 0;
    const w = await new Watched(t, node.url, { timeout: 1e12, heartbeat: 1e12, token: () => (asked++, jwt(exp)) }).open();
    await new Promise(done => setTimeout(done, 50));
    assert.deepEqual([exp, asked, w.events.open.length, w.events.close, w.events.error], [exp, 1, 1, [], []]);
    w.client.close();
  }
});

test("a token is replaced on the connection before it expires", async t => {
  luck(t, 0);
  const jwt = (seconds: number) => `x.${Buffer.from(JSON.stringify({ exp: Date.now() / 1000 + seconds })).toString("base64url")}.y`;
  const node = await fake(t);
  const tokens = [jwt(5.05), jwt(3600)];
  const wait = t.mock.method(globalThis, "setTimeout", ((real: any) => (f: any, ms: number) => real(f, ms > 3000 && ms < 4000 ? 1 : ms))(setTimeout) as any);
  const w = await new Watched(t, node.url, { token: () => tokens.shift()! }).open();
  const auth = await asked(node.sockets[0], "auth");
  node.sockets[0]!.say({ op: "ok", ref: auth.ref });
  await until("the next is planned", () => wait.mock.calls.some((c: any) => Math.abs(c.arguments[1] - 2_700_000) < 10_000));
  assert.deepEqual([auth.token.startsWith("x."), tokens.length, w.events.error, w.events.close], [true, 0, [], []]);
});

const many = (count: number) => Array.from({ length: count }, (_, i) => `orders/${String(i).padStart(3, "0")}${"x".repeat(97)}`);
const roomOf = (name: string) => name.slice("orders/".length);

test("a room with a comma in its name has a parameter of its own", async t => {
  luck(t, 0);
  const node = await fake(t);
  const w = await new Watched(t, node.url + "/?room=orders/fixed", { rooms: ["orders/a,b", "orders/c"] }).open();
  assert.deepEqual(node.sockets[0]!.query.getAll("room"), ["orders/a,b"]);
  const joined = w.client.join("orders", "a,chat/b");
  node.sockets[0]!.say({ op: "ok", ref: (await asked(node.sockets[0], "join")).ref });
  await joined;
  node.sockets[0]!.cut();
  await w.open(2);
  const { query } = node.sockets[1]!;
  assert.deepEqual([query.getAll("room"), query.getAll("rooms")], [["orders/a,b", "orders/a,chat/b"], ["orders/c"]]);
});

test("rooms for which the URL has no space are joined after the hello, since the connection's first cursor", async t => {
  luck(t, 0);
  const node = await fake(t);
  const rooms = many(40);
  const w = await new Watched(t, node.url, { rooms }).open();
  const peer = node.sockets[0]!;
  const named = peer.query.get("rooms")!.split(",");
  assert.ok(named.length > 20 && named.length < 30, `${named.length}`);
  peer.say(message("1"));
  await until("a message", () => w.ids.length);
  assert.deepEqual(w.client.cursors, { orders: "start" }, "another page must not go on behind what the rooms missed");
  for (let i = named.length; i < rooms.length; i++) {
    const op = await until("a join", () => peer.said[i - named.length]);
    assert.deepEqual([op.op, op.room, op.since], ["join", roomOf(rooms[i]!), "start"]);
    if (i === 30) peer.say({ op: "error", ref: op.ref, code: "rate_limited", message: "too much" });
    peer.said.length === i - named.length + 1 || assert.fail("the next was not waited for");
    if (i === 30) await until("again", () => peer.said.length > i - named.length + 1 && peer.said.pop());
    if (i === 35) peer.say({ op: "error", ref: op.ref, code: "forbidden", message: "no" });
    else peer.say({ op: "ok", ref: op.ref });
  }
  await until("the place", () => w.client.cursors.orders === "c1");
  assert.deepEqual(w.events.left, [{ system: "orders", room: roomOf(rooms[35]!), reason: "forbidden" }]);
  peer.cut();
  await w.open(2);
  await until("the joins", () => node.sockets[1]!.said.length);
  assert.equal(node.sockets[1]!.said[0].since, "c1");
});

test("a room that was not joined yet when the connection broke is joined since the same cursor", async t => {
  luck(t, 0);
  const node = await fake(t);
  const rooms = many(30);
  const w = await new Watched(t, node.url, { rooms }).open();
  const first = await asked(node.sockets[0], "join");
  node.sockets[0]!.say(message("1"));
  await until("a message", () => w.ids.length);
  node.sockets[0]!.cut();
  await w.open(2);
  assert.equal(node.sockets[1]!.query.get("resume"), "orders:c1");
  const again = await asked(node.sockets[1], "join");
  assert.deepEqual([again.room, again.since], [first.room, "start"]);
  w.client.close();
  w.client.connect();
  await w.open(3);
  const third = node.sockets[2]!;
  const all = await until("all", () => {
    for (const op of third.said) third.say({ op: "ok", ref: op.ref });
    const names = new Set([...third.query.get("rooms")!.split(","), ...third.said.map(s => "orders/" + s.room)]);
    return names.size === rooms.length ? names : undefined;
  });
  assert.deepEqual([...all].sort(), rooms);
});

test("a client that is closed while rooms wait resumes before what these rooms missed", async t => {
  luck(t, 0);
  const node = await fake(t);
  const rooms = many(30);
  const w = await new Watched(t, node.url, { rooms }).open();
  const first = await asked(node.sockets[0], "join");
  node.sockets[0]!.say(message("1"));
  await until("a message", () => w.ids.length);
  w.client.close();
  assert.deepEqual(w.client.cursors, { orders: "start" });
  w.client.connect();
  await w.open(2);
  const { query, said } = node.sockets[1]!;
  assert.equal(query.get("resume"), "orders:start");
  if (!query.get("rooms")!.split(",").includes("orders/" + first.room)) {
    const again = await until("the join", () => said.find(op => op.room === first.room));
    assert.equal(again.since, "start");
  }
});

test("a name with half of a surrogate pair is refused, not changed", async t => {
  const node = await fake(t);
  const w = await new Watched(t, node.url).open();
  await assert.rejects(w.client.join("orders", "\ud83d"), code("invalid"));
  assert.throws(() => new Watched(t, node.url, { rooms: ["orders/a\ude00"] }), code("invalid"));
  void w.client.send("orders", { id: "\ud83d", data: "\ud83d\ude00 \ud83d" }).catch(() => {});
  // It is escaped, so that the node sees what it is and can refuse it.
  assert.equal((await asked(node.sockets[0], "send")).id, "\ud83d");
});

test("an empty id counts as none: with retry the client makes one, so that the message is delivered once", async t => {
  const node = await fake(t);
  const { client } = await new Watched(t, node.url).open();
  void client.send("orders", { id: "", data: "" }, { retry: true }).catch(() => {});
  const { id, data } = await asked(node.sockets[0], "send");
  assert.ok(id.length > 10);
  assert.equal(data, "");
});

test("empty data is sent", async t => {
  const node = await fake(t);
  const w = await new Watched(t, node.url).open();
  node.sockets[0]!.say(message("1", { content_type: "text/plain", data: "" }), message("2", { data: undefined, data_base64: "" }), message("3", { data: null }));
  await until("three messages", () => w.events.message.length === 3);
  const [text, bytes, json] = w.events.message as any[];
  assert.deepEqual([text.data, bytes.data_base64, json.data], ["", "", null]);
});
