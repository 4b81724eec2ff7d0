// The operators' console, in a real browser.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import type { Page } from "playwright-core";
import { browse, skip, unreadable, type Look } from "./browser.ts";
import { freePort, Node, until, Watched } from "./kit.ts";

const cleanup: (() => unknown)[] = [];
let node: Node;

// The first test waits for a state for as long as a busy machine needs.
const long = 30_000;

before(async () => {
  if (skip) return;
  node = await Node.start({ after: (f: () => unknown) => cleanup.push(f) });
});
after(() => Promise.all(cleanup.map(f => f())));

interface Opening extends Look {
  at?: string;
  part?: string;
  /** What the browser may complain of. */
  expected?: RegExp;
}

async function open(t: TestContext, { at = node.url, part = "", expected = /^$/, ...look }: Opening = {}): Promise<Page> {
  const page = await browse(t, `${at}/console${part}`, look, expected);
  page.setDefaultTimeout(long);
  return page;
}

/** Opens the console of a node that needs no key, and waits until it is live. */
async function live(t: TestContext, opening: Opening = {}): Promise<Page> {
  const page = await open(t, opening);
  await page.getByRole("status").filter({ hasText: /^live$/ }).waitFor();
  return page;
}

/** A client of the user, as it is in a session. */
const client = (t: TestContext, user: string, at = node.url) =>
  new Watched(t, `${at}/?user=${user}`, { systems: ["orders", "chat"], rooms: ["chat/lobby"] }).open();

const row = (page: Page, table: string, name: string) => page.getByRole("table", { name: table }).getByRole("row").filter({ hasText: name });

/** Answers the question that the page asks. */
const answer = (page: Page, button: string) => page.getByRole("dialog").getByRole("button", { name: button }).click();

test("it shows the nodes and the systems, and how much goes through them", { skip }, async t => {
  await client(t, "nora");
  const page = await live(t);
  await row(page, "Nodes", "answers here").getByText("serving").waitFor();
  await row(page, "Systems", "orders").waitFor();
  const deliveries = page.locator("#system-table tr", { hasText: "orders" }).locator("td[data-label='Deliveries/s'] .now");
  await until("the rate is more than nothing", async () => {
    await node.publish("orders", { to: "user:nora", data: 1 });
    return Number(await deliveries.textContent()) > 0;
  }, long);
  const chart = page.getByRole("img", { name: /^Deliveries of orders a second: now / });
  await until("the chart has a line", async () => /L/.test((await chart.locator(".line").getAttribute("d")) ?? ""), long);
  assert.match((await page.locator(".tile", { hasText: "Sessions" }).locator("b").first().textContent())!, /^[1-9]/);
  if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, "console.png") });
});

test("the page of a development node leads to it", { skip }, async t => {
  const page = await browse(t, node.url, {}, /^$/);
  await page.getByRole("link", { name: "Console" }).click();
  await page.getByRole("heading", { name: "All nodes now" }).waitFor();
});

test("a user is found, disconnected, blocked and unblocked, each after a question", { skip }, async t => {
  const phone = await client(t, "olga"), laptop = await client(t, "olga");
  const page = await live(t, { part: "#/users/olga" });
  await page.getByText(/^2 sessions on /).waitFor();
  const cards = page.getByRole("article").filter({ hasText: "WebSocket" });
  assert.equal(await cards.count(), 2);
  await cards.first().getByText("chat", { exact: true }).waitFor();
  await cards.first().getByText("lobby").waitFor();

  // Nothing is done before the question is answered, nor if the answer is no.
  await page.getByRole("button", { name: /^Disconnect session/ }).first().click();
  await answer(page, "Cancel");
  await page.getByRole("button", { name: "Refresh" }).click();
  await page.getByText(/^2 sessions on /).waitFor();
  assert.deepEqual([phone.events.close, laptop.events.close], [[], []]);

  await page.getByRole("button", { name: /^Disconnect session/ }).first().click();
  await page.getByRole("dialog").getByLabel("What the client is told").fill("this device was removed");
  await page.getByRole("dialog").getByLabel("may come back").uncheck();
  await answer(page, "Disconnect");
  await page.getByText(/^The session is closed\. Done on /).waitFor();
  await page.getByText(/^1 session on /).waitFor();
  const closed = await until("one of them is closed", () => [phone, laptop].find(c => c.events.close.length), long);
  assert.equal(closed.events.close[0]!.code, 4009);
  assert.match(closed.events.close[0]!.reason, /this device was removed/);
  const other = closed === phone ? laptop : phone;

  await page.getByRole("button", { name: "Block …" }).click();
  await page.getByRole("dialog").getByLabel("For how long").selectOption("1 day");
  await answer(page, "Block");
  await page.getByText(/^olga is blocked\. Done on /).waitFor();
  await page.getByText(/^blocked for 24 h$/).waitFor();
  await page.getByText("No session on any node that answers").waitFor();
  await until("the other one is closed, too", () => other.events.close.some(c => c.code === 4003), long);

  await page.getByRole("button", { name: "Unblock …" }).click();
  await answer(page, "Unblock");
  await page.getByText("not blocked", { exact: true }).waitFor();
  await (await client(t, "olga")).open();
  await page.getByRole("button", { name: "Refresh" }).click();
  await page.getByText(/^1 session on /).waitFor();
  await page.getByRole("button", { name: "Disconnect all …" }).click();
  await page.getByRole("dialog").getByLabel("may come back").uncheck();
  await answer(page, "Disconnect");
  await page.getByText("No session on any node that answers").waitFor();
});

