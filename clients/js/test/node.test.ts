// Against a real node.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { code, Node, NodeEventSource, until, Watched } from "./kit.ts";

const cleanup: (() => unknown)[] = [];
const node = await Node.start({ after: (f: () => unknown) => cleanup.push(f) });
after(() => Promise.all(cleanup.map(f => f())));

test("receives for the user, rooms and everyone, in order, by system", async t => {
  const w = new Watched(t, node.url + "/?user=alice", { systems: ["orders", "chat"], rooms: ["chat/lobby"] });
  const chat: string[] = [];
  w.client.on("message:chat", m => chat.push(m.data));
  await w.open();
  assert.equal(w.events.open[0]!.user, "alice");
  await node.publish("orders", { to: "user:alice", type: "order.paid", data: { n: 1 } });
  await node.publish("orders", { to: "user:bob", data: { n: 2 } });
  await node.publish("orders", { to: "*", data: { n: 3 } });
  await until("orders", () => w.events.message.length === 2);
  assert.deepEqual(w.events.message.map(m => [m.to, m.type, m.data]), [["user:alice", "order.paid", { n: 1 }], ["*", undefined, { n: 3 }]]);
  await node.publish("chat", { to: "room:lobby", data: "in the lobby" });
  await until("chat", () => chat.length);
  assert.deepEqual(chat, ["in the lobby"]);
  assert.equal(w.events.message.length, 3);
});

