// Going away: the next connection is made before the old one ends.
import assert from "node:assert/strict";
import { test } from "node:test";
import { hello, message, type Peer } from "./fake.ts";
import { code, fake, luck, NodeEventSource, until, Watched } from "./kit.ts";

const goaway = { op: "goaway", retry_ms: 40, grace_ms: 20_000 };

for (const via of ["ws", "sse"] as const) {
  test(`${via}: nothing is late, lost or repeated, and nothing tells the user`, async t => {
    const node = await fake(t, (peer, i) => {
      if (i !== 1) peer.say(hello(peer));
    });
    const w = await new Watched(t, node.url, { systems: ["orders", "chat"], EventSource: NodeEventSource, ...(via === "sse" && { WebSocket: null }) }).open();
    const peers = via === "ws" ? node.sockets : node.streams;
    const old = peers[0]!;
    old.say(message("1"), goaway);
    const next = await until("the next connection", () => peers[1]);
    assert.equal(next.query.get("resume"), via === "ws" ? "orders:c1,chat:start" : "orders:c1,chat:start");
    old.say(message("2"), message("2", { cursor: "c3" }), message("x", { system: "chat", cursor: "k1" }));
    await until("what the old one brings", () => w.ids.length === 4);
    next.say(hello(next), message("2"), { op: "cursor", system: "orders", cursor: "c2" });
    await until("the second hello", () => w.events.open.length === 2);
    assert.equal(w.client.state, "open");
    await until("the goodbye", () => old.left !== undefined);
    assert.equal(old.left, via === "ws" ? 1000 : 0);
    assert.equal(w.client.cursors.orders, "c3"); // it never went back
    next.say(message("2", { cursor: "c3" }), message("4"), message("x", { system: "chat", cursor: "k1" }), message("2", { cursor: "c5" }));
    await until("what is new", () => w.ids.length === 6);
    assert.deepEqual(w.ids, ["1", "2", "2", "x", "4", "2"]);
    assert.deepEqual(w.client.cursors, { orders: "c5", chat: "k1" });
    next.say(goaway); // and so on
    await w.open(3);
    peers[2]!.say(message("6"));
    await until("the last", () => w.ids.length === 7);
    assert.deepEqual(w.events.close, []);
    assert.deepEqual(w.events.error, []);
  });

  test(`${via}: the old connection goes on if the next one fails, and the client comes back when the node has said`, async t => {
    luck(t, 0.999);
    const node = await fake(t);
    const w = await new Watched(t, node.url, { EventSource: NodeEventSource, ...(via === "sse" && { WebSocket: null }) }).open();
    const peers = via === "ws" ? node.sockets : node.streams;
    node.refuse.push(503);
    peers[0]!.say(goaway);
    await until("the refusal", () => !node.refuse.length);
    peers[0]!.say(message("1"));
    await until("a message", () => w.ids.length === 1);
    if (via === "sse") peers[0]!.say({ op: "close", code: 1001, reason: "the node drains" });
    else peers[0]!.close(1001);
    await w.open(2);
    assert.deepEqual(w.events.close.map(c => [c.code, c.delay]), [[1001, 40]]);
    assert.equal(peers[1]!.query.get("resume"), "orders:c1");
  });

  test(`${via}: the next connection outlives the old one`, async t => {
    const node = await fake(t, (peer, i) => {
      if (i !== 1) peer.say(hello(peer));
    });
    const w = await new Watched(t, node.url, { EventSource: NodeEventSource, ...(via === "sse" && { WebSocket: null }) }).open();
    const peers = via === "ws" ? node.sockets : node.streams;
    peers[0]!.say(goaway);
    const next = await until("the next connection", () => peers[1]);
    peers[0]!.say(message("1"));
    await until("a message", () => w.ids.length === 1);
    peers[0]!.cut();
    await until("the end of the old one", () => w.events.close.length);
    assert.equal(w.client.state, "connecting");
    next.say(hello(next), message("1"), message("2"));
    await until("what is new", () => w.ids.length === 2);
    assert.deepEqual(w.ids, ["1", "2"]);
    assert.deepEqual(w.events.close.map(c => [c.code, c.retry, c.delay]), [[1006, true, 0]]);
    assert.equal(peers.length, 2);
  });
}

test("the old connection stays until it has answered, and what it brings else is ignored", async t => {
  const node = await fake(t);
  const w = await new Watched(t, node.url).open();
  const answer = w.client.send("orders", { data: 1 });
  const [old] = node.sockets as [Peer];
  await until("the op", () => old.said.length === 1);
  old.say(goaway);
  await w.open(2);
  const later = w.client.send("orders", { data: 2 });
  await until("the second op", () => node.sockets[1]!.said.length === 1);
  assert.equal(old.left, undefined);
  old.say(message("1"), { op: "left", system: "orders", reason: "token" }, { op: "ok", ref: old.said[0].ref, id: "first" });
  assert.equal(await answer, "first");
  await until("the goodbye", () => old.left === 1000);
  node.sockets[1]!.say({ op: "ok", ref: node.sockets[1]!.said[0].ref, id: "second" });
  assert.equal(await later, "second");
  assert.deepEqual([w.ids, w.events.left], [[], []]);
});