test("a message is traced to a user's sessions", { skip }, async t => {
  const pia = await client(t, "pia");
  const id = await node.publish("orders", { to: "user:pia", type: "order.paid", data: { n: 1 } });
  await until("it came", () => pia.ids.includes(id), long);
  const page = await live(t, { part: "#/trace" });
  await page.getByRole("combobox", { name: "System" }).fill("orders");
  await page.getByRole("textbox", { name: "Message id" }).fill(id);
  await page.getByRole("textbox", { name: "For the user" }).fill("pia");
  await page.getByRole("button", { name: "Trace" }).click();
  await page.getByText("Found it once. 1 node answered.").waitFor();
  await page.getByRole("table", { name: "What each node made of it" }).getByText("read, and offered to its sessions").waitFor();
  await page.getByRole("table", { name: "Sessions of pia" }).getByText("written to the connection").waitFor();
  assert.match(page.url(), new RegExp(`#/trace/orders/${id}\\?user=pia$`)); // it can be sent to somebody else
  await page.getByRole("textbox", { name: "Message id" }).fill("nobody-knows");
  await page.getByRole("button", { name: "Trace" }).click();
  await page.getByText("There is no message with this id, as far as the nodes can see.").waitFor();
});

test("what comes for a user is watched, with what became of it", { skip }, async t => {
  await client(t, "quin");
  const page = await live(t, { part: "#/watch/orders?to=user:quin&data=1" });
  const lines = page.getByRole("log", { name: "What was seen, newest first" }).getByRole("listitem");
  await lines.filter({ hasText: "of quin: 1 session" }).waitFor(); // so it watches
  const id = await node.publish("orders", { to: "user:quin", type: "order.paid", data: { n: 1 } });
  await node.publish("orders", { to: "user:quin", type: "order.paid", data: { n: 1 }, id });
  await node.publish("orders", { to: "user:someone-else", type: "order.lost", data: { n: 2 } });
  await lines.filter({ hasText: "order.paid" }).filter({ hasText: '{"n":1}' }).first().waitFor();
  await lines.filter({ hasText: "a repetition: dropped" }).waitFor();
  await lines.filter({ hasText: "written to the connection" }).first().waitFor();
  assert.equal(await lines.filter({ hasText: "order.lost" }).count(), 0);
  await page.getByText("Watching orders for user:quin: 2 messages.").waitFor();
  if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, "console-watch.png") });

  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByText("Stopped after 2 messages.").waitFor();
  await lines.getByRole("link", { name: `Trace message ${id}` }).first().click();
  await page.getByText(/^Found it .*1 node answered\.$/).waitFor();
});

test("what the node refuses is said in words", { skip }, async t => {
  const page = await live(t, { part: "#/trace/orders/x?user=%00", expected: /status of 4\d\d/ });
  await page.getByText("User: a name must not hold control characters.").waitFor();
});

const key = (scopes: string) => {
  const text = execFileSync(process.env.FANFARE!, ["key", "--name", "test", "--scopes", scopes], { encoding: "utf8" });
  const [, secret, entry] = /^\s*key:\s*(\S+)[\s\S]*entry:\s*(\S+)/m.exec(text) ?? assert.fail(text);
  return { secret: secret!, entry: entry! };
};

test("on admin_listen it asks for a key, says what is wrong with one, and forgets it", { skip }, async t => {
  const admin = key("admin"), shop = key("publish/orders");
  const address = `127.0.0.1:${await freePort()}`;
  const served = await Node.start(t, {
    FANFARE_ADMIN_LISTEN: address, FANFARE_AUTH_API_KEYS: `${admin.entry},${shop.entry}`,
    FANFARE_AUTH_JWT_SECRET: "0123456789abcdef0123456789abcdef", FANFARE_SYSTEMS: "orders", FANFARE_TRANSPORT: "memory://",
  }, "serve");
  assert.equal((await fetch(`${served.url}/console`)).status, 404);
  const page = await open(t, { at: `http://${address}`, expected: /status of 40[13]|ERR_/ });
  const field = page.getByLabel("API key");
  for (const [secret, what] of [["nobody-has-this", "is not known to this node"], [shop.secret, "it needs the scope admin"]] as const) {
    await field.fill(secret);
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByRole("alert").filter({ hasText: what }).waitFor();
  }
  await field.fill(admin.secret);
  await page.getByRole("button", { name: "Continue" }).click();
  await row(page, "Nodes", "answers here").waitFor();
  assert.equal(await field.inputValue(), "");
  assert.deepEqual(await page.evaluate(() => [sessionStorage.length, localStorage.length, document.cookie]), [1, 0, ""]);

  await page.reload(); // the tab remembers it
  await row(page, "Nodes", "answers here").waitFor();
  await page.getByRole("link", { name: "Users" }).click();
  await page.getByLabel("User", { exact: true }).fill("nobody");
  await page.getByRole("button", { name: "Find" }).click();
  await page.getByText("No session on any node that answers").waitFor();
  await page.getByRole("button", { name: "Forget the key" }).click();
  await field.waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  assert.equal(await page.getByText("nobody", { exact: true }).count(), 0, "what was found can still be read");
});