test("the publisher learns what the handlers have dealt with, and nothing else", async t => {
  const w = new Watched(t, node.url + "/?user=rosa");
  let reject = (_: Error) => {};
  w.client.on("message", m => m.data === "hard" ? new Promise<void>((_, no) => (reject = no)) : undefined);
  await w.open();
  const publish = async (data: string, wait: string) => {
    const response = await fetch(`${node.url}/v1/systems/orders/messages?wait=${wait}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ to: "user:rosa", data }),
    });
    assert.equal(response.status, 200);
    return (await response.json()) as { id: string; receipts: { state: string }[] };
  };
  assert.equal((await publish("easy", "acked:30s")).receipts[0]!.state, "acked");
  const hard = await publish("hard", "written:30s");
  await until("the message", () => w.ids.includes(hard.id));
  reject(new Error("too hard"));
  await until("the error", () => w.events.error.length);
  const last = await publish("easy", "written:30s"); // an acknowledgement would be for both
  await until("the message", () => w.ids.includes(last.id));
  w.client.close();
  for (const id of [hard.id, last.id]) {
    await until("the end of the session", async () => {
      const report = await fetch(`${node.url}/v1/systems/orders/messages/${id}/receipts`).then(r => r.json());
      assert.notEqual(report.receipts[0].state, "acked");
      return report.receipts[0].sessions[0]?.ended;
    });
  }
});

test("resumes after a cut, and on another client with its cursors", async t => {
  const first = await new Watched(t, node.url + "/?user=carol").open();
  await node.publish("orders", { to: "user:carol", data: 1 });
  await until("the first", () => first.ids.length === 1);
  first.client.close();
  for (const n of [2, 3, 4]) await node.publish("orders", { to: "user:carol", data: n });
  await first.open(2);
  await until("what was missed", () => first.ids.length === 4);
  await node.publish("orders", { to: "user:carol", data: 5 });
  await until("live again", () => first.ids.length === 5);
  assert.deepEqual(first.events.message.map(m => m.data), [1, 2, 3, 4, 5]);

  const other = new Watched(t, node.url + "/?user=carol", { cursors: { orders: first.events.message[2]!.cursor! } });
  await other.open();
  await until("the rest", () => other.ids.length === 2);
  assert.deepEqual(other.events.message.map(m => m.data), [4, 5]);
  assert.deepEqual(other.events.gap, []);
});

test("a cursor of another log is answered with a gap", async t => {
  const raw = Buffer.from((await (await new Watched(t, node.url + "/?user=x").open()).client.cursors).orders!, "base64url");
  raw[3]! ^= 0xff;
  const w = await new Watched(t, node.url + "/?user=x", { cursors: { orders: raw.toString("base64url") } }).open();
  const gap = await until("a gap", () => w.events.gap[0]);
  assert.equal(gap.reason, "unknown_cursor");
  assert.ok(gap.after_ms >= 0 && gap.after_ms <= 10_000);
  assert.equal(w.client.cursors.orders, gap.cursor);
});

test("joins, sends, leaves; errors are typed", async t => {
  const alice = await new Watched(t, node.url + "/?user=alice", { systems: ["chat"] }).open();
  const bob = await new Watched(t, node.url + "/?user=bob", { systems: ["chat"] }).open();
  await bob.client.join("chat", "kitchen");
  const id = await alice.client.send("chat", { to: "room:kitchen", type: "chat.said", data: { text: "hi" } });
  const heard = await until("bob hears", () => bob.events.message[0]);
  assert.deepEqual([heard.id, heard.from, heard.to, heard.data], [id, "alice", "room:kitchen", { text: "hi" }]);
  await bob.client.leave("chat", "kitchen");
  await alice.client.send("chat", { to: "room:kitchen", data: "unheard" });
  await alice.client.send("chat", { to: "user:bob", data: "heard" });
  await until("bob hears again", () => bob.events.message.length === 2);
  assert.equal(bob.events.message[1]!.data, "heard");
  await assert.rejects(alice.client.send("chat", { to: "*", data: 1 }), code("forbidden"));
  await assert.rejects(alice.client.send("chat", { to: "nobody", data: 1 }), code("invalid"));
  await assert.rejects(alice.client.join("orders", "x"), code("not_found"));
});

test("a join with since begins with what was missed in the room", async t => {
  const w = await new Watched(t, node.url + "/?user=dora", { systems: ["chat"] }).open();
  const since = w.client.cursors.chat!;
  for (const n of [1, 2]) await node.publish("chat", { to: "room:attic", data: n });
  await node.publish("chat", { to: "user:dora", data: "live" });
  await until("live", () => w.ids.length === 1);
  const place = w.client.cursors.chat;
  await w.client.join("chat", "attic", { since });
  assert.deepEqual(w.events.message.map(m => m.data), ["live", 1, 2]);
  assert.equal(w.client.cursors.chat, place);
});

test("what was missed in joined rooms comes after a cut", async t => {
  const w = await new Watched(t, node.url + "/?user=emil", { systems: ["chat"] }).open();
  await w.client.join("chat", "cellar");
  w.client.close();
  await node.publish("chat", { to: "room:cellar", data: "missed" });
  await w.open(2);
  await until("what was missed", () => w.events.message[0]?.data === "missed");
});

test("a client leaves a draining node and reconnects; what the node forgot is a gap", async t => {
  const own = await Node.start(t);
  const w = await new Watched(t, own.url + "/?user=alice").open();
  await own.publish("orders", { to: "user:alice", data: 1 });
  await until("the first", () => w.ids.length === 1);
  await own.stop();
  await until("the close", () => w.events.close.length);
  assert.equal(w.events.close[0]!.code, 1001);
  await own.start();
  await w.open(2);
  await until("a gap: its memory is gone", () => w.events.gap.length, 20_000);
  await own.publish("orders", { to: "user:alice", data: 2 });
  await until("the second", () => w.events.message[1]?.data === 2);
});

test("what a client sends with retry while its node is away arrives once", async t => {
  const own = await Node.start(t);
  const sender = await new Watched(t, own.url + "/?user=alice").open();
  await own.stop("SIGKILL");
  await until("it notices", () => sender.client.state !== "open");
  await assert.rejects(sender.client.send("orders", { to: "user:bob", data: 0 }), code("disconnected"));
  const sent = sender.client.send("orders", { to: "user:bob", data: 1 }, { retry: true });
  await own.start();
  const bob = await new Watched(t, own.url + "/?user=bob").open();
  assert.ok(await sent);
  // Bob may have come later than the message.
  await own.publish("orders", { to: "user:bob", data: 2 });
  await until("the last", () => bob.events.message.at(-1)?.data === 2);
  assert.ok(bob.events.message.filter(m => m.data === 1).length <= 1);
});

test("EventSource: live, rooms, and what was missed", async t => {
  const w = await new Watched(t, node.url + "/?user=fred", { systems: ["orders", "chat"], WebSocket: null, EventSource: NodeEventSource as any }).open();
  assert.equal(w.events.open[0]!.via, "sse");
  await node.publish("orders", { to: "user:fred", data: 1 });
  await until("live", () => w.ids.length === 1);
  await w.client.join("chat", "hall");
  await node.publish("chat", { to: "room:hall", data: 2 });
  await until("the room", () => w.ids.length === 2);
  w.client.close();
  await node.publish("chat", { to: "room:hall", data: 3 });
  await node.publish("orders", { to: "user:fred", data: 4 });
  w.client.connect();
  await until("what was missed", () => w.ids.length === 4);
  assert.deepEqual(w.events.message.map(m => m.data).sort(), [1, 2, 3, 4]);
  assert.deepEqual(w.events.gap, []);
});

test("every room that can be joined is joined again on the next connection", async t => {
  const names = ["a,b", ",", "a,chat/b", "a:b", " ", "100%", "%2C", "+", "a&room=b", "#", "?", "=", ";", "\\,", '"', "ü", "日本,語", "👩‍👩‍👧", "\u202e", "*", "a/b",
    "x".repeat(256), ",".repeat(256), "語".repeat(85), "-", "!", "null"];
  const w = await new Watched(t, node.url + "/?user=gina", { systems: ["chat"] }).open();
  for (const name of names) await w.client.join("chat", name);
  w.client.close();
  for (const name of names) await node.publish("chat", { to: "room:" + name, data: name });
  await w.open(2);
  await until("what was missed in each", () => w.ids.length >= names.length);
  for (const name of names) await node.publish("chat", { to: "room:" + name, data: name });
  await until("what is new in each", () => w.ids.length >= 2 * names.length);
  const told = w.events.message.map(m => m.data).sort();
  assert.deepEqual(told, [...names, ...names].sort());
  assert.deepEqual([w.events.gap, w.events.left, w.events.error], [[], [], []]);
});

test("EventSource names any room", async t => {
  const w = await new Watched(t, node.url + "/?user=hans", { systems: ["chat"], rooms: ["chat/a,b"], WebSocket: null, EventSource: NodeEventSource as any }).open();
  await w.client.join("chat", "c,chat/d");
  await node.publish("chat", { to: "room:a,b", data: 1 });
  await node.publish("chat", { to: "room:c,chat/d", data: 2 });
  await until("both", () => w.ids.length === 2);
});

test("as many rooms as a node allows, with the longest names, miss nothing over a cut", async t => {
  const rooms = Array.from({ length: 100 }, (_, i) => `chat/${i},`.padEnd(261, "y"));
  const w = await new Watched(t, node.url + "/?user=ida", { systems: ["chat"], rooms }).open();
  const speak = async (round: number) => {
    for (const room of rooms) await node.publish("chat", { to: "room:" + room.slice(5), data: `${round} ${room}` });
  };
  await speak(1);
  await until("the first round", () => w.ids.length >= 100, 30_000);
  // What a late join replays has no cursor. This one is behind it.
  await node.publish("chat", { to: "user:ida", data: "mark" });
  await until("the mark", () => w.ids.length >= 101);
  w.client.close();
  await speak(2);
  await w.open(2);
  await speak(3);
  await until("all rounds", () => w.ids.length >= 301, 30_000);
  assert.deepEqual(w.events.message.map(m => m.data).filter(text => text !== "mark").sort(), [1, 2, 3].flatMap(n => rooms.map(r => `${n} ${r}`)).sort());
  assert.deepEqual([w.events.gap, w.events.left, w.events.error], [[], [], []]);
});

test("a permanent refusal ends the client with the node's explanation", async t => {
  for (const [options, why] of [[{ systems: ["chat"], rooms: ["orders/x"] }, /not among systems/], [{ cursors: { orders: "x" } }, /not a cursor/]] as const) {
    for (const via of [{}, { WebSocket: null, EventSource: NodeEventSource as any }]) {
      const w = new Watched(t, node.url + "/?user=jan", { ...(options as object), ...via });
      w.client.connect();
      await until("the end", () => w.client.state === "closed");
      assert.match(w.events.error.at(-1)!.message, why);
    }
  }
  assert.throws(() => new Watched(t, node.url, { systems: ["a,b"] }), /no name of a system/);
});
