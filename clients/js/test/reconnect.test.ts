// Reconnecting: when, from which cursor, and when not.
import assert from "node:assert/strict";
import { test } from "node:test";
import { backoff } from "../src/backoff.ts";
import { hello, message } from "./fake.ts";
import { fake, luck, NodeEventSource, until, Watched, wakes } from "./kit.ts";

test("resumes at the last message whose handlers have returned", async t => {
  luck(t, 0);
  const node = await fake(t, (peer, i) => {
    peer.say(hello(peer));
    if (i === 0) peer.say(message("1"), message("2"));
  });
  const w = new Watched(t, node.url);
  let seen: string | undefined;
  w.client.on("message", m => {
    if (m.id === "2") seen = w.client.cursors.orders;
  });
  await w.open();
  await until("two messages", () => w.ids.length === 2);
  assert.equal(seen, "c1");
  node.sockets[0]!.cut();
  await w.open(2);
  assert.equal(node.sockets[1]!.query.get("resume"), "orders:c2");
  assert.deepEqual(w.events.close.map(c => [c.code, c.retry]), [[1006, true]]);
});

test("a connection that breaks before it has caught up resumes from its own cursor, not from that of the hello", async t => {
  luck(t, 0);
  const node = await fake(t, (peer, i) => {
    peer.say({ ...hello(peer), systems: { orders: { cursor: "head", resumed: true } } });
    if (i === 1) peer.say(message("4"));
    if (i < 2) peer.close(1011);
  });
  const w = await new Watched(t, node.url, { cursors: { orders: "c3" } }).open(3);
  assert.deepEqual(node.sockets.map(s => s.query.get("resume")), ["orders:c3", "orders:c3", "orders:c4"]);
  assert.deepEqual(w.ids, ["4"]);
});

test("a cursor that the node could not resume from stays until its gap has come", async t => {
  luck(t, 0);
  const node = await fake(t, (peer, i) => {
    peer.say(hello(peer, false));
    if (i === 0) peer.close(1011);
    else peer.say({ op: "gap", system: "orders", reason: "trimmed", cursor: "c9", after_ms: 7 });
  });
  const w = new Watched(t, node.url, { cursors: { orders: "old" } });
  await w.open(2);
  assert.equal(node.sockets[1]!.query.get("resume"), "orders:old");
  await until("the gap", () => w.events.gap.length);
  assert.deepEqual(w.events.gap, [{ system: "orders", reason: "trimmed", cursor: "c9", after_ms: 7 }]);
  assert.equal(w.client.cursors.orders, "c9");
});

test("events without a cursor, or with null, do not move the cursor", async t => {
  const node = await fake(t, peer => peer.say(hello(peer), message("1"), message("2", { cursor: undefined }),
    { op: "gap", system: "orders", reason: "lossy", after_ms: 1 }, message("3", { cursor: null }), { op: "bus", up: false }));
  const w = await new Watched(t, node.url).open();
  await until("the last", () => w.events.bus.length);
  assert.deepEqual(w.ids, ["1", "2", "3"]);
  assert.equal(w.client.cursors.orders, "c1");
});

test("cursor ops move the cursor of a client that receives no messages", async t => {
  const node = await fake(t, peer => peer.say(hello(peer), { op: "cursor", system: "orders", cursor: "c8" }));
  const w = await new Watched(t, node.url).open();
  await until("the place", () => w.client.cursors.orders === "c8");
});

test("pauses grow, are never longer than 30 s, and are spread over all of their length", () => {
  for (let failures = 0; failures < 40; failures++) {
    const upper = Math.min(30_000, 1000 * 2 ** failures);
    const many = Array.from({ length: 400 }, () => backoff(failures));
    assert.ok(many.every(d => d >= 0 && d <= upper));
    assert.ok(Math.min(...many) < upper / 4 && Math.max(...many) > upper * 3 / 4);
  }
});

test("each refusal makes the next pause longer, and asks for another token", async t => {
  luck(t, 0);
  const node = await fake(t);
  node.refuse.push(401, 503, 401, 401);
  let tokens = 0;
  const w = await new Watched(t, node.url, { token: async () => "t" + ++tokens }).open();
  assert.deepEqual(w.events.close.map(c => c.failures), [1, 2, 3, 4]);
  assert.equal(node.sockets[0]!.token, "t5");
});

test("a connection that opens and breaks at once does not begin the count again", async t => {
  luck(t, 0);
  const node = await fake(t, (peer, i) => {
    peer.say(hello(peer));
    if (i < 3) peer.close(1011);
  });
  const w = await new Watched(t, node.url).open(4);
  assert.deepEqual(w.events.close.map(c => c.failures), [1, 2, 3]);
});

