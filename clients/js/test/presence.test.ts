// Who is there, rooms of the server, and users that are disconnected.
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { hello, type Peer } from "./fake.ts";
import { code, fake, luck, NodeEventSource, until, Watched } from "./kit.ts";

const orders = { systems: ["orders", "chat"] };

/** Waits for the nth op presence that a peer is sent, and returns it. */
const asked = async (peer: () => Peer | undefined, n = 1) => {
  return until(`${n} times presence`, () => peer()?.said.filter(s => s.op === "presence")[n - 1]);
};

/** A client that watches chat/lobby, and the node. */
async function watching(t: TestContext, options: object = {}) {
  luck(t, 0);
  const node = await fake(t);
  const w = await new Watched(t, node.url, { ...orders, ...options }).open();
  const watched = w.client.presence("chat", "lobby", { users: true });
  const { ref, ...op } = await asked(() => node.sockets[0]);
  assert.deepEqual(op, { op: "presence", system: "chat", room: "lobby", watch: "users" });
  node.sockets[0]!.say({ op: "ok", ref });
  await watched;
  return { node, w };
}

test("what is watched is told, and watched again on each connection, in which all is told anew", async t => {
  const { node, w } = await watching(t);
  const bySystem: unknown[] = [];
  w.client.on("presence:chat", p => bySystem.push(p.count));
  node.sockets[0]!.say({ op: "presence", system: "chat", room: "lobby", count: 1, users: ["alice"] },
    { op: "presence", system: "chat", room: "lobby", count: 1, joined: ["bob"], left: ["alice"] });
  await until("both", () => w.events.presence.length === 2);
  assert.deepEqual(w.events.presence, [{ system: "chat", room: "lobby", count: 1, users: ["alice"] },
    { system: "chat", room: "lobby", count: 1, joined: ["bob"], left: ["alice"] }]);
  assert.deepEqual(bySystem, [1, 1]);

  const system = w.client.presence("chat", undefined);
  const { ref, ...op } = await asked(() => node.sockets[0], 2);
  assert.deepEqual(op, { op: "presence", system: "chat", watch: "count" });
  node.sockets[0]!.say({ op: "ok", ref });
  await system;
  node.sockets[0]!.cut();
  assert.equal((await asked(() => node.sockets[1], 1)).room, "lobby");
  const again = await asked(() => node.sockets[1], 2);
  assert.equal(again.room, undefined);
  node.sockets[1]!.say({ op: "ok", ref: again.ref });

  const ended = w.client.presence("chat", "lobby", false);
  const end = await asked(() => node.sockets[1], 3);
  assert.equal(end.watch, false);
  node.sockets[1]!.cut();
  await ended;
  await asked(() => node.sockets[2]);
  assert.deepEqual(node.sockets[2]!.said.map(s => [s.op, s.room, s.watch]), [["presence", undefined, "count"]]);
});

for (const refusal of ["forbidden", "unsupported", "rate_limited"]) {
  test(`what a node refuses is an error of the call, and not asked for again: ${refusal}`, async t => {
    luck(t, 0);
    const node = await fake(t);
    const w = await new Watched(t, node.url, orders).open();
    const refused = assert.rejects(w.client.presence("chat", "lobby"), code(refusal));
    node.sockets[0]!.say({ op: "error", ref: (await asked(() => node.sockets[0])).ref, code: refusal, message: "no" });
    await refused;
    node.sockets[0]!.cut();
    await w.open(2);
    void w.client.send("chat", { data: 1 }).catch(() => {});
    await until("the send", () => node.sockets[1]!.said.length);
    assert.deepEqual(node.sockets[1]!.said.map(s => s.op), ["send"]);
    assert.deepEqual(w.events.error, []);
  });
}

test("a place that cannot be watched again is told, once; a busy node is asked again", async t => {
  const { node, w } = await watching(t);
  node.sockets[0]!.cut();
  const first = await asked(() => node.sockets[1]);
  node.sockets[1]!.say({ op: "error", ref: first.ref, code: "rate_limited", message: "later" });
  const second = await asked(() => node.sockets[1], 2);
  node.sockets[1]!.say({ op: "error", ref: second.ref, code: "forbidden", message: "no" });
  await until("the event", () => w.events.presence.length);
  assert.deepEqual(w.events.presence, [{ system: "chat", room: "lobby", reason: "forbidden" }]);
  node.sockets[1]!.cut();
  await w.open(3);
  void w.client.send("chat", { data: 1 }).catch(() => {});
  await until("the send", () => node.sockets[2]!.said.length);
  assert.deepEqual(node.sockets[2]!.said.map(s => s.op), ["send"]);
});

test("a place that a new token does not allow is told, and not watched again", async t => {
  const { node, w } = await watching(t);
  node.sockets[0]!.say({ op: "presence", system: "chat", room: "lobby", watch: false, reason: "token" });
  await until("the event", () => w.events.presence.length);
  assert.equal(w.events.presence[0]!.reason, "token");
  node.sockets[0]!.cut();
  await w.open(2);
  void w.client.send("chat", { data: 1 }).catch(() => {});
  await until("the send", () => node.sockets[1]!.said.length);
  assert.deepEqual(node.sockets[1]!.said.map(s => s.op), ["send"]);
});

