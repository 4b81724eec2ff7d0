import { backoff, longest } from "./backoff.ts";
import { FanfareError } from "./error.ts";
import type { Closed } from "./events.ts";
import { eventSource, locate, webSocket, type EventSourceClass, type Link, type Query, type Via, type WebSocketClass } from "./link.ts";
import { keepFor } from "./token.ts";

export interface ConnectionOptions {
  /**
   * Returns a token that is good now. Called before each connection, and before
   * the token expires if it is a JWT that says when.
   */
  token?: () => string | null | undefined | Promise<string | null | undefined>;
  /** Milliseconds for a connection, and for an answer; default 10,000. */
  timeout?: number;
  /** Milliseconds of silence after which the node is asked whether it is there; default 60,000; 0: never. */
  heartbeat?: number;
  /** Default: the global one. Null: use EventSource only. */
  WebSocket?: WebSocketClass | null;
  /** For networks where WebSocket is blocked. Default: the global one, if any. Null: never. */
  EventSource?: EventSourceClass | null;
}

/** - `waiting`: for the next attempt to connect. */
export type State = "closed" | "connecting" | "open" | "waiting";

/** Whom a Connection serves. */
export interface Owner {
  /** What to ask a node for. `proven`: this way of connecting has worked just before. */
  query(via: Via, proven: boolean): Query;
  read(text: string): void;
  /** The link, which was open or not, is gone. */
  ended(closed: Closed, wasOpen: boolean): void;
  failed(err: Error): void;
  /** Gives a node a new token; settles with its answer. */
  refresh(token: string): Promise<unknown>;
  /** Something harmless that a node answers. */
  probe(): string;
}

/** Close codes after which coming back would be wrong. */
const final = new Set([
  4003, // forbidden
  4009, // disconnected by the server
  4010, // the user has too many sessions, and this was the oldest
]);
const EXPIRED = 4001;
const ABNORMAL = 1006;

/** A connection that lasts so many milliseconds was a good one. */
const good = 10_000;

/** For so long EventSource is used before WebSocket is tried again. */
const fallback = 600_000;

/** The longest that a node can ask a client to stay away, in milliseconds. */
const longestAsked = 3_600_000;

/** How many good WebSockets in a row must fail before EventSource is tried. */
const patience = 3;

/** The request is wrong. With another token (401) and at another time (408, 429) it may be right. */
function hopeless(status: number): boolean {
  return status >= 400 && status < 500 && ![401, 408, 429].includes(status);
}

/** A Connection is a link that comes back when it is lost. */
export class Connection {
  state: State = "closed";
  link?: Link;

  readonly #url: string;
  readonly #options: ConnectionOptions;
  readonly #owner: Owner;
  readonly #timeout: number;
  readonly #heartbeat: number;

  #turn = 0; // tells what belongs to an earlier attempt
  #era = 0; // tells attempts before a hello, or before the user's start or stop, from those after it
  #token?: string;
  #failures = 0; // connections in a row that did not last
  #opened = 0; // when
  #retry?: number; // the delay that the node asked for
  #speaks = false; // a WebSocket has worked once
  #listensUntil = 0; // EventSource is used until then

  #heard = 0; // when
  #asked = 0; // since when something is due, 0 for nothing
  #timer?: ReturnType<typeof setTimeout>; // of the attempt, or until the next one
  #refresh?: ReturnType<typeof setTimeout>;
  #pulse?: ReturnType<typeof setInterval>;

  constructor(url: string, options: ConnectionOptions, owner: Owner) {
    this.#url = url;
    this.#options = options;
    this.#owner = owner;
    this.#timeout = Math.min(options.timeout ?? 10_000, longest);
    this.#heartbeat = (options.heartbeat ?? 60_000) * (1 + Math.random() / 4); // not all at once
  }