test("goaway says when to come back; a node that always sends away is waited for longer", async t => {
  luck(t, 0.5);
  const node = await fake(t, peer => {
    peer.say(hello(peer), { op: "goaway", retry_ms: 40 });
    peer.close(1001);
  });
  t.mock.method(Date, "now", (now => () => (now += 20_000))(Date.now())); // each connection seems to last
  const w = await new Watched(t, node.url).open(2);
  assert.deepEqual([w.events.close[0]!.code, w.events.close[0]!.delay], [1001, 40]);
  t.mock.restoreAll();
  luck(t, 0.5);
  await until("a short one", () => w.events.close.at(-1)!.failures === 1);
  assert.equal(w.events.close.at(-1)!.delay, 40 + 1000);
});

test("an expired token is replaced at once", async t => {
  luck(t, 0.999);
  const node = await fake(t);
  let tokens = 0;
  const w = await new Watched(t, node.url, { token: () => "t" + ++tokens }).open();
  t.mock.method(Date, "now", (now => () => now + 20_000)(Date.now())); // it was a good connection
  node.sockets[0]!.close(4001);
  await w.open(2);
  assert.deepEqual(w.events.close.map(c => [c.code, c.retry, c.delay]), [[4001, true, 0]]);
  assert.equal(node.sockets[1]!.token, "t2");
});

test("a slow client comes back", async t => {
  luck(t, 0);
  const node = await fake(t, (peer, i) => {
    peer.say(hello(peer));
    if (i === 0) peer.close(4008);
  });
  await new Watched(t, node.url).open(2);
});

for (const code of [4003, 4009, 4010]) {
  test(`${code} is final, until the page connects again`, async t => {
    luck(t, 0);
    const node = await fake(t, (peer, i) => {
      peer.say(hello(peer), message("1"));
      if (i === 0) peer.close(code);
    });
    const w = await new Watched(t, node.url).open();
    await until("the close", () => w.events.close.length);
    assert.deepEqual(w.events.close.map(c => [c.code, c.retry]), [[code, false]]);
    assert.equal(w.client.state, "closed");
    await w.open(2);
    assert.equal(node.sockets[1]!.query.get("resume"), "orders:c1");
  });
}

test("a node that does not answer the upgrade is given up", async t => {
  luck(t, 0);
  const node = await fake(t);
  node.refuse.push(0);
  const w = await new Watched(t, node.url, { timeout: 100 }).open();
  assert.equal(w.events.close[0]!.reason, "no answer in time");
});

test("a dead connection is noticed by its silence", async t => {
  luck(t, 0);
  const node = await fake(t); // says hello, and answers nothing
  const w = await new Watched(t, node.url, { timeout: 60, heartbeat: 60 }).open(2);
  assert.equal(w.events.close[0]!.reason, "no answer in time");
  assert.deepEqual(node.sockets[0]!.said, [{ op: "leave", ref: 0, system: "orders", room: "not S1" }]);
});

test("a quiet connection that answers is kept", async t => {
  const node = await fake(t);
  const w = await new Watched(t, node.url, { timeout: 60, heartbeat: 60 }).open();
  const peer = node.sockets[0]!;
  for (let answered = 0; answered < 3; answered++) {
    await until("a probe", () => peer.said.length > answered);
    peer.say({ op: "ok", ref: 0 });
  }
  assert.deepEqual([w.events.close, w.events.error], [[], []]);
});

test("close during a token callback, and between attempts, leaves nothing behind", async t => {
  const node = await fake(t);
  let give = (_: string) => {};
  const w = new Watched(t, node.url, { token: () => new Promise(resolve => (give = resolve)) });
  w.client.connect();
  w.client.close();
  give("late");
  await new Promise(setImmediate);
  w.client.connect();
  w.client.close();
  w.client.connect();
  give("good");
  await w.open();
  assert.equal(node.sockets.length, 1);
  assert.equal(node.sockets[0]!.token, "good");
});

test("garbage is reported, and what comes after it is still handled", async t => {
  const node = await fake(t, peer => {
    peer.say(hello(peer));
    for (const text of ["", "no json", "null", "7", "[]", '{"op":"future"}', '{"op":"ok","ref":99}', '{"op":"message"\n{"op":']) peer.raw(text);
    peer.raw(JSON.stringify(message("1")) + "\nno json\n" + JSON.stringify(message("2")));
  });
  const w = await new Watched(t, node.url).open();
  await until("both", () => w.ids.length === 2);
  assert.ok(w.events.error.every(e => (e as any).code === "protocol"));
  assert.equal(w.events.error.length, 5);
});

test("a handler that throws stops neither the other handlers nor the cursor", async t => {
  const node = await fake(t, peer => peer.say(hello(peer), message("1"), message("2")));
  const w = new Watched(t, node.url);
  w.client.on("message:orders", () => {
    throw new Error("mine");
  });
  await w.open();
  await until("both", () => w.events.error.length === 2);
  assert.deepEqual(w.ids, ["1", "2"]);
  assert.equal(w.client.cursors.orders, "c2");
});

