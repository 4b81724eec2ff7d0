import assert from "node:assert/strict";
import { after, type TestContext } from "node:test";
import { chromium, type Browser, type Page } from "playwright-core";

/** Why tests that need a browser are skipped, or false. */
export const skip = (process.env.FANFARE_SKIP ?? "").split(",").includes("chromium") ? "FANFARE_SKIP says so" : false;

/** How a page is looked at. */
export interface Look {
  width?: number;
  height?: number;
  colorScheme?: "light" | "dark";
}

// The tests of a file share a browser, which takes long to start; a page has a profile of its own.
let browser: Promise<Browser> | undefined;
after(async () => (await browser)?.close());

/** Opens a page. What the browser complains of fails the test, except what `expected` matches. */
export async function browse(t: TestContext, url: string, { width = 1360, height = 900, colorScheme = "light" }: Look, expected: RegExp): Promise<Page> {
  browser ??= chromium.launch({
    executablePath: process.env.CHROMIUM!, headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  const context = await (await browser).newContext({
    viewport: { width, height }, colorScheme, reducedMotion: "reduce", permissions: ["clipboard-read", "clipboard-write"],
  });
  const complaints: string[] = [];
  t.after(async () => {
    await context.close();
    assert.deepEqual(complaints, []);
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("pageerror", err => complaints.push(err.message));
  page.on("console", m => {
    if (m.type() === "error" && !expected.test(m.text())) complaints.push(m.text());
  });
  await page.goto(url);
  return page;
}

/** Texts whose contrast is below 4.5. It runs in the page. */
export function unreadable(): string[] {
  const parse = (c: string) => (c.match(/[\d.]+/g) ?? []).map(Number);
  const light = ([r = 0, g = 0, b = 0]: number[]) => {
    const [x, y, z] = [r, g, b].map(v => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x! + 0.7152 * y! + 0.0722 * z!;
  };
  const behind = (e: Element | null): number[] => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3]! > 0.99) return c;
    }
    return [255, 255, 255];
  };
  const bad: string[] = [];
  for (const e of document.querySelectorAll("body *")) {
    const text = [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.textContent!.trim()).join("");
    if (!text || !e.checkVisibility() || e.closest("[aria-hidden], svg, script, style, template")) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x) as [number, number];
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) bad.push(`${text.slice(0, 30)}: ${contrast.toFixed(2)}`);
  }
  return bad;
}
