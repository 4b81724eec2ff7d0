// Opens the board many times, some at once, and compares what the page has then with what
// the service had. It is what the page does, in a loop.
import { openBoard } from "../board.mjs";

/** How many changes a page takes after the newest one in its state. */
const enough = 10;

async function load(origin, user, options) {
  let newest = 0, target = Infinity, gaps = 0, done;
  const seen = new Promise(resolve => (done = resolve));
  let items, ended = false;
  const changed = item => {
    newest = Math.max(newest, item.version);
    if (newest >= target && !ended) {
      ended = true;
      done({ at: newest, has: Object.fromEntries([...items].map(([name, { version }]) => [name, version])) });
    }
  };
  const board = await openBoard(`${origin}/?user=${user}`, origin, changed, options);
  items = board.items;
  target = newest + enough;
  board.client.on("gap", () => gaps++);
  const { at, has } = await seen;
  board.client.close();
  const truth = await (await fetch(`${origin}/truth?at=${at}`)).json();
  const wrong = Object.keys(truth).filter(name => truth[name] !== has[name]).length;
  return { at, gaps, wrong, items: Object.keys(truth).length };
}

/**
 * Loads the page `count` times, `atOnce` at the same time, and tells how each load went.
 */
export async function loads(origin, count, atOnce, tell, options = {}) {
  let next = 0;
  const worker = async () => {
    while (next < count) await tell(await load(origin, "page-" + next++, options).catch(err => ({ error: String(err?.stack ?? err) })));
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}
