import type { Message } from "./events.ts";
import type { Link } from "./link.ts";

/** How many messages of a connection may wait for their handlers. Later ones are not acknowledged. */
const most = 10_000;

/** The shortest time between two acknowledgements, in milliseconds. */
const every = 100;

/** What becomes of a message: nothing yet, handled, or a handler has failed. */
export interface Handling {
  cursor: string;
  done?: boolean;
}

/**
 * Acknowledges the messages of one connection that want a receipt, on that connection. One
 * acknowledgement is for all before it, too, so it waits for these.
 */
export class Acks {
  readonly #link: Link;
  readonly #waiting = new Map<string, Handling[]>(); // by system
  readonly #ready = new Map<string, string>(); // cursors, by system
  readonly #stuck = new Set<string>(); // systems of which nothing that comes now is acknowledged
  /** How many messages wait for their handlers. */
  size = 0;
  #timer?: ReturnType<typeof setTimeout>;
  #sentAt = 0;

  constructor(link: Link) {
    this.#link = link;
  }

  /** A message has come: `handling` says what becomes of it. */
  add({ system }: Message, handling: Handling): void {
    let all = this.#waiting.get(system);
    if (!all) this.#waiting.set(system, (all = []));
    if (this.#stuck.has(system)) return;
    if (this.size === most) this.#stuck.add(system);
    else all.push(handling), this.size++;
  }

  /** Acknowledges what has been handled since. */
  look(): void {
    for (const [system, all] of this.#waiting) {
      for (; all[0]?.done; this.size--) this.#ready.set(system, all.shift()!.cursor);
      if (all[0]?.done !== false) continue;
      this.#stuck.add(system); // it has failed, and whatever comes after it waits for ever
      this.size -= all.splice(0).length;
    }
    if (this.#ready.size) this.#timer ??= setTimeout(() => this.flush(), Math.max(0, this.#sentAt + every - Date.now()));
  }

  /** Sends what is to be acknowledged now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#ready.size) return;
    this.#sentAt = Date.now();
    this.#link.send?.([...this.#ready].map(([system, cursor]) => JSON.stringify({ op: "ack", system, cursor })).join("\n"));
    this.#ready.clear();
  }

  /** The connection has ended. */
  end(): void {
    clearTimeout(this.#timer);
    this.#waiting.clear();
    this.#ready.clear();
  }
}
