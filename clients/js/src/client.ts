import { backoff } from "./backoff.ts";
import { Connection, type ConnectionOptions, type State } from "./connection.ts";
import { FanfareError } from "./error.ts";
import { Emitter, type Closed, type Hello } from "./events.ts";
import type { Query, Via } from "./link.ts";
import { Op, type Frame } from "./op.ts";

export interface Options extends ConnectionOptions {
  /** The systems to receive from. */
  systems: string[];
  /**
   * Rooms to be in from the beginning, as `system/room`: what was missed in them
   * is made up for too. A node refuses a connection that names a room which the
   * token does not allow.
   */
  rooms?: string[];
  /** Where to go on: what `client.cursors` was once. */
  cursors?: Record<string, string>;
}

export interface Join {
  /** Begin with what the room missed since this cursor. */
  since?: string;
}

export interface Sending {
  /** Targets such as `room:lobby` or `user:bob`; without it, the business system itself. */
  to?: string | string[];
  /** Tells the message from its repetition. */
  id?: string;
  type?: string;
  /** JSON, or with a `text/…` content type a string. */
  data?: unknown;
  /** Instead of `data`: bytes, in base64. */
  data_base64?: string;
  /** Default: `application/json`, with `data_base64` `application/octet-stream`. */
  content_type?: string;
  /** Whole seconds. */
  ttl?: number;
  headers?: Record<string, string>;
}

export interface Send {
  /**
   * Wait for a connection, and send again if it is lost before the answer: with
   * the same id, so that the message arrives once.
   */
  retry?: boolean;
}

/** Addresses cannot say half of a surrogate pair: they make U+FFFD of it, which is another name. */
const halved = /\p{Surrogate}/u;

function badRoom(): FanfareError {
  return new FanfareError("invalid", "a room's name cannot hold half of a surrogate pair");
}

/** The most that may wait for an answer. */
const mostOps = 1000;

/**
 * Characters that rooms may take in the address of a WebSocket: with all else it stays below
 * the 8 KiB that proxies read. What does not fit is joined once the node has said hello.
 */
const roomSpace = 3000;

/** Answers that can be others in a moment. */
const later = /^(busy|rate_limited|bus_down)$/;

/**
 * A Client holds one session with Fanfare: it connects, comes back when the
 * connection is lost, and goes on where it was. Where it cannot prove that
 * nothing was missed, it says so with a `gap`.
 */
export class Client extends Emitter {
  /**
   * How far each system has been seen. A message's cursor is here once its
   * handlers have returned. Keep a copy to go on from another page.
   */
  readonly cursors: Record<string, string>;

  readonly #systems: Set<string>;
  readonly #rooms: Set<string>; // as system/room, to be named at connect
  readonly #ahead: Record<string, string> = {}; // how far is seen, where `cursors` must wait for a late room
  #late: string[] = []; // of the rooms, those that the present connection's address does not name
  readonly #ops = new Map<number, Op>();
  readonly #connection: Connection;
  #ref = 0;
  #session = "";

