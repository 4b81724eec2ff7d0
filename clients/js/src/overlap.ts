import type { Handling } from "./acks.ts";
import type { Message } from "./events.ts";

/** How many messages one connection may bring while the next one is being made. */
const most = 10_000;

/** For how many milliseconds a message is recognised. In that time nodes deliver no second one with the same id. */
const lasts = 120_000;

/** The messages of one system that are to come again. */
interface Repetitions {
  /** How often each came, by id. */
  ids: Map<string, number>;
  /** Whether the client's cursor is that of the newest of them. It is not after a gap. */
  ahead: boolean;
}

/** What one connection brings while the next one is being made, which brings it again. */
export class Overlap {
  readonly #systems = new Map<string, Repetitions>();
  readonly #handlings = new Map<string, Handling>(); // of messages that want a receipt
  #size = 0;
  #end = Infinity;

  /** Remembers a message. Returns false if there are too many. */
  note({ system, id }: Message): boolean {
    if (++this.#size > most) return false;
    let all = this.#systems.get(system);
    if (!all) this.#systems.set(system, (all = { ids: new Map(), ahead: true }));
    all.ids.set(id, (all.ids.get(id) ?? 0) + 1);
    return true;
  }

  /** Remembers what becomes of a message. */
  keep({ system, id }: Message, handling: Handling): void {
    this.#handlings.set(`${system} ${id}`, handling);
  }

  /** What becomes of a message that has come again. */
  handling({ system, id, cursor }: Message): Handling | undefined {
    const known = this.#handlings.get(`${system} ${id}`);
    if (known) known.cursor = cursor ?? known.cursor;
    return known;
  }

  /** The next connection has taken over. */
  begin(): void {
    this.#end = Date.now() + lasts;
  }

  /** A gap: the cursor may be before messages that are still to be recognised. */
  gap(system: string): void {
    const all = this.#systems.get(system);
    if (all) all.ahead = false;
  }

  /** Whether the system's cursor is ahead of what the connection brings. */
  isAhead(system: string): boolean {
    return !!this.#systems.get(system)?.ahead && Date.now() < this.#end;
  }

  /** Whether the last connection has brought this message. Each is recognised once. */
  has({ system, id }: Message): boolean {
    const all = this.#systems.get(system);
    const times = all?.ids.get(id);
    if (!all || !times) {
      if (Date.now() >= this.#end) this.#systems.delete(system);
      return false;
    }
    if (times > 1) all.ids.set(id, times - 1);
    else all.ids.delete(id);
    if (!all.ids.size) this.#systems.delete(system);
    return true;
  }
}
