// The page of `fanfare dev`, in a real browser.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import type { Locator, Page } from "playwright-core";
import { browse, skip, unreadable, type Look } from "./browser.ts";
import { Node, until } from "./kit.ts";

const cleanup: (() => unknown)[] = [];
let node: Node;

before(async () => {
  if (skip) return;
  node = await Node.start({ after: (f: () => unknown) => cleanup.push(f) });
});
after(() => Promise.all(cleanup.map(f => f())));

/** Opens the page, and waits for its devices. */
async function open(t: TestContext, options: Look & { at?: Node } = {}): Promise<Page> {
  const { at = node } = options;
  // Nodes that are gone or that drain (503), and refusals, are what some tests are about.
  const page = await browse(t, at.url, options, /ERR_CONNECTION|status of 413|response code: 503/);
  await until("three devices are live", async () => (await page.locator('[data-state="live"]').count()) === 3);
  return page;
}

const device = (page: Page, name: string) => page.getByRole("article", { name });
const data = (card: Locator) => card.locator(".message .data").allTextContents();
const shows = (card: Locator, ...wanted: string[]) =>
  until(`the device shows ${wanted}`, async () => String(await data(card)) === String(wanted), 15_000)
    .catch(async () => assert.deepEqual(await data(card), wanted));

test("a message reaches every device of its user, and nobody else's", { skip }, async t => {
  const page = await open(t);
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await shows(device(page, "alice, Phone"), '{"n":1}');
  await shows(device(page, "alice, Laptop"), '{"n":1}');
  await page.getByLabel("Everyone").check();
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await shows(device(page, "bob, Laptop"), '{"n":2}');
  await shows(device(page, "alice, Phone"), '{"n":1}', '{"n":2}');
});

test("a device that was cut catches up in order, once, and goes on", { skip }, async t => {
  const page = await open(t);
  const phone = device(page, "alice, Phone");
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await shows(phone, '{"n":1}');
  await phone.getByRole("button", { name: "Cut" }).click();
  await page.getByRole("button", { name: "Publish five" }).click();
  await shows(device(page, "alice, Laptop"), ...[1, 2, 3, 4, 5, 6].map(n => `{"n":${n}}`));
  await shows(phone, '{"n":1}');
  const place = await phone.locator(".places dd").first().textContent();
  await phone.getByRole("button", { name: "Restore", exact: true }).click();
  await shows(phone, ...[1, 2, 3, 4, 5, 6].map(n => `{"n":${n}}`));
  assert.equal(await phone.locator("em").count(), 5);
  assert.notEqual(await phone.locator(".places dd").first().textContent(), place);
  assert.equal(await phone.locator(".gap").count(), 0);
});

test("a cursor that the node cannot know is a gap", { skip }, async t => {
  const page = await open(t);
  const phone = device(page, "alice, Phone");
  await phone.getByRole("button", { name: "Cut" }).click();
  await phone.getByRole("button", { name: "Restore elsewhere" }).click();
  await until("two gaps", async () => (await phone.locator(".gap").count()) === 2);
  assert.match((await phone.locator(".gap").first().textContent())!, /unknown_cursor/);
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Cut"); // the focus is not lost
});

test("rooms are joined and left; devices are added and removed; EventSource does the same", { skip }, async t => {
  const page = await open(t);
  await page.getByLabel("User").last().fill("dora");
  await page.getByLabel("Device", { exact: true }).fill("Tablet");
  await page.getByLabel("Over").selectOption("sse");
  await page.getByRole("button", { name: "Add" }).click();
  const tablet = device(page, "dora, Tablet");
  await tablet.getByRole("button", { name: "Join" }).click();
  await tablet.getByRole("button", { name: "Leave chat/lobby" }).waitFor();
  await page.getByLabel("A room").check();
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await shows(tablet, '{"n":1}');
  await shows(device(page, "bob, Laptop"), '{"n":1}');
  await shows(device(page, "alice, Phone"));
  await tablet.getByRole("button", { name: "Leave chat/lobby" }).click();
  await until("it has left", async () => (await tablet.locator(".rooms li").count()) === 0);
  await until("it is live", async () => (await tablet.getAttribute("data-state")) === "live");
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await shows(device(page, "bob, Laptop"), '{"n":1}', '{"n":2}');
  await shows(tablet, '{"n":1}');
  await page.getByRole("button", { name: "Remove dora, Tablet" }).click();
  assert.equal(await tablet.count(), 0);
});

test("a device shows who is in the room, who comes and who leaves, and what it does not know", { skip }, async t => {
  const page = await open(t);
  const who = (name: string) => device(page, name).locator(".who");
  const users = (name: string) => who(name).locator("li").allTextContents();
  const there = (name: string, ...wanted: string[]) =>
    until(`${name} sees ${wanted}`, async () => String(await users(name)) === String(wanted) && (await who(name).locator(".count").textContent()) === String(wanted.length))
      .catch(async () => assert.deepEqual(await users(name), wanted));
  await there("alice, Phone", "alice", "bob"); // it is not in the room itself
  await there("bob, Laptop", "alice", "bob");
  await device(page, "bob, Laptop").getByRole("button", { name: "Cut" }).click();
  await until("bob's list is old", async () => (await who("bob, Laptop").getAttribute("class"))!.includes("stale"));
  await there("alice, Phone", "alice");
  await who("alice, Phone").getByText("bob left").waitFor();
  await device(page, "bob, Laptop").getByRole("button", { name: "Restore", exact: true }).click();
  await there("alice, Phone", "alice", "bob");
  await who("alice, Phone").getByText("bob came").waitFor();
  await there("bob, Laptop", "alice", "bob");
  assert.equal(await who("bob, Laptop").getAttribute("class"), "who");

  await device(page, "alice, Phone").getByLabel("Place of which alice, Phone is told who is there").selectOption("orders");
  await there("alice, Phone", "alice", "bob");
  await page.getByLabel("User").last().fill("dora");
  await page.getByLabel("Over").selectOption("sse");
  await page.getByRole("button", { name: "Add" }).click();
  await there("alice, Phone", "alice", "bob", "dora");
  await who("dora, Phone").getByText("EventSource does not tell.").waitFor();
  if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, "who.png") });
});