test("it says that it is not live while the node is gone, and goes on when it is back", { skip }, async t => {
  const own = await Node.start(t);
  const page = await live(t, { at: own.url, expected: /ERR_/ });
  await own.stop();
  await page.getByText("not live").waitFor();
  await own.start();
  await page.getByRole("status").filter({ hasText: /^live$/ }).waitFor();
  await row(page, "Nodes", "answers here").getByText("serving").waitFor();
});

test("of a node whose control plane is off it shows that node, and says what it cannot do", { skip }, async t => {
  const alone = await Node.start(t, { FANFARE_CONTROL_DISABLED: "true" });
  const page = await live(t, { at: alone.url, expected: /status of 501|ERR_/ }); // its node ends before the page
  await page.getByText(/The control plane is off on this node/).waitFor();
  await row(page, "Nodes", "answers here").waitFor();
  await page.goto(`${alone.url}/console#/users/alice`);
  await page.getByText(/^The control plane is off: control\.disabled is set on this node\.$/).waitFor();
});

test("everything can be done and seen from the keyboard", { skip }, async t => {
  const rita = await client(t, "rita");
  const page = await live(t);
  const focus = () => page.evaluate(() => {
    const e = document.activeElement as HTMLInputElement;
    const { outlineStyle } = getComputedStyle(e);
    return { name: e.ariaLabel || e.labels?.[0]?.textContent?.trim() || e.textContent?.trim() || "", seen: outlineStyle !== "none", body: e === document.body };
  });
  /** Presses Tab until what has the focus is called so. */
  const reach = async (name: RegExp) => {
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press("Tab");
      const at = await focus();
      if (at.body) continue; // the browser's own controls come after the last
      assert.ok(at.name && at.seen, `the focus cannot be named or seen: ${JSON.stringify(at)}`);
      if (name.test(at.name)) return;
    }
    assert.fail(`${name} cannot be reached`);
  };
  await reach(/^Skip to the content$/);
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "main");
  await reach(/^Move sessions off/);
  await reach(/^Users$/);
  await page.keyboard.press("Enter");
  await until("the form has the focus", async () => (await focus()).name === "User");
  await page.keyboard.type("rita");
  await page.keyboard.press("Enter");
  await page.getByText(/^1 session on /).waitFor();
  await reach(/^Disconnect session/);
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  assert.match((await focus()).name, /^Disconnect session/); // the focus is where it was
  assert.equal(rita.events.close.length, 0);
  await page.keyboard.press("Enter");
  await reach(/^Disconnect$/);
  await page.keyboard.press("Enter");
  await until("the session is closed", () => rita.events.close.length > 0, long);
});

// In how many ways each part is looked at.
const looks = [["light", 1360], ["dark", 1360], ["dark", 390], ["light", 390]] as const;

test("light and dark, wide and narrow: nothing sticks out, and all text can be read", { skip }, async t => {
  const name = "sam-with-quite-a-long-name-that-nobody-can-break", id = `a-long-id-${"y".repeat(60)}`;
  const sam = await client(t, name);
  await node.publish("orders", { to: `user:${name}`, data: "x".repeat(500), id });
  await until("it came", () => sam.ids.includes(id), long);
  const page = await live(t, { height: 844 });
  /** Looks at what is shown, in all ways. */
  const look = async (part: string) => {
    for (const [colorScheme, width] of looks) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 844 });
      if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, `console-${part}-${colorScheme}-${width}.png`), fullPage: true });
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width, part);
      assert.deepEqual(await page.evaluate(unreadable), [], `${part} ${colorScheme} ${width}`);
    }
  };
  const go = (part: string) => page.goto(`${node.url}/console#/${part}`);
  await row(page, "Systems", "orders").waitFor();
  await look("nodes");
  await go(`users/${name}`);
  await page.getByText(/^1 session on /).waitFor();
  await look("users");
  await page.getByRole("button", { name: "Block …" }).click();
  await look("question");
  await answer(page, "Cancel");
  await go(`watch/orders?data=1&to=user:${name}`);
  await page.getByRole("log").getByText("of sam-with").first().waitFor();
  await node.publish("orders", { to: `user:${name}`, type: "t".repeat(100), data: "x".repeat(500) });
  await page.getByRole("log").getByText("written to the connection").first().waitFor();
  await look("watch");
  await go(`trace/orders/${id}?user=${name}`);
  await page.getByText("written to the connection").filter({ visible: true }).first().waitFor();
  await look("trace");
});