  /** `url` is a node's or a load balancer's, such as `https://push.example.com`. */
  constructor(url: string, options: Options) {
    super();
    this.#systems = new Set(options.systems);
    this.#rooms = new Set(options.rooms);
    if (options.rooms?.some(room => halved.test(room))) throw badRoom();
    this.cursors = { ...options.cursors };
    for (const name of this.#systems) {
      if (!/^[a-z0-9][\w-]*$/.test(name)) throw new FanfareError("invalid", `"${name}" is no name of a system`);
    }
    this.#connection = new Connection(url, options, {
      query: (via, proven) => this.#query(via, proven),
      read: text => this.#read(text),
      ended: (closed, wasOpen) => this.#ended(closed, wasOpen),
      failed: err => this.emit("error", err),
      refresh: token => this.#ask({ op: "auth", token }, false),
      // Leaving a room that one is not in changes nothing, and is answered.
      probe: () => JSON.stringify({ op: "leave", ref: 0, system: [...this.#systems][0], room: "not " + this.#session }),
    });
  }

  get state(): State {
    return this.#connection.state;
  }

  /** Connects, and stays connected until `close` or a final close code. */
  connect(): void {
    if (this.state === "closed") this.#connection.start();
  }

  /** Ends the session. `connect` goes on from the same cursors, in the same rooms. */
  close(): void {
    if (this.state !== "closed") this.#connection.stop(1000, "");
  }

  /**
   * Enters a room, on this connection and all that follow. Without a connection
   * it waits for one, and if that is lost before the answer, for the next.
   */
  async join(system: string, room: string, { since }: Join = {}): Promise<void> {
    // A WebSocket's node would refuse it, but an EventSource's would hear of another room.
    if (halved.test(room)) throw badRoom();
    await this.#ask({ op: "join", system, room, since }, true);
  }

  /** Leaves a room. Without a connection that is done at once. */
  async leave(system: string, room: string): Promise<void> {
    this.#rooms.delete(`${system}/${room}`);
    for (const op of this.#ops.values()) {
      if (op.joins(system, room)) this.#settle(op, new FanfareError("left", "the room was left meanwhile"));
    }
    const { state, link } = this.#connection;
    if (state === "open" && link!.send) await this.#ask({ op: "leave", system, room }, false);
    else if (link?.via === "sse") this.#connection.renew();
  }

  /** Publishes a message, and returns its id once the bus has it. */
  send(system: string, message: Sending, { retry = false }: Send = {}): Promise<string> {
    const id = message.id || (retry ? random() : undefined);
    return this.#ask({ ...message, op: "send", system, id }, retry);
  }

  async #ask(frame: Frame, again: boolean): Promise<string> {
    if (this.state === "closed") throw new FanfareError("closed", "the client is closed");
    if (this.state !== "open" && !again) throw new FanfareError("disconnected", "there is no connection: nothing was sent");
    if (this.#ops.size >= mostOps) throw new FanfareError("rate_limited", "too much is waiting for an answer");
    const op = new Op(++this.#ref, frame, again);
    this.#ops.set(op.ref, op);
    if (this.state === "open") this.#transmit([op]);
    return op.answer;
  }

  /** Puts ops to the node. With EventSource all that a client can do is to connect anew, naming other rooms. */
  #transmit(ops: Iterable<Op>): void {
    const { link } = this.#connection;
    let renew = false;
    for (const op of ops) {
      if (link!.send) {
        if (!op.late || op === this.#nextLate()) this.#connection.say(op.text());
      } else if (op.trial) {
        // What the room missed cannot be asked for here.
        if (op.late && op.frame.since) this.emit("gap", { system: op.frame.system as string, reason: "too_far", after_ms: 0 });
        this.#settle(op);
      } else if (op.frame.op !== "join" || op.frame.since) {
        this.#settle(op, new FanfareError("unsupported", "WebSocket is blocked, and EventSource cannot do this"));
      } else renew = true;
    }
    if (renew) this.#connection.renew();
  }

  #settle(op: Op, answer: string | FanfareError = ""): void {
    this.#ops.delete(op.ref);
    if (typeof answer !== "string") return op.reject(answer);
    if (op.frame.op === "join") this.#rooms.add(`${op.frame.system}/${op.frame.room}`);
    op.resolve(answer);
  }

  /** Rooms that the address had no space for are joined one after the other: nodes limit the rate. */
  #nextLate(): Op | undefined {
    return [...this.#ops.values()].find(op => op.late);
  }

  #query(via: Via, proven: boolean): Query {
    const systems = [...this.#systems];
    const rooms = [...this.#rooms];
    for (const op of this.#ops.values()) {
      op.trial = via === "sse" && op.frame.op === "join" && (op.late || (proven && !op.frame.since));
      if (op.trial) rooms.push(`${op.frame.system}/${op.frame.room}`);
    }
    let space = via === "ws" ? roomSpace : Infinity;
    this.#late = rooms.filter(name => (space -= String(new URLSearchParams({ room: name })).length + 1) < 0);
    const named = rooms.filter(name => !this.#late.includes(name));
    return {
      systems: systems.join(),
      rooms: named.filter(name => !name.includes(",")).join(), // a list ends its elements at commas
      room: named.filter(name => name.includes(",")),
      resume: systems.filter(s => this.#at(s)).map(s => `${s}:${this.#at(s)}`).join(),
    };
  }

  #read(frame: string): void {
    const { link } = this.#connection;
    for (const line of String(frame).split("\n")) {
      let op;
      try {
        op = JSON.parse(line);
      } catch (cause) {
        this.emit("error", new FanfareError("protocol", "the node said what is no JSON", { cause }));
        continue;
      }
      this.#take(op ?? {});
      if (this.#connection.link !== link) return; // a handler closed the client
    }
  }

  /** What it does not know it ignores: nodes may be newer. */
  #take({ op, ...event }: any): void {
    switch (op) {
      case "hello":
        return this.#greeted(event);
      case "message":
        if ([...this.#ops.values()].some(join => join.knows(event))) return;
        this.emit(op, event);
        return this.#advance(event);
      case "gap":
        this.emit(op, event);
        return this.#advance(event);
      case "cursor":
        return this.#advance(event);
      case "bus":
        return this.emit(op, event);
      case "goaway":
        return this.#connection.sentAway(event.retry_ms);
      case "close": // EventSource has no close codes
        return this.#connection.lost(event.code, event.reason);
      case "left":
        this.#left(event);
        return this.emit(op, event);
      case "ok":
      case "error":
        return this.#answered(op === "ok" ? event.id : new FanfareError(event.code, event.message), event.ref);
    }
  }

  /** Where a connection resumes. */
  #at(system: string): string | undefined {
    return this.#ahead[system] ?? this.cursors[system];
  }

  /** Without a cursor the place is what it was. */
  #advance({ system, cursor }: { system: string; cursor?: string | null }): void {
    if (cursor) this.#ahead[system] = cursor;
    this.#publish(system);
  }

  /** While a room is still to be told what it missed, whoever goes on from `cursors` must begin before that. */
  #publish(system: string): void {
    const at = this.#ahead[system];
    if (!at || [...this.#ops.values()].some(op => op.late && op.frame.system === system)) return;
    this.cursors[system] = at;
    delete this.#ahead[system];
  }

  /** Makes ops of the rooms that the address did not name. Each begins where the connection does. */
  #joinLate(): void {
    for (const name of this.#late.splice(0)) {
      if (!this.#rooms.delete(name)) continue; // it was left meanwhile
      const [system] = name.split("/", 1) as [string];
      const room = name.slice(system.length + 1);
      const op = new Op(++this.#ref, { op: "join", system, room, since: this.#at(system) }, true);
      op.late = true;
      this.#ops.set(op.ref, op);
      const settled = () => {
        this.#publish(system);
        const next = this.#nextLate();
        if (next && this.state === "open") this.#transmit([next]);
      };
      op.answer.then(settled, err => {
        if (err.code === "closed") {
          // `connect` goes on in the room, and for what it missed from `cursors`.
          this.#rooms.add(name);
          delete this.#ahead[system];
          return;
        }
        if (err.code !== "left") this.emit("left", { system, room, reason: err.code });
        settled();
      });
    }
  }

  #greeted(hello: Hello): void {
    for (const [system, { cursor }] of Object.entries(hello.systems)) {
      // A cursor that was given stays until a message or a gap comes after it:
      // if the connection breaks before that, it is the place to go on from.
      if (!this.#at(system)) this.#advance({ system, cursor });
    }
    this.#session = hello.session;
    this.#connection.greeted();
    this.#joinLate();
    const via = this.#connection.link!.via;
    this.#transmit([...this.#ops.values()]);
    this.emit("open", { ...hello, via });
  }

  #answered(answer: string | FanfareError, ref?: number): void {
    const op = this.#ops.get(ref!);
    if (op && answer instanceof FanfareError && later.test(answer.code) && (op.late || answer.code === "busy")) this.#later(op);
    else if (op) this.#settle(op, answer);
    else if (answer instanceof FanfareError && ref !== 0) this.emit("error", answer);
  }

  /** A node that is still looking for another place in the log asks to wait for a moment. */
  #later(op: Op): void {
    const { link } = this.#connection;
    setTimeout(() => {
      if (this.#connection.link === link && this.#ops.has(op.ref)) this.#transmit([op]);
    }, backoff(0));
  }

  #left({ system, room }: { system: string; room?: string }): void {
    if (room === undefined) this.#systems.delete(system);
    for (const name of this.#rooms) {
      if (room === undefined ? name.startsWith(system + "/") : name === `${system}/${room}`) this.#rooms.delete(name);
    }
  }

  #ended(closed: Closed, wasOpen: boolean): void {
    for (const op of [...this.#ops.values()]) {
      if (!closed.retry) op.abandon();
      else if (op.trial && !op.late && !wasOpen) op.reject(new FanfareError("refused", "a connection that names the room was refused"));
      else if (op.lost(closed.code)) continue;
      this.#ops.delete(op.ref);
    }
    this.emit("close", closed);
  }
}

function random(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), n => n.toString(36)).join("");
}
