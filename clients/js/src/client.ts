import { Acks, type Handling } from "./acks.ts";
import { backoff } from "./backoff.ts";
import { Connection, type ConnectionOptions, type State } from "./connection.ts";
import { FanfareError } from "./error.ts";
import { Emitter, type Closed, type Coverage, type Hello, type Message, type Presence } from "./events.ts";
import type { Link, Query, Via } from "./link.ts";
import { Op, placeName, type Answer, type Frame } from "./op.ts";
import { Overlap } from "./overlap.ts";

export interface Options extends ConnectionOptions {
  /** The systems to receive from. */
  systems: string[];
  /**
   * Rooms to join when connecting, as `system/room`. The client also catches up
   * on what it missed in them. A node refuses the connection if the token does not
   * allow one of them.
   */
  rooms?: string[];
  /** Where to resume: an earlier value of `client.cursors`. */
  cursors?: Record<string, string>;
  /**
   * Where to begin, by system: the cursor that `fetchCursor` returned before the page read
   * its state. It counts where `cursors` has the system, too.
   */
  from?: Record<string, string>;
  /**
   * With which of the latest messages to begin, by system, where the client has no cursor:
   * so many, up to 1,000, or those of so long, such as `5m`.
   */
  last?: Record<string, number | string>;
}

export interface Join {
  /** Begin with what the client missed in the room since this cursor. */
  since?: string;
  /** Begin with the latest messages of the room: so many, or those of so long, such as `5m`. */
  last?: number | string;
}

export interface Sending {
  /** Targets such as `room:lobby` or `user:bob`. Without it the message is for the business system itself. */
  to?: string | string[];
  /** Identifies the message: a second message with the same id is a repetition. */
  id?: string;
  type?: string;
  /** A JSON value; with a `text/…` content type, a string. */
  data?: unknown;
  /** Bytes in base64, instead of `data`. */
  data_base64?: string;
  /** The default is `application/json`, and with `data_base64` it is `application/octet-stream`. */
  content_type?: string;
  /** How long the message is worth delivering, in whole seconds. */
  ttl?: number;
  headers?: Record<string, string>;
}

export interface Send {
  /**
   * Wait for a connection, and send again if the connection is lost before the
   * answer. The id stays the same, so that the message is delivered once.
   */
  retry?: boolean;
}

export interface Watch {
  /** Whether to tell who is there, and not only how many there are. */
  users?: boolean;
}

/** URLs cannot contain half of a surrogate pair. It would become U+FFFD, and so another room's name. */
const loneSurrogate = /\p{Surrogate}/u;

function badRoom(): FanfareError {
  return new FanfareError("invalid", "a room's name cannot hold half of a surrogate pair");
}

/** How many ops may wait for an answer at the same time. */
const maxOps = 1000;

/**
 * How many characters rooms may take in the URL of a WebSocket, so that the whole URL stays
 * below the 8 KiB that proxies accept. The client joins the other rooms after the hello.
 */
const roomSpace = 3000;

/** Codes of errors that may pass in a moment. */
const transient = /^(busy|rate_limited|bus_down)$/;

/**
 * A Client holds one session with Fanfare. It connects, reconnects when the
 * connection is lost, and resumes where it was. If it cannot be proven that nothing
 * was missed, it emits a `gap`.
 */
export class Client extends Emitter {
  /**
   * The cursor of each system: everything up to it has been seen. It advances to a
   * message's cursor once the message's handlers have returned. Keep a copy to
   * resume from another page.
   */
  readonly cursors: Record<string, string>;

  readonly #last: Record<string, number | string>;
  readonly #systems: Set<string>;
  readonly #rooms: Set<string>; // rooms to join when connecting, as system/room
  readonly #seen: Record<string, string> = {}; // newest cursors, while `cursors` must wait for a late room
  #named: string[] = []; // the rooms in the connection's URL
  #lateRooms: string[] = []; // the rooms for which the connection's URL had no space
  readonly #watches = new Map<string, Frame>(); // by place: what to send on each connection
  readonly #ops = new Map<number, Op>();
  readonly #connection: Connection;
  #moving?: "settling" | "following"; // the node has asked the client to go
  #recording?: Overlap; // what comes while the next connection is being made
  #overlap?: Overlap; // what came on the last connection while this one was being made
  #acks?: Acks; // of the connection
  #ref = 0;
  #session = "";

