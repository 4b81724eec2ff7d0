// Where a session begins: at the cursor of a state, or with the latest messages. And the
// histories that are read over HTTP.
import assert from "node:assert/strict";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { fetchCursor, fetchMessages } from "../src/index.ts";
import { hello, message } from "./fake.ts";
import { code, fake, luck, until, Watched } from "./kit.ts";

test("a client begins at the cursor of the state, and resumes from there on", async t => {
  luck(t, 0);
  const node = await fake(t);
  const w = await new Watched(t, node.url, { systems: ["orders", "chat"], from: { orders: "o5" }, cursors: { orders: "o1", chat: "c1" } }).open();
  assert.equal(node.sockets[0]!.query.get("resume"), "orders:o5,chat:c1");
  node.sockets[0]!.say(message("6"));
  await until("the message", () => w.ids.length);
  node.sockets[0]!.cut();
  await w.open(2);
  assert.equal(node.sockets[1]!.query.get("resume"), "orders:c6,chat:c1");
});

test("the latest messages are asked for where there is no cursor", async t => {
  luck(t, 0);
  const last = { complete: false, reason: "trimmed" };
  const node = await fake(t, (peer, i) => peer.say(i ? hello(peer) : { op: "hello", session: "S", node: "n", user: "a", systems: { orders: { cursor: "o1", resumed: false, last }, chat: { cursor: null, resumed: false } } }));
  const w = await new Watched(t, node.url, { systems: ["orders", "chat", "news"], last: { orders: 20, chat: "5m" }, from: { news: "n1" } }).open();
  assert.equal(node.sockets[0]!.query.get("last"), "orders:20,chat:5m");
  assert.equal(node.sockets[0]!.query.get("resume"), "news:n1");
  assert.deepEqual(w.events.open[0]!.systems.orders!.last, last);
  node.sockets[0]!.cut();
  await w.open(2);
  assert.equal(node.sockets[1]!.query.get("last"), "chat:5m");
  assert.equal(node.sockets[1]!.query.get("resume"), "orders:o1,news:n1");
});

test("a join with the latest messages says whether all came, and repeats none", async t => {
  luck(t, 0);
  const node = await fake(t);
  const w = await new Watched(t, node.url).open();
  const joined = w.client.join("orders", "lobby", { last: 5 });
  const asked = (i: number) => until("the join", () => node.sockets[i]?.said[0]);
  assert.equal((await asked(0)).last, 5);
  node.sockets[0]!.say(message("1", { cursor: undefined }));
  await until("the message", () => w.ids.length);
  node.sockets[0]!.cut();
  const { ref } = await asked(1);
  const last = { complete: false, reason: "too_far" };
  node.sockets[1]!.say(message("1", { cursor: undefined }), message("2", { cursor: undefined }), { op: "ok", ref, last });
  assert.deepEqual(await joined, last);
  assert.deepEqual(w.ids, ["1", "2"]);
});

/** A node that answers each request with a text. */
async function library(t: TestContext, status: number, text: string): Promise<{ url: string; asked: IncomingMessage[] }> {
  const asked: IncomingMessage[] = [];
  const server = createServer((req, res) => {
    asked.push(req);
    res.writeHead(status, { "Content-Type": "application/json" }).end(text);
  });
  await new Promise<void>(done => server.listen(0, "127.0.0.1", done));
  t.after(() => (server.closeAllConnections(), server.close()));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/push?user=alice`, asked };
}

test("a cursor is fetched", async t => {
  const { url, asked } = await library(t, 200, `{"system":"orders","cursor":"o9"}`);
  assert.equal(await fetchCursor(url, "orders", { token: "t1" }), "o9");
  assert.equal(asked[0]!.url, "/push/v1/systems/orders/cursor?user=alice");
  assert.equal(asked[0]!.headers.authorization, "Bearer t1");
  await fetchCursor(url.replace("http", "ws"), "orders");
  assert.equal(asked[1]!.headers.authorization, undefined);
});

test("a page of a history is fetched", async t => {
  const page = { system: "orders", messages: [{ op: "message", id: "m1" }], next: "o1", complete: true };
  const { url, asked } = await library(t, 200, JSON.stringify(page));
  assert.deepEqual(await fetchMessages(url, "orders", { to: ["room:a&b", "*"], before: "o3", limit: 2 }), page);
  assert.equal(asked[0]!.url, "/push/v1/systems/orders/messages?user=alice&to=room%3Aa%26b&to=*&before=o3&limit=2");
  await fetchMessages(url, "orders");
  assert.equal(asked[1]!.url, "/push/v1/systems/orders/messages?user=alice");
});

test("what a node refuses, and a node that is not there, are told apart", async t => {
  const { url } = await library(t, 403, `{"status":403,"detail":"orders is not granted"}`);
  await assert.rejects(fetchCursor(url, "orders"), (err: any) => code("refused")(err) && err.status === 403 && err.message === "orders is not granted");
  const html = await library(t, 502, "<html>");
  await assert.rejects(fetchMessages(html.url, "orders"), (err: any) => code("refused")(err) && err.status === 502);
  await assert.rejects(fetchCursor("http://127.0.0.1:1", "orders"), code("disconnected"));
});
