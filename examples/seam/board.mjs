import { Client, fetchCursor } from "@fanfare/client";

/**
 * Opens the board: the state that the service has, and from then on each change of it.
 * `changed` is called with each item that is new or has changed. The result has all items by
 * name, and the client, whose `close` ends it.
 */
export async function openBoard(fanfare, service, changed = () => {}, options = {}) {
  const items = new Map();
  const take = item => {
    // The state may have a change already that a message tells of later.
    if (item.version <= (items.get(item.name)?.version ?? 0)) return;
    items.set(item.name, item);
    changed(item);
  };
  const readState = async () => {
    const answer = await fetch(new URL("state", service), { cache: "no-store" });
    if (!answer.ok) throw new Error(`the state: ${answer.status}`);
    for (const item of await answer.json()) take(item);
  };

  // The order matters. First ask where the system is,
  const cursor = await fetchCursor(fanfare, "board");
  // then read the state, which has at least all changes up to there,
  await readState();
  // and then take all changes that came after it.
  const client = new Client(fanfare, { systems: ["board"], from: { board: cursor }, ...options });
  client.on("message:board", ({ data }) => take(data));

  // Where continuity is not proven, the state is read again.
  const readAgain = () => void readState().catch(() => setTimeout(readAgain, 1000 + 1000 * Math.random()));
  client.on("gap:board", ({ after_ms }) => setTimeout(readAgain, after_ms));

  client.connect();
  return { items, client };
}
