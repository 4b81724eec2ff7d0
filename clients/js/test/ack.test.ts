// Messages that want a receipt are acknowledged once their handlers have done their work.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Acks } from "../src/acks.ts";
import type { Message } from "../src/events.ts";
import type { Link } from "../src/link.ts";
import { hello, message, type Peer } from "./fake.ts";
import { fake, luck, until, Watched } from "./kit.ts";

const wanted = (id: string, more: object = {}) => message(id, { receipt: true, ...more });
const acks = (peer: Peer | undefined) => peer?.said.filter(s => s.op === "ack") ?? [];
const acked = (peer: () => Peer | undefined, cursor: string) =>
  until(`the ack of ${cursor}`, () => acks(peer()).some(s => s.cursor === cursor));

test("a message is acknowledged when its handler has returned, and only if it wants that", async t => {
  const node = await fake(t);
  await new Watched(t, node.url).open();
  node.sockets[0]!.say(message("1"), wanted("2"), message("3"), wanted("4", { cursor: undefined }));
  await acked(() => node.sockets[0], "c2");
  node.sockets[0]!.say(wanted("5"));
  await acked(() => node.sockets[0], "c5");
  assert.deepEqual(acks(node.sockets[0]), [{ op: "ack", system: "orders", cursor: "c2" }, { op: "ack", system: "orders", cursor: "c5" }]);
});

test("an acknowledgement waits for the promises of all handlers, also of messages before it", async t => {
  const node = await fake(t);
  const w = await new Watched(t, node.url, { systems: ["orders", "chat"] }).open();
  const resolve: Record<string, () => void> = {};
  w.client.on("message:orders", m => new Promise<void>(done => (resolve[m.id] = done)));
  node.sockets[0]!.say(wanted("1"), wanted("2"), wanted("3"), wanted("4", { system: "chat" }));
  await until("all", () => w.ids.length === 4);
  resolve["2"]!();
  await acked(() => node.sockets[0], "c4");
  assert.equal(acks(node.sockets[0]).length, 1);
  resolve["1"]!();
  await acked(() => node.sockets[0], "c2");
  resolve["3"]!();
  await acked(() => node.sockets[0], "c3");
  assert.equal(acks(node.sockets[0]).length, 3);
});

test("what a handler fails at is not acknowledged, nor what comes after it", async t => {
  const node = await fake(t);
  const w = await new Watched(t, node.url, { systems: ["orders", "chat"] }).open();
  w.client.on("message:orders", async m => {
    if (m.id === "2") throw new Error("cannot");
  });
  node.sockets[0]!.say(wanted("1"));
  await acked(() => node.sockets[0], "c1");
  node.sockets[0]!.say(wanted("2"), wanted("3"), wanted("9", { system: "chat" }));
  await acked(() => node.sockets[0], "c9");
  await until("the error", () => w.events.error.length);
  assert.equal(String(w.events.error[0]), "Error: cannot");
  assert.deepEqual(acks(node.sockets[0]).map(s => s.cursor), ["c1", "c9"]);
});

test("nothing is acknowledged on another connection than that which brought it", async t => {
  luck(t, 0);
  const node = await fake(t);
  const w = await new Watched(t, node.url).open();
  let resolve = () => {};
  w.client.on("message", m => m.id === "1" ? new Promise<void>(done => (resolve = done)) : undefined);
  node.sockets[0]!.say(wanted("1"));
  await until("the message", () => w.ids.length);
  node.sockets[0]!.cut();
  await w.open(2);
  resolve();
  node.sockets[1]!.say(wanted("2"));
  await acked(() => node.sockets[1], "c2");
  assert.deepEqual(acks(node.sockets[1]).map(s => s.cursor), ["c2"]);
});

test("what comes again after a goaway is acknowledged on the new connection", async t => {
  const node = await fake(t, (peer, i) => void (i || peer.say(hello(peer), { op: "goaway", retry_ms: 1, grace_ms: 20_000 })));
  const w = await new Watched(t, node.url).open();
  const next = await until("the next connection", () => node.sockets[1]);
  node.sockets[0]!.say(wanted("1"));
  await acked(() => node.sockets[0], "c1");
  next.say(hello(next), wanted("1"), wanted("2"));
  await acked(() => next, "c2");
  assert.deepEqual(w.ids, ["1", "2"]);
});

test("a client that is closed has acknowledged what was handled before", async t => {
  const node = await fake(t);
  const w = await new Watched(t, node.url).open();
  node.sockets[0]!.say(wanted("1"));
  await acked(() => node.sockets[0], "c1");
  node.sockets[0]!.say(wanted("2")); // its acknowledgement waits for a moment
  await until("the message", () => w.ids.length === 2);
  w.client.close();
  await acked(() => node.sockets[0], "c2");
});

test("messages that cannot be acknowledged any more are not remembered", () => {
  const said: string[] = [];
  const acks = new Acks({ send: (text: string) => said.push(text) } as unknown as Link);
  const add = (system: string, i: number, done?: boolean) => {
    const handling = { cursor: `c${i}`, done };
    acks.add({ system } as Message, handling);
    return handling;
  };
  add("orders", 1, false);
  acks.look();
  for (let i = 0; i < 20_000; i++) add("orders", i, true);
  acks.look();
  assert.equal(acks.size, 0);
  const all = Array.from({ length: 20_000 }, (_, i) => add("chat", i));
  assert.equal(acks.size, 10_000);
  for (const handling of all) handling.done = true;
  acks.look();
  add("chat", 20_000, true); // what came before it and was not remembered may have failed
  acks.look();
  acks.flush();
  acks.end();
  assert.deepEqual(said, ['{"op":"ack","system":"chat","cursor":"c9999"}']);
});