test("what an old connection never answered may have been published", async t => {
  const node = await fake(t);
  const w = await new Watched(t, node.url).open();
  const answer = w.client.send("orders", { data: 1 });
  const again = w.client.send("orders", { data: 2, id: "mine" }, { retry: true });
  await until("the ops", () => node.sockets[0]!.said.length === 2);
  node.sockets[0]!.say(goaway);
  await w.open(2);
  node.sockets[0]!.close(1001);
  await assert.rejects(answer, code("unknown"));
  await until("it is sent again", () => node.sockets[1]!.said.length === 1);
  node.sockets[1]!.say({ op: "ok", ref: node.sockets[1]!.said[0].ref, id: "mine" });
  assert.equal(await again, "mine");
});

test("an old connection that answers nothing and does not end is given up", async t => {
  const node = await fake(t);
  const w = await new Watched(t, node.url, { timeout: 1500 }).open();
  const answer = w.client.send("orders", { data: 1 });
  await until("the op", () => node.sockets[0]!.said.length === 1);
  node.sockets[0]!.say(goaway);
  await w.open(2);
  await assert.rejects(answer, code("unknown"));
  await until("the goodbye", () => node.sockets[0]!.left === 1000);
  assert.equal(w.client.state, "open");
});

test("a token that comes after the attempt to move was given up makes no connection", async t => {
  const node = await fake(t);
  const tokens: ((token: string) => void)[] = [];
  const token = () => new Promise<string>(done => tokens.push(done));
  const w = new Watched(t, node.url, { timeout: 1500, token });
  const opened = w.open();
  await until("the first question", () => tokens.length === 1);
  tokens[0]!("first");
  await opened;
  const [old] = node.sockets as [Peer];
  old.say(goaway);
  await until("the second question", () => tokens.length === 2);
  const den = w.client.join("orders", "den"); // waits until the attempt is given up
  await until("the join", () => old.said.length === 1);
  old.say({ op: "ok", ref: old.said[0].ref }, goaway);
  await den;
  await until("the third question", () => tokens.length === 3);
  tokens[1]!("too late");
  tokens[2]!("third");
  await w.open(2);
  assert.deepEqual(node.sockets.map(peer => peer.token), ["first", "third"]);
});

test("joins are not divided between two connections", async t => {
  const node = await fake(t, (peer, i) => {
    if (i !== 1) peer.say(hello(peer));
  });
  const w = await new Watched(t, node.url).open();
  const [old] = node.sockets as [Peer];
  const lobby = w.client.join("orders", "lobby", { since: "c0" });
  await until("the join", () => old.said.length === 1);
  old.say(goaway, message("1", { cursor: undefined }));
  await until("what the room had", () => w.ids.length === 1);
  assert.equal(node.sockets.length, 1);
  old.say({ op: "ok", ref: old.said[0].ref });
  await lobby;
  const next = await until("the next connection", () => node.sockets[1]);
  assert.equal(next.query.get("rooms"), "orders/lobby");
  const den = w.client.join("orders", "den");
  next.say(hello(next));
  await until("the second join", () => next.said.length === 1);
  next.say({ op: "ok", ref: next.said[0].ref });
  await den;
  assert.equal(old.said.length, 1);
});

test("a join waits no longer than the attempt to move", async t => {
  const node = await fake(t, (peer, i) => {
    if (i !== 1) peer.say(hello(peer));
  });
  const w = await new Watched(t, node.url).open();
  node.sockets[0]!.say(goaway);
  const next = await until("the next connection", () => node.sockets[1]);
  const den = w.client.join("orders", "den");
  next.cut();
  await until("the join", () => node.sockets[0]!.said.length === 1);
  node.sockets[0]!.say({ op: "ok", ref: node.sockets[0]!.said[0].ref });
  await den;
});

test("what is final is final while the client moves", async t => {
  const node = await fake(t, (peer, i) => {
    if (i !== 1) peer.say(hello(peer));
  });
  const w = await new Watched(t, node.url).open();
  node.sockets[0]!.say(goaway);
  const next = await until("the next connection", () => node.sockets[1]);
  node.sockets[0]!.say({ op: "disconnect", code: 4009, reason: "out", reconnect: false });
  await until("the end", () => w.client.state === "closed");
  await until("the next one is given up", () => next.left !== undefined);
  assert.deepEqual(w.events.close.map(c => [c.code, c.retry]), [[4009, false]]);
});
