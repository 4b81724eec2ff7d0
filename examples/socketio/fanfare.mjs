// What the move needs of code: an emitter for the service, and a socket for the page, in the
// form of Socket.IO's.
import { Client } from "@fanfare/client";

/**
 * Publishes to Fanfare what services emit with Socket.IO's Emitter. An emit returns a promise:
 * it is fulfilled once the bus has the message, and rejected with the node's words.
 */
export class FanfareEmitter {
  #url; #key; #system; #to;

  constructor(url, key, system, to = []) {
    [this.#url, this.#key, this.#system, this.#to] = [url, key, system, to];
  }

  to(room) {
    return new FanfareEmitter(this.#url, this.#key, this.#system, [...this.#to, target(room)]);
  }

  async emit(event, data) {
    const body = { to: this.#to.length ? this.#to : "*", type: event, data, id: crypto.randomUUID() };
    const answer = await fetch(`${this.#url}/v1/systems/${this.#system}/messages`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${this.#key}` },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    });
    if (!answer.ok) throw new Error(`fanfare: ${answer.status} ${await answer.text()}`);
  }
}

// Socket.IO knows rooms alone. Fanfare knows users, too, who need not join anything.
const target = room => (room.startsWith("user:") ? room : `room:${room}`);

/** Emits to each of the emitters, as long as there are pages of both kinds. */
export class Both {
  #all;

  constructor(...all) {
    this.#all = all;
  }

  to(room) {
    return new Both(...this.#all.map(e => e.to(room)));
  }

  async emit(event, data) {
    await Promise.all(this.#all.map(e => e.emit(event, data)));
  }
}

/** Connects, and returns what pages need of a Socket.IO socket. More options are the client's. */
export function connect(url, { system, rooms, ...options }) {
  const client = new Client(url, { systems: [system], rooms: rooms.map(r => `${system}/${r}`), ...options });
  const handlers = new Map();
  client.on("message", m => handlers.get(m.type)?.(m.data));
  // Here something may be missing. Socket.IO would not say so.
  client.on("gap", gap => handlers.get("gap")?.(gap));
  client.connect();
  return {
    on: (event, handler) => handlers.set(event, handler),
    opened: new Promise(resolve => client.on("open", resolve)),
    close: () => client.close(),
  };
}