  /** `url` is the address of a node or a load balancer, such as `https://push.example.com`. */
  constructor(url: string, options: Options) {
    super();
    this.#systems = new Set(options.systems);
    this.#rooms = new Set(options.rooms);
    if (options.rooms?.some(room => loneSurrogate.test(room))) throw badRoom();
    this.cursors = { ...options.cursors, ...options.from };
    this.#last = { ...options.last };
    for (const name of this.#systems) {
      if (!/^[a-z0-9][\w-]*$/.test(name)) throw new FanfareError("invalid", `"${name}" is no name of a system`);
    }
    this.#connection = new Connection(url, options, {
      query: (via, proven, next) => this.#query(via, proven, next),
      read: text => this.#read(text),
      readOld: text => this.#readOld(text),
      oldEnded: link => this.#oldEnded(link),
      stays: () => this.#stays(),
      ended: (closed, wasOpen, followed) => this.#ended(closed, wasOpen, followed),
      failed: err => this.emit("error", err),
      refresh: token => this.#ask({ op: "auth", token }, false),
      // Leaving a room that the session is not in changes nothing, and is answered.
      probe: () => JSON.stringify({ op: "leave", ref: 0, system: [...this.#systems][0], room: "not " + this.#session }),
    });
  }

  get state(): State {
    return this.#connection.state;
  }

  /** Connects, and reconnects until `close` is called or a close code is final. */
  connect(): void {
    if (this.state === "closed") this.#connection.start();
  }

  /** Ends the session. A later `connect` resumes from the same cursors, in the same rooms. */
  close(): void {
    this.#acks?.flush();
    if (this.state !== "closed") this.#connection.stop(1000, "");
  }

  /**
   * Joins a room, on this connection and on later ones. Without a connection it
   * waits for one. If the connection is lost before the answer, it waits for the
   * next. With `last` it returns whether all of these messages have come, if the node tells.
   */
  async join(system: string, room: string, { since, last }: Join = {}): Promise<Coverage | undefined> {
    // Over a WebSocket the node would refuse such a name. In an EventSource's URL it would become another one.
    if (loneSurrogate.test(room)) throw badRoom();
    return (await this.#ask({ op: "join", system, room, since, last }, true)).last;
  }

  /** Leaves a room. Without a connection this takes effect at once. */
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
  async send(system: string, message: Sending, { retry = false }: Send = {}): Promise<string> {
    const id = message.id || (retry ? random() : undefined);
    return (await this.#ask({ ...message, op: "send", system, id }, retry)).id!;
  }

  /**
   * Watches who is in a room or, with an undefined `room`, attached to the system:
   * `presence` tells how it is, and then what changes. `false` ends that. On each
   * connection the client watches again, and how it is is told anew. Rejects with
   * `unsupported` if presence is not kept, and with `forbidden` if the token does not
   * allow it.
   */
  async presence(system: string, room: string | undefined, watch: Watch | false = {}): Promise<void> {
    const frame: Frame = { op: "presence", system, room, watch: watch && (watch.users ? "users" : "count") };
    if (watch) return void (await this.#ask(frame, true));
    const place = placeName(frame);
    this.#watches.delete(place);
    for (const op of this.#ops.values()) {
      if (op.watches(place)) this.#settle(op, new FanfareError("left", "the place is not watched any more"));
    }
    if (this.state === "open" && this.#connection.link!.send) await this.#ask(frame, false);
  }

  async #ask(frame: Frame, retry: boolean): Promise<Answer> {
    if (this.state === "closed") throw new FanfareError("closed", "the client is closed");
    if (this.state !== "open" && !retry) throw new FanfareError("disconnected", "there is no connection: nothing was sent");
    if (this.#ops.size >= maxOps) throw new FanfareError("rate_limited", "too much is waiting for an answer");
    const op = new Op(++this.#ref, frame, retry);
    this.#ops.set(op.ref, op);
    if (this.state === "open") this.#transmit([op]);
    return op.answer;
  }

  /** Sends ops to the node. With EventSource a client can only reconnect and name other rooms. */
  #transmit(ops: Iterable<Op>): void {
    const { link } = this.#connection;
    let renew = false;
    for (const op of ops) {
      if (link!.send) {
        // Joins are not divided between two connections: see #move.
        if ((op.late && op !== this.#nextLate()) || (this.#moving && op.ofPlace)) continue;
        op.on = link;
        this.#connection.send(op.text());
      } else if (op.trial) {
        // An EventSource cannot ask for what was missed in the room.
        if (op.late && op.frame.since) this.emit("gap", { system: op.frame.system as string, reason: "too_far", after_ms: 0 });
        this.#settle(op);
      } else if (op.again) {
        this.#ops.delete(op.ref); // the next WebSocket watches again
        this.emit("presence", { system: op.frame.system, room: op.frame.room, reason: "unsupported" } as Presence);
      } else if (op.frame.op !== "join" || op.replays) {
        this.#settle(op, new FanfareError("unsupported", "WebSocket is blocked, and EventSource cannot do this"));
      } else renew = true;
    }
    if (renew) this.#connection.renew();
  }

  #settle(op: Op, answer: Answer | FanfareError = {}): void {
    this.#ops.delete(op.ref);
    this.#follow();
    if (answer instanceof FanfareError) return op.reject(answer);
    if (op.frame.op === "join") this.#rooms.add(placeName(op.frame));
    if (op.frame.watch) this.#watches.set(placeName(op.frame), op.frame);
    op.resolve(answer);
  }

  /** Late rooms are joined one after the other, since nodes limit the rate. This is the next one. */
  #nextLate(): Op | undefined {
    return [...this.#ops.values()].find(op => op.late);
  }

  #query(via: Via, proven: boolean, next = false): Query {
    if (next) this.#recording = new Overlap();
    const systems = [...this.#systems];
    const rooms = [...this.#rooms];
    for (const op of this.#ops.values()) {
      op.trial = via === "sse" && op.frame.op === "join" && (op.late || (proven && !op.replays));
      if (op.trial) rooms.push(placeName(op.frame));
    }
    let space = via === "ws" ? roomSpace : Infinity;
    this.#lateRooms = rooms.filter(name => (space -= String(new URLSearchParams({ room: name })).length + 1) < 0);
    const named = (this.#named = rooms.filter(name => !this.#lateRooms.includes(name)));
    return {
      systems: systems.join(),
      rooms: named.filter(name => !name.includes(",")).join(), // commas separate the names in this list
      room: named.filter(name => name.includes(",")),
      resume: systems.filter(s => this.#resumeFrom(s)).map(s => `${s}:${this.#resumeFrom(s)}`).join(),
      last: systems.filter(s => this.#last[s] && !this.#resumeFrom(s)).map(s => `${s}:${this.#last[s]}`).join(),
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
      this.#dispatch(op ?? {});
      if (this.#connection.link !== link) return; // a handler closed the client
    }
  }

  /** Handles a text of a connection that was replaced: what is not an answer comes on the new one, too. */
  #readOld(frame: string): void {
    const { old } = this.#connection;
    for (const op of String(frame).split("\n").map(parse)) {
      if (op?.op === "ok" || op?.op === "error") this.#dispatch(op);
    }
    if (old && old === this.#connection.old) this.#closeOldIfAnswered();
  }

  #closeOldIfAnswered(): void {
    const { old } = this.#connection;
    if (old && ![...this.#ops.values()].some(op => op.on === old)) this.#connection.closeOld();
  }

  /** Gives up, or sends again, what a connection that was replaced has not answered. */
  #oldEnded(link: Link): void {
    for (const op of [...this.#ops.values()].filter(op => op.on === link)) {
      op.on = undefined;
      if (!op.lost(1006)) this.#ops.delete(op.ref);
      else if (this.state === "open") this.#transmit([op]);
    }
  }

  /**
   * The node asks the client to go: it makes the next connection while this one goes on. A
   * join may bring what the client missed in the room, so this connection first answers those
   * that were sent on it, and later ones wait for the next.
   */
  #move(): void {
    this.#moving ??= "settling";
    this.#follow();
  }

  #follow(): void {
    const { link } = this.#connection;
    if (this.#moving !== "settling" || [...this.#ops.values()].some(op => op.ofPlace && op.on === link)) return;
    this.#moving = "following";
    void this.#connection.follow();
  }

  /** The next connection could not be made. */
  #stays(): void {
    this.#moving = this.#recording = undefined;
    if (this.state === "open") this.#transmit([...this.#ops.values()].filter(op => !op.on));
  }

  /** Handles an op. It ignores ops that it does not know, since the node may be newer. */
  #dispatch({ op, ...event }: any): void {
    switch (op) {
      case "hello":
        return this.#greeted(event);
      case "message":
        if ([...this.#ops.values()].some(join => join.isRepetition(event))) return;
        if (this.#overlap?.has(event)) {
          if (!this.#overlap.isAhead(event.system)) this.#advance(event);
          this.#acknowledge(event, this.#overlap.handling(event));
          return;
        }
        if (this.#recording && !this.#recording.note(event)) this.#connection.stay();
        this.#handle(event);
        return this.#advance(event);
      case "gap":
        this.#overlap?.gap(event.system);
        this.emit(op, event);
        return this.#advance(event);
      case "cursor":
        if (this.#overlap?.isAhead(event.system)) return;
        return this.#advance(event);
      case "presence":
        if (event.reason) this.#watches.delete(placeName(event));
        return void this.emit(op, event);
      case "bus":
      case "joined":
        return void this.emit(op, event);
      case "disconnect": // what comes after it says no more
        return this.#connection.lost(event.code ?? 4009, event.reason ?? "", !!event.reconnect);
      case "goaway":
        this.#connection.sentAway(event.retry_ms, event.grace_ms > 0);
        if (event.grace_ms > 0 && this.state === "open") this.#move();
        return;
      case "close": // stands for a close code, which EventSource does not have
        return this.#connection.lost(event.code, event.reason);
      case "left":
        this.#left(event);
        return void this.emit(op, event);
      case "ok":
      case "error":
        return this.#answered(op === "ok" ? event : new FanfareError(event.code, event.message), event.ref);
    }
  }

  /** Calls the handlers of a message. If it wants a receipt, it is acknowledged when they have done their work. */
  #handle(m: Message): void {
    const { cursor, receipt } = m;
    const handling: Handling = { cursor: cursor! };
    if (receipt && cursor) {
      this.#recording?.keep(m, handling);
      this.#acknowledge(m, handling);
    }
    const done = this.emit("message", m);
    const settle = (all?: boolean) => {
      handling.done = all ?? false;
      this.#acks?.look();
    };
    if (typeof done === "object") void done.then(settle);
    else settle(done);
  }

  #acknowledge(m: Message, handling?: Handling): void {
    if (!handling || !this.#connection.link?.send) return;
    this.#acks!.add(m, handling);
    this.#acks!.look();
  }

  /** The cursor from which a connection resumes. */
  #resumeFrom(system: string): string | undefined {
    return this.#seen[system] ?? this.cursors[system];
  }

  /** Moves the cursor of a system forward. An event without a cursor does not move it. */
  #advance({ system, cursor }: { system: string; cursor?: string | null }): void {
    if (cursor) this.#seen[system] = cursor;
    this.#publish(system);
  }

  /**
   * Copies the newest cursor to `cursors`. While a late room has not caught up, `cursors`
   * must stay before what it missed, for a client that resumes from them.
   */
  #publish(system: string): void {
    const at = this.#seen[system];
    if (!at || [...this.#ops.values()].some(op => op.late && op.frame.system === system)) return;
    this.cursors[system] = at;
    delete this.#seen[system];
  }

  /** Leaves the rooms that the connection's URL names, and that were left before it opened. */
  #leaveLate(): void {
    const { send } = this.#connection.link!;
    for (const name of send ? this.#named : []) {
      const [system] = name.split("/", 1) as [string];
      if (!this.#rooms.has(name)) this.#connection.send(JSON.stringify({ op: "leave", ref: 0, system, room: name.slice(system.length + 1) }));
    }
  }

  /** Makes a join of each late room, which begins at the cursor at which the connection began. */
  #joinLate(): void {
    for (const name of this.#lateRooms.splice(0)) {
      if (!this.#rooms.delete(name)) continue; // the room was left in the meantime
      const [system] = name.split("/", 1) as [string];
      const room = name.slice(system.length + 1);
      const op = new Op(++this.#ref, { op: "join", system, room, since: this.#resumeFrom(system) }, true);
      op.late = true;
      this.#ops.set(op.ref, op);
      const settled = () => {
        this.#publish(system);
        const next = this.#nextLate();
        if (next && this.state === "open") this.#transmit([next]);
      };
      op.answer.then(settled, err => {
        if (err.code === "closed") {
          // A later `connect` names the room again, and catches up from `cursors`.
          this.#rooms.add(name);
          delete this.#seen[system];
          return;
        }
        if (err.code !== "left") this.emit("left", { system, room, reason: err.code });
        settled();
      });
    }
  }

  /** Watches what the last connection watched. */
  #watchAgain(): void {
    for (const [place, frame] of this.#watches) {
      if ([...this.#ops.values()].some(op => op.watches(place))) continue;
      const op = new Op(++this.#ref, frame, true);
      op.again = true;
      this.#ops.set(op.ref, op);
      op.answer.catch(({ code }) => {
        if (code === "left" || code === "closed") return;
        this.#watches.delete(place);
        this.emit("presence", { system: frame.system, room: frame.room, reason: code } as Presence);
      });
    }
  }

  #greeted(hello: Hello): void {
    for (const [system, { cursor }] of Object.entries(hello.systems)) {
      // A cursor that the client resumes from stays until a message or a gap comes
      // after it. If the connection breaks before that, the client must resume from
      // it again.
      if (!this.#resumeFrom(system)) this.#advance({ system, cursor });
    }
    this.#session = hello.session;
    this.#acks?.flush();
    this.#acks?.end();
    this.#acks = new Acks(this.#connection.link!);
    this.#overlap = this.#recording;
    this.#overlap?.begin();
    this.#moving = this.#recording = undefined;
    this.#connection.greeted();
    this.#leaveLate();
    this.#joinLate();
    this.#watchAgain();
    const { link, old } = this.#connection;
    const { via } = link!;
    this.#transmit([...this.#ops.values()].filter(op => !old || op.on !== old));
    this.#closeOldIfAnswered();
    this.emit("open", { ...hello, via });
  }

  #answered(answer: Answer | FanfareError, ref?: number): void {
    const op = this.#ops.get(ref!);
    if (op && answer instanceof FanfareError && transient.test(answer.code) && (op.late || op.again || answer.code === "busy")) this.#retrySoon(op);
    else if (op) this.#settle(op, answer);
    else if (answer instanceof FanfareError && ref !== 0) this.emit("error", answer);
  }

  /** Sends an op again in a moment, for nodes that are busy, for example with reading a log. */
  #retrySoon(op: Op): void {
    const { link } = this.#connection;
    op.on = undefined;
    this.#follow();
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

  #ended(closed: Closed, wasOpen: boolean, followed: boolean): void {
    this.#acks?.end();
    if (!followed) this.#moving = this.#recording = this.#overlap = undefined;
    for (const op of [...this.#ops.values()]) {
      if (!closed.retry) op.abandon();
      else if (op.trial && !op.late && !wasOpen) op.reject(new FanfareError("refused", "a connection that names the room was refused"));
      else if (op.lost(closed.code)) continue;
      this.#ops.delete(op.ref);
    }
    this.emit("close", closed);
  }
}

/** Returns undefined for what is no JSON. */
function parse(line: string): any {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function random(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), n => n.toString(36)).join("");
}