test("a later wish replaces an earlier one, also when the connection breaks before the answer", async t => {
  const { node, w } = await watching(t);
  const counted = w.client.presence("chat", "lobby", { users: false });
  assert.equal((await asked(() => node.sockets[0], 2)).watch, "count");
  node.sockets[0]!.cut();
  const { ref, watch } = await asked(() => node.sockets[1]);
  assert.equal(watch, "count");
  node.sockets[1]!.say({ op: "ok", ref });
  await counted;
  assert.equal(node.sockets[1]!.said.length, 1);
});

test("a wish that waits ends when it is taken back", async t => {
  luck(t, 0);
  const node = await fake(t);
  node.refuse.push(503);
  const w = new Watched(t, node.url, orders);
  w.client.connect();
  const ended = assert.rejects(w.client.presence("chat", "lobby"), code("left"));
  await w.client.presence("chat", "lobby", false);
  await ended;
  await w.open();
  assert.deepEqual(node.sockets[0]!.said, []);
});

test("over EventSource there is no presence: the client says so, and watches again over WebSocket", async t => {
  const { node, w } = await watching(t, { EventSource: NodeEventSource });
  node.refuseSockets = true;
  node.sockets[0]!.cut();
  await until("EventSource", () => w.events.open.at(-1)!.via === "sse");
  assert.deepEqual(w.events.presence, [{ system: "chat", room: "lobby", reason: "unsupported" }]);
  await assert.rejects(w.client.presence("orders", "x"), code("unsupported"));
  node.refuseSockets = false;
  node.refuse.push(503);
  node.streams[0]!.cut();
  await until("WebSocket", () => w.events.open.at(-1)!.via === "ws");
  assert.equal((await asked(() => node.sockets[1])).watch, "users");
});

test("rooms of the server are told, and not asked for", async t => {
  luck(t, 0);
  const joined = { op: "joined", system: "chat", room: "staff", by: "server" };
  const node = await fake(t, peer => peer.say(hello(peer), joined));
  const w = await new Watched(t, node.url, orders).open();
  await until("it is told", () => w.events.joined.length);
  assert.deepEqual(w.events.joined, [{ system: "chat", room: "staff", by: "server" }]);
  const left = assert.rejects(w.client.leave("chat", "staff"), code("forbidden"));
  const { ref } = await until("the leave", () => node.sockets[0]!.said[0]);
  node.sockets[0]!.say({ op: "error", ref, code: "forbidden", message: "the server has put you there" });
  await left;
  node.sockets[0]!.cut();
  await w.open(2);
  assert.equal(node.sockets[1]!.query.get("rooms"), null);
  node.sockets[1]!.say({ op: "left", system: "chat", room: "staff", reason: "server" });
  await until("it is told", () => w.events.left.length);
  assert.deepEqual(w.events.left, [{ system: "chat", room: "staff", reason: "server" }]);
});

for (const via of ["ws", "sse"]) {
  const options = { ...orders, ...(via === "sse" && { WebSocket: null, EventSource: NodeEventSource as any }) };

  test(`a user who is disconnected for good stays away, and is told why: ${via}`, async t => {
    luck(t, 0);
    const node = await fake(t, peer => peer.say(hello(peer), { op: "disconnect", code: 4321, reason: "logged out", reconnect: false },
      { op: "close", code: 4321, reason: "logged out" }));
    const w = await new Watched(t, node.url, options).open();
    await until("the close", () => w.events.close.length);
    assert.deepEqual(w.events.close.map(c => [c.code, c.reason, c.retry]), [[4321, "logged out", false]]);
    assert.equal(w.client.state, "closed");
  });

  test(`a user who is disconnected and may come back does, with another token: ${via}`, async t => {
    luck(t, 0);
    const node = await fake(t, (peer, i) => {
      peer.say(hello(peer));
      if (i === 0) peer.say({ op: "disconnect", code: 4009, reason: "new rights", reconnect: true }, { op: "close", code: 4009, reason: "new rights" });
    });
    let tokens = 0;
    const w = await new Watched(t, node.url, { ...options, token: () => "t" + ++tokens }).open(2);
    assert.deepEqual(w.events.close.map(c => [c.code, c.reason, c.retry]), [[4009, "new rights", true]]);
    assert.equal((via === "ws" ? node.sockets : node.streams)[1]!.token, "t2");
  });
}

for (const [close, retry] of [[4003, false], [4009, false], [4010, false], [4099, true], [4100, false], [4999, false]] as const) {
  test(`without a word before it, a close code says whether to come back: ${close}`, async t => {
    luck(t, 0);
    const node = await fake(t, (peer, i) => {
      peer.say(hello(peer));
      if (i === 0) peer.close(close);
    });
    const w = await new Watched(t, node.url).open();
    await until("the close", () => w.events.close.length);
    assert.deepEqual(w.events.close.map(c => [c.code, c.retry]), [[close, retry]]);
  });
}