test("a handler that closes the client receives nothing more, and misses nothing", async t => {
  const node = await fake(t, (peer, i) => peer.say(hello(peer), ...(i ? [message("2")] : [message("1"), message("2")])));
  const w = new Watched(t, node.url);
  const off = w.client.on("message", () => w.client.close());
  await w.open();
  await until("closed", () => w.client.state === "closed");
  off();
  assert.deepEqual([w.ids, w.client.cursors.orders], [["1"], "c1"]);
  await w.open(2);
  await until("the second", () => w.ids.length === 2);
  assert.deepEqual(w.ids, ["1", "2"]);
});

test("the same id may come again, since nodes and not clients filter repetitions", async t => {
  const node = await fake(t, peer => peer.say(hello(peer), message("1"), message("1", { data: "other" }), message("1")));
  const w = await new Watched(t, node.url).open();
  await until("all", () => w.ids.length === 3);
});

test("when the network is back a client reconnects at once", async t => {
  const wake = wakes(t);
  luck(t, 0.999);
  const node = await fake(t);
  node.refuse.push(503, 503, 503);
  const w = new Watched(t, node.url);
  w.client.connect();
  await until("a long wait", () => w.events.close.length === 1 && w.events.close[0]!.delay > 1900);
  luck(t, 0);
  wake("online");
  await w.open();
  assert.equal(node.refuse.length, 0);
});

test("when the page is visible again the client probes the node", async t => {
  const wake = wakes(t);
  const node = await fake(t);
  const w = await new Watched(t, node.url).open();
  wake("visibilitychange");
  wake("online");
  await until("a probe", () => node.sockets[0]!.said.length === 1);
  w.client.close();
  assert.equal(wake("online"), 0); // nothing listens any more
});

for (const [status, detail, why] of [
  [422, "query: unknown parameter", "query: unknown parameter"], [404, "system x: not served", "system x: not served"], [403, "no", "no"],
  [414, "", "the address is too long"], [431, "", "the address is too long"],
] as const) {
  test(`a permanent refusal ends the client, and says why: ${status}`, async t => {
    luck(t, 0);
    const node = await fake(t);
    node.refuse.push(...Array(10).fill(status));
    node.verdict = { status, detail };
    const w = new Watched(t, node.url);
    w.client.connect();
    await until("the end", () => w.client.state === "closed");
    const end = w.events.close.at(-1)!;
    assert.deepEqual([end.retry, end.reason, node.checks > 0], [false, why, true]);
    assert.deepEqual(w.events.error.map(e => [(e as any).code, e.message]), [["refused", why]]);
    node.refuse.length = 0;
    await w.open(); // who has mended it may try again
  });
}

test("a client with EventSource only asks about the URL that EventSource was refused", async t => {
  luck(t, 0);
  const node = await fake(t);
  node.refuse.push(...Array(10).fill(431));
  node.verdict = { status: 431, detail: "" };
  const rooms = Array.from({ length: 100 }, (_, i) => `orders/${i}${"x".repeat(60)}`);
  const w = new Watched(t, node.url, { rooms, WebSocket: null, EventSource: NodeEventSource as any });
  w.client.connect();
  await until("the question", () => node.checked);
  await until("the end", () => w.client.state === "closed");
  assert.equal(node.checked!.get("rooms")!.split(",").length, 100);
});

test("a refusal that may pass does not end the client", async t => {
  luck(t, 0);
  for (const [status, detail] of [[503, "draining"], [429, "too many"], [401, "no valid token"], [404, ""], [204, ""]] as const) {
    const node = await fake(t);
    node.refuse.push(...Array(5).fill(status === 204 ? 503 : status));
    node.verdict = { status, detail };
    const w = new Watched(t, node.url);
    w.client.connect();
    await w.open();
    assert.ok(node.checks >= 1, `${status}`);
    assert.deepEqual(w.events.error, []);
  }
});

test("no delay that a node asks for is longer than an hour, or none at all", async t => {
  luck(t, 0);
  for (const asked of [1e12, 2 ** 31, -5, "soon", null, { x: 1 }]) {
    const node = await fake(t, peer => {
      peer.say(hello(peer), { op: "goaway", retry_ms: asked });
      peer.close(1001);
    });
    const w = new Watched(t, node.url);
    w.client.connect();
    const { delay, retry } = await until("the close", () => w.events.close[0]);
    assert.ok(retry && delay >= 0 && delay <= 3_600_000, `${asked}: ${delay}`);
    w.client.close();
  }
  const patient = await new Watched(t, (await fake(t)).url, { timeout: 2 ** 40 }).open();
  assert.deepEqual(patient.events.close, []);
});

test("a WebSocket that says error and never close, as Node 22's does when it is refused, is not waited for", async t => {
  class Refused {
    onmessage = null;
    onclose = null;
    onerror: ((event: unknown) => void) | null = null;
    constructor() {
      queueMicrotask(() => this.onerror?.({}));
    }
    send() {}
    close() {}
  }
  const a = new Watched(t, "http://127.0.0.1:1", { WebSocket: Refused, timeout: 3_600_000 });
  a.client.connect();
  await until("it tries again", () => a.events.close.length > 0);
  assert.deepEqual(a.events.close[0]!.code, 1006);
});