  start(): void {
    this.#era++;
    this.#failures = 0;
    globalThis.addEventListener?.("online", this.#wake);
    globalThis.document?.addEventListener("visibilitychange", this.#wake);
    void this.#attempt();
  }

  stop(code: number, reason: string): void {
    this.#era++;
    const wasOpen = this.#drop("closed");
    globalThis.removeEventListener?.("online", this.#wake);
    globalThis.document?.removeEventListener("visibilitychange", this.#wake);
    this.#owner.ended({ code, reason, retry: false, delay: 0, failures: this.#failures }, wasOpen);
  }

  /** Replaces the link by one that asks for what is wanted now. */
  renew(): void {
    this.#drop("waiting");
    this.#next(0);
  }

  /** Says something that a node answers. */
  say(text: string): void {
    this.#asked ||= Date.now();
    this.link?.send?.(text);
  }

  /** A node said hello. */
  greeted(): void {
    clearTimeout(this.#timer);
    this.#era++;
    const now = (this.#opened = this.#heard = Date.now());
    this.state = "open";
    if (this.link!.send) {
      this.#speaks = true;
      this.#listensUntil = 0;
      this.#pulse = setInterval(() => this.#beat(), this.#timeout / 2);
    } else if (this.#listensUntil < now) {
      this.#listensUntil = now + fallback;
    }
    this.#keep();
  }

  /** A node asks to come back after so many milliseconds. */
  sentAway(delay: number): void {
    this.#retry = Math.min(Math.max(delay, 0) || 0, longestAsked);
  }

  async #attempt(): Promise<void> {
    const turn = this.#begin();
    try {
      this.#token = (await this.#options.token?.()) ?? undefined;
    } catch (cause) {
      if (turn !== this.#turn) return;
      this.#owner.failed(new FanfareError("token", "the token callback failed", { cause }));
      return this.lost(ABNORMAL, "no token");
    }
    if (turn === this.#turn) this.#dial(this.#listensUntil > Date.now() ? "sse" : "ws");
  }

  #begin(): number {
    this.#drop("connecting");
    this.#timer = setTimeout(() => this.lost(ABNORMAL, "no answer in time"), this.#timeout);
    return this.#turn;
  }

  #dial(via: Via): void {
    const { WebSocket, EventSource } = this.#choices();
    if (!WebSocket) via = "sse";
    const to = { url: this.#url, query: this.#owner.query(via, this.#listensUntil > Date.now()), token: this.#token };
    const on = {
      frame: (text: string) => {
        this.#heard = Date.now();
        this.#asked = 0;
        this.#owner.read(text);
      },
      end: (code: number, reason: string) => this.lost(code, reason),
    };
    try {
      if (via === "ws") this.link = webSocket(WebSocket!, to, on);
      else if (EventSource) this.link = eventSource(EventSource, to, on);
      else throw new Error("there is no WebSocket here");
    } catch (err) {
      this.#owner.failed(err as Error);
      this.lost(ABNORMAL, String(err));
    }
  }

  #choices() {
    const { WebSocket = globalThis.WebSocket, EventSource = globalThis.EventSource } = this.#options;
    return { WebSocket, EventSource };
  }

  /** The link is gone, or was not to be had, or the node says that it ends. */
  lost(code: number, reason: string): void {
    const via = this.link?.via;
    if (via === "ws" && this.state === "connecting" && (!this.#speaks || this.#failures >= patience) && this.#choices().EventSource) {
      this.#begin();
      return this.#dial("sse");
    }
    if (final.has(code)) return this.stop(code, reason);
    const wasOpen = this.#drop("waiting");
    this.#failures = wasOpen && Date.now() - this.#opened >= good ? 0 : this.#failures + 1;
    if (via === "sse" && !wasOpen && this.#failures > 1) this.#listensUntil = 0;
    const delay = Math.round(this.#delay(code));
    this.#next(delay);
    this.#owner.ended({ code, reason, retry: true, delay, failures: this.#failures }, wasOpen);
    // Neither WebSocket nor EventSource says why it was refused. Some refusals are for ever.
    if (!wasOpen && this.#failures % 4 === 2 && this.state === "waiting") void this.#inquire();
  }

  /** Asks why there is no connection, and gives up if there will never be one. */
  async #inquire(): Promise<void> {
    const era = this.#era;
    const token = this.#token;
    try {
      const via = this.#choices().WebSocket ? "ws" : "sse";
      const query = { ...this.#owner.query(via, false), check: "1" };
      const answer = await fetch(locate({ url: this.#url, query }, "sse"), {
        headers: token ? { Authorization: "Bearer " + token } : {},
        credentials: token ? "omit" : "include",
        signal: AbortSignal.timeout(this.#timeout),
      });
      const { status, headers, body } = answer;
      const byNode = headers.get("Content-Type")?.startsWith("application/problem+json");
      const detail = byNode ? (await answer.json()).detail : "the address is too long";
      if (!byNode) await body?.cancel();
      if (era !== this.#era || !(byNode ? hopeless(status) : status === 414 || status === 431)) return;
      this.#owner.failed(new FanfareError("refused", detail));
      this.stop(ABNORMAL, detail);
    } catch {
      // That there is no answer says nothing about the next attempt.
    }
  }

  #delay(code: number): number {
    const asked = this.#retry ?? (code === EXPIRED ? 0 : undefined);
    this.#retry = undefined;
    if (asked === undefined) return backoff(this.#failures);
    return asked + (this.#failures && backoff(this.#failures)); // a node that always sends away is a failure too
  }

  #next(delay: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#attempt(), Math.min(delay, longest));
  }

  /** Lets go of the link and all timers. Says whether it was open. */
  #drop(next: State): boolean {
    const wasOpen = this.state === "open";
    const link = this.link;
    this.state = next;
    this.link = undefined;
    this.#turn++;
    this.#asked = 0;
    clearTimeout(this.#timer);
    clearTimeout(this.#refresh);
    clearInterval(this.#pulse);
    link?.close();
    return wasOpen;
  }

  /** Sees to it that the token is replaced in time. */
  #keep(): void {
    const delay = this.#token ? keepFor(this.#token) : undefined;
    clearTimeout(this.#refresh);
    if (delay) this.#refresh = setTimeout(() => void this.#replace(), Math.min(delay, longest));
  }

  async #replace(): Promise<void> {
    if (!this.link?.send) return this.renew();
    const turn = this.#turn;
    try {
      const token = await this.#options.token!();
      if (token && turn === this.#turn) await this.#owner.refresh((this.#token = token));
    } catch (err) {
      if (turn === this.#turn) this.#owner.failed(err as Error);
    }
    if (turn === this.#turn) this.#keep();
  }

  /** A connection can be dead without anybody saying so. */
  #beat(): void {
    const now = Date.now();
    if (this.#asked && now - this.#asked >= this.#timeout) this.lost(ABNORMAL, "no answer in time");
    else if (!this.#asked && this.#heartbeat && now - this.#heard >= this.#heartbeat) this.say(this.#owner.probe());
  }

  /** The network is back, or the page is looked at again. */
  readonly #wake = ({ type }: { type: string }): void => {
    if (globalThis.document?.hidden) return;
    if (this.state === "waiting" && this.#failures) this.#next(backoff(0));
    else if (this.state === "open" && this.link!.send) this.#asked || this.say(this.#owner.probe());
    else if (this.state === "open" && type === "online") this.renew(); // it cannot be asked
  };
}
