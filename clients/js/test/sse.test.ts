// EventSource, where WebSocket is blocked.
import assert from "node:assert/strict";
import { test } from "node:test";
import { hello, message } from "./fake.ts";
import { code, fake, luck, NodeEventSource, until, Watched } from "./kit.ts";

const listening = { EventSource: NodeEventSource as any };

test("EventSource is tried at once where the first WebSocket is refused", async t => {
  const node = await fake(t, peer => peer.say(hello(peer), message("1")));
  node.refuseSockets = true;
  const w = await new Watched(t, node.url, { ...listening, rooms: ["orders/a"], token: () => "t1" }).open();
  await until("a message", () => w.ids.length);
  assert.equal(w.events.open[0]!.via, "sse");
  assert.deepEqual(w.events.close, []);
  const { query, token } = node.streams[0]!;
  assert.deepEqual([query.get("systems"), query.get("rooms"), token], ["orders", "orders/a", "t1"]);
});

test("each connection is a new EventSource, with a new token and the current cursors", async t => {
  luck(t, 0);
  const node = await fake(t, (peer, i) => peer.say(hello(peer), message(String(i + 1))));
  node.refuseSockets = true;
  let tokens = 0;
  const w = await new Watched(t, node.url, { ...listening, token: () => "t" + ++tokens }).open();
  for (const n of [1, 2]) {
    await until("a message", () => w.ids.length === n);
    node.streams[n - 1]!.cut();
    await w.open(n + 1);
  }
  assert.deepEqual(node.streams.map(s => [s.token, s.query.get("resume")]), [["t1", null], ["t2", "orders:c1"], ["t3", "orders:c2"]]);
});

test("a goaway makes the client reconnect when it says", async t => {
  luck(t, 0);
  const node = await fake(t, (peer, i) => {
    peer.say(hello(peer));
    if (i === 0) peer.say({ op: "goaway", retry_ms: 30 });
    if (i === 0) peer.close(1001);
  });
  node.refuseSockets = true;
  const w = await new Watched(t, node.url, listening).open(2);
  assert.equal(w.events.close[0]!.delay, 30);
});

test("rooms are changed by reconnecting; if one is refused, the others stay", async t => {
  luck(t, 0);
  const node = await fake(t);
  node.refuseSockets = true;
  const w = await new Watched(t, node.url, listening).open();
  await Promise.all([w.client.join("orders", "a"), w.client.join("orders", "b")]);
  assert.equal(node.streams.at(-1)!.query.get("rooms"), "orders/a,orders/b");
  const opened = w.events.open.length;
  node.refuse.push(403);
  await assert.rejects(w.client.join("orders", "secret"), code("refused"));
  await w.open(opened + 1);
  assert.equal(node.streams.at(-1)!.query.get("rooms"), "orders/a,orders/b");
  await w.client.leave("orders", "a");
  await w.open(opened + 2);
  assert.equal(node.streams.at(-1)!.query.get("rooms"), "orders/b");
});

test("what EventSource cannot do is refused, not lost", async t => {
  const node = await fake(t);
  node.refuseSockets = true;
  const w = await new Watched(t, node.url, listening).open();
  await assert.rejects(w.client.send("orders", { data: 1 }), code("unsupported"));
  await assert.rejects(w.client.join("orders", "a", { since: "c1" }), code("unsupported"));
});

test("a WebSocket that worked is tried three times before EventSource", async t => {
  luck(t, 0);
  const node = await fake(t);
  const w = await new Watched(t, node.url, listening).open();
  node.refuseSockets = true;
  node.sockets[0]!.cut();
  await w.open(2);
  assert.equal(w.events.open[1]!.via, "sse");
  assert.deepEqual(w.events.close.map(c => c.failures), [1, 2, 3]);
});

test("cookies are sent only without a token, since nodes that allow all origins accept none", async t => {
  const node = await fake(t);
  const asked: boolean[] = [];
  class Spy extends NodeEventSource {
    constructor(url: string, { withCredentials }: { withCredentials: boolean }) {
      super(url);
      asked.push(withCredentials);
    }
  }
  await new Watched(t, node.url, { WebSocket: null, EventSource: Spy as any }).open();
  await new Watched(t, node.url, { WebSocket: null, EventSource: Spy as any, token: () => "t" }).open();
  assert.deepEqual(asked, [true, false]);
});

test("without a WebSocket there is EventSource", async t => {
  const node = await fake(t);
  const w = await new Watched(t, node.url, { ...listening, WebSocket: null }).open();
  assert.equal(w.events.open[0]!.via, "sse");
});

for (const [close, retry] of [[4001, true], [4003, false], [4009, false], [4010, false]] as const) {
  test(`a close op says what a close code says: ${close}`, async t => {
    luck(t, 0);
    const node = await fake(t, (peer, i) => {
      peer.say(hello(peer));
      if (i === 0) peer.say({ op: "close", code: close, reason: "why" });
    });
    node.refuseSockets = true;
    const w = await new Watched(t, node.url, listening).open();
    await until("the close", () => w.events.close.length);
    assert.deepEqual(w.events.close.map(c => [c.code, c.reason, c.retry]), [[close, "why", retry]]);
    if (retry) await w.open(2);
    else assert.equal(w.client.state, "closed");
  });
}

test("after an EventSource has failed twice, WebSocket is tried again", async t => {
  luck(t, 0);
  const node = await fake(t);
  node.refuseSockets = true;
  const w = await new Watched(t, node.url, listening).open();
  node.refuseSockets = false;
  node.refuse.push(503);
  node.streams[0]!.cut();
  await w.open(2);
  assert.equal(w.events.open[1]!.via, "ws");
  assert.equal(node.streams.length, 1);
});