test("with a node that keeps no presence a device says so, and works", { skip }, async t => {
  const page = await open(t, { at: await Node.start(t, { FANFARE_CONTROL_DISABLED: "true" }) });
  await device(page, "alice, Phone").getByText("This node does not know who is there.").waitFor();
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await shows(device(page, "alice, Phone"), '{"n":1}');
});

test("devices find their node again, and are told that its memory is gone", { skip }, async t => {
  const own = await Node.start(t);
  const page = await open(t, { at: own });
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  const phone = device(page, "alice, Phone");
  await shows(phone, '{"n":1}');
  await own.stop();
  await until("it waits", async () => (await page.locator('[data-state="live"]').count()) === 0);
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await page.getByText("The node did not answer.").waitFor();
  await own.start();
  await until("all are back", async () => (await page.locator('[data-state="live"]').count()) === 3, 30_000);
  await until("the gap", async () => (await phone.locator(".gap").count()) > 0);
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await shows(phone, '{"n":1}', '{"n":2}');
});

test("what the node refuses, and what is no JSON, is said where one looks", { skip }, async t => {
  const page = await open(t);
  await page.getByLabel("Data, as JSON").fill("{");
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  assert.equal(await page.getByLabel("Data, as JSON").evaluate((e: any) => e.validationMessage), "This is no JSON");
  await page.getByLabel("Data, as JSON").fill(`"${"x".repeat(70_000)}"`);
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await page.getByText(/^413: /).waitFor();
});

test("commands for the shell follow the form, and can be copied", { skip }, async t => {
  const page = await open(t);
  await page.getByLabel("Data, as JSON").fill(`{"text":"it's"}`);
  await page.getByRole("tab", { name: "curl" }).focus();
  await page.getByRole("button", { name: "Copy" }).click();
  const curl = await page.evaluate(() => navigator.clipboard.readText());
  const { execFileSync } = await import("node:child_process");
  assert.match(execFileSync("sh", ["-c", curl.replace("curl ", "curl -s ")], { encoding: "utf8" }), /"id"/);
  await shows(device(page, "alice, Phone"), `{"text":"it's"}`);

  await page.getByRole("tab", { name: "curl" }).press("ArrowRight");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "fanfare");
  const command = (await page.locator("#command").textContent())!;
  execFileSync("sh", ["-c", command.replace("fanfare", `"${process.env.FANFARE}"`)], { encoding: "utf8" });
  await shows(device(page, "alice, Phone"), `{"text":"it's"}`, `{"text":"it's"}`);

  await page.getByRole("tab", { name: "fanfare" }).press("ArrowRight");
  assert.match((await page.locator("#command").textContent())!, /^redis-cli PUBLISH fanfare\.orders/);
  await page.getByText("The bus of this node is its own memory").waitFor();
});

test("everything can be reached and named from the keyboard", { skip }, async t => {
  const page = await open(t);
  const names: string[] = [];
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const e = document.activeElement as HTMLInputElement;
      const style = getComputedStyle(e), outer = e.closest("label") && getComputedStyle(e.closest("label")!);
      return {
        name: e.ariaLabel || e.labels?.[0]?.textContent?.trim() || e.textContent?.trim() || "",
        visible: style.outlineStyle !== "none" || outer?.outlineStyle !== "none",
        body: e === document.body,
      };
    });
    if (at.body) break;
    assert.ok(at.name, `the ${i + 1}th stop has no name, after ${names.at(-1)}`);
    assert.ok(at.visible, `the focus on ${at.name} cannot be seen`);
    names.push(at.name);
  }
  const order = ["Skip to the devices", "A user", "Data, as JSON", "Publish", "curl", "Copy", "Add", "Cut", "Join"].map(n => names.findIndex(m => m.startsWith(n)));
  assert.ok(order.every((at, i) => at >= 0 && (i === 0 || at > order[i - 1]!)), `order ${order} of ${names.join(" | ")}`);
});

for (const [colorScheme, width] of [["light", 1360], ["dark", 1360], ["light", 390], ["dark", 820]] as const) {
  test(`at ${width} pixels, ${colorScheme}: nothing sticks out, and all text can be read`, { skip }, async t => {
    const page = await open(t, { width, height: 844, colorScheme });
    await page.getByRole("button", { name: "Publish five" }).click();
    const phone = device(page, "alice, Phone");
    await shows(phone, ...[1, 2, 3, 4, 5].map(n => `{"n":${n}}`));
    await phone.getByRole("button", { name: "Cut" }).click();
    const laptop = device(page, "alice, Laptop");
    await laptop.getByRole("button", { name: "Cut" }).click();
    await laptop.getByRole("button", { name: "Restore elsewhere" }).click();
    await laptop.locator(".gap").first().waitFor();
    if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, `${colorScheme}-${width}.png`), fullPage: width < 1000 });
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
    assert.deepEqual(await page.evaluate(unreadable), []);
  });
}
