import { backoff, longestTimeout } from "./backoff.ts";
import { FanfareError } from "./error.ts";
import type { Closed } from "./events.ts";
import { eventSource, locate, webSocket, type EventSourceClass, type Link, type Query, type Via, type WebSocketClass } from "./link.ts";
import { keepFor } from "./token.ts";

export interface ConnectionOptions {
  /**
   * Returns a valid token. It is called before each connection and, if the token is
   * a JWT with an expiry, before it expires.
   */
  token?: () => string | null | undefined | Promise<string | null | undefined>;
  /** How long a connection or an answer may take, in milliseconds. The default is 10,000. */
  timeout?: number;
  /** After how many milliseconds of silence to ask whether the node is there. The default is 60,000; 0 means never. */
  heartbeat?: number;
  /** The default is the global WebSocket. Null means to use EventSource only. */
  WebSocket?: WebSocketClass | null;
  /** For networks that block WebSocket. The default is the global EventSource, if there is one. Null turns it off. */
  EventSource?: EventSourceClass | null;
}

/** The state `waiting` means: until the next attempt to connect. */
export type State = "closed" | "connecting" | "open" | "waiting";

/** What a Connection needs of the client that it serves. */
export interface Owner {
  /**
   * Returns what to ask a node for. `proven` says that this way of connecting has worked
   * just before, and `next` that the link is made while another one is open.
   */
  query(via: Via, proven: boolean, next?: boolean): Query;
  /** Takes a text from the node. */
  read(text: string): void;
  /** Takes a text from a link that was replaced: only answers in it count. */
  readOld(text: string): void;
  /** A link that was replaced is gone. */
  oldEnded(link: Link): void;
  /** The next link could not be made; the one that there is goes on. */
  stays(): void;
  /** The link is gone. `wasOpen` says whether it was open, and `followed` whether the next one is being made already. */
  ended(closed: Closed, wasOpen: boolean, followed: boolean): void;
  failed(err: Error): void;
  /** Sends a new token to the node, and settles with its answer. */
  refresh(token: string): Promise<unknown>;
  /** Returns a harmless request that a node answers. */
  probe(): string;
}

/**
 * Whether the client must not reconnect after a close code: 4003 (forbidden), 4009
 * (disconnected by the server), 4010 (the user has too many sessions, and this was the
 * oldest), and those that applications choose, from 4100 on.
 */
const isFinal = (code: number) => [4003, 4009, 4010].includes(code) || (code >= 4100 && code < 5000);
const EXPIRED = 4001;
const ABNORMAL = 1006;

/** A connection that lasts so many milliseconds counts as a success. */
const stableAfter = 10_000;

/** How many milliseconds EventSource is used before WebSocket is tried again. */
const eventSourceFor = 600_000;

/** The longest time that a node can ask a client to stay away, in milliseconds. */
const longestRetry = 3_600_000;

/** How many WebSockets in a row must fail, after one has worked, before EventSource is tried. */
const webSocketTries = 3;

/**
 * How many connections in a row may not last, and be followed by the next one when the node
 * has asked for, before a random time is added.
 */
const patientFailures = 3;

/** Whether a refusal will not pass. Another token (401) or another time (408, 429) may help. */
function isPermanent(status: number): boolean {
  return status >= 400 && status < 500 && ![401, 408, 429].includes(status);
}

/** Whether a text begins with a hello, as all do that come first unless the node sends the client away. */
function isHello(text: string): boolean {
  try {
    return JSON.parse(text.split("\n", 1)[0]!).op === "hello";
  } catch {
    return false;
  }
}

/**
 * A Connection opens links, one after the other, and opens the next when one is lost. If the
 * node asks for it, it opens the next one before.
 */
export class Connection {
  state: State = "closed";
  link?: Link;
  /** The link that was replaced, until it has brought the answers to what was sent on it. */
  old?: Link;

  readonly #url: string;
  readonly #options: ConnectionOptions;
  readonly #owner: Owner;
  readonly #timeout: number;
  readonly #heartbeat: number;

  #turn = 0; // grows with each attempt, so that callbacks of an earlier one can be recognised
  #epoch = 0; // grows with each hello, start and stop, so that an older inquiry can be recognised
  #token?: string;
  #failures = 0; // connections in a row that did not last
  #opened = 0; // when the node said hello
  #retry?: number; // the delay that the node asked for
  #graceful = false; // the node left time to connect to another one
  #candidate?: Link; // made while `link` is open, to replace it
  #candidateToken?: string;
  #candidateTimer?: ReturnType<typeof setTimeout>; // bounds the making of it
  #oldTimer?: ReturnType<typeof setTimeout>; // bounds the wait for the answers on `old`
  #webSocketWorked = false; // at least once
  #eventSourceUntil = 0; // until when EventSource is used

  #lastHeard = 0; // when the last frame came
  #waitingSince = 0; // since when the client waits for an answer; 0 if it does not
  #timer?: ReturnType<typeof setTimeout>; // bounds the attempt, or ends the wait for the next one
  #refresh?: ReturnType<typeof setTimeout>;
  #pulse?: ReturnType<typeof setInterval>;

  constructor(url: string, options: ConnectionOptions, owner: Owner) {
    this.#url = url;
    this.#options = options;
    this.#owner = owner;
    this.#timeout = Math.min(options.timeout ?? 10_000, longestTimeout);
    this.#heartbeat = (options.heartbeat ?? 60_000) * (1 + Math.random() / 4); // so that clients do not ask all at once
  }

  start(): void {
    this.#epoch++;
    this.#failures = 0;
    globalThis.addEventListener?.("online", this.#wake);
    globalThis.document?.addEventListener("visibilitychange", this.#wake);
    void this.#attempt();
  }

  stop(code: number, reason: string): void {
    this.#epoch++;
    const wasOpen = this.#drop("closed");
    globalThis.removeEventListener?.("online", this.#wake);
    globalThis.document?.removeEventListener("visibilitychange", this.#wake);
    this.#owner.ended({ code, reason, retry: false, delay: 0, failures: this.#failures }, wasOpen, false);
  }

  /** Replaces the link by one with the query that the owner wants now. */
  renew(): void {
    this.#drop("waiting");
    this.#next(0);
  }

  /** Sends something that the node answers. */
  send(text: string): void {
    this.#waitingSince ||= Date.now();
    this.link?.send?.(text);
  }

  /** The node has said hello. */
  greeted(): void {
    clearTimeout(this.#timer);
    this.#epoch++;
    const now = (this.#opened = this.#lastHeard = Date.now());
    this.state = "open";
    if (this.link!.send) {
      this.#webSocketWorked = true;
      this.#eventSourceUntil = 0;
      this.#pulse = setInterval(() => this.#checkPulse(), this.#timeout / 2);
    } else if (this.#eventSourceUntil < now) {
      this.#eventSourceUntil = now + eventSourceFor;
    }
    this.#scheduleRefresh();
  }

  /**
   * The node asks the client to come back after so many milliseconds. `graceful` says that it
   * leaves time to connect to another one before.
   */
  sentAway(delay: number, graceful: boolean): void {
    this.#retry = Math.min(Math.max(delay, 0) || 0, longestRetry);
    this.#graceful = graceful;
  }

  /** Makes the next link while this one goes on. When the node says hello on it, it replaces this one. */
  async follow(): Promise<void> {
    const { link } = this;
    if (!link || this.#candidateTimer) return;
    const timer = (this.#candidateTimer = setTimeout(() => this.stay(), this.#timeout));
    try {
      const token = (await this.#options.token?.()) ?? undefined;
      if (timer !== this.#candidateTimer) return; // it was given up
      this.#candidateToken = token;
      this.#candidate = this.#open(link.via, this.#owner.query(link.via, true, true), token);
    } catch (cause) {
      if (timer !== this.#candidateTimer) return;
      this.#owner.failed(new FanfareError("token", "the next connection could not be made", { cause }));
      this.stay();
    }
  }

  /** Gives the next link up. */
  stay(): void {
    if (!this.#candidateTimer) return;
    this.#dropCandidate();
    this.#owner.stays();
  }

  /** Closes the link that was replaced. */
  closeOld(): void {
    const { old } = this;
    this.old = undefined;
    clearTimeout(this.#oldTimer);
    old?.close();
    if (old) this.#owner.oldEnded(old);
  }

  #dropCandidate(): void {
    const next = this.#candidate;
    clearTimeout(this.#candidateTimer);
    this.#candidate = this.#candidateTimer = undefined;
    next?.close();
  }

  #takeOver(): void {
    this.closeOld();
    this.old = this.link;
    this.#oldTimer = setTimeout(() => this.closeOld(), this.#timeout);
    this.link = this.#candidate;
    this.#token = this.#candidateToken;
    this.#turn++;
    this.#waitingSince = 0;
    this.#retry = undefined;
    this.#graceful = false;
    clearTimeout(this.#refresh);
    clearInterval(this.#pulse);
    clearTimeout(this.#candidateTimer);
    this.#candidate = this.#candidateTimer = undefined;
  }

  /** The link is gone, and the next one is being made: it becomes the link. */
  #promote(code: number, reason: string): void {
    const next = this.#candidate;
    clearTimeout(this.#candidateTimer);
    this.#candidate = this.#candidateTimer = undefined;
    this.#drop("connecting");
    this.link = next;
    this.#token = this.#candidateToken;
    this.#timer = setTimeout(() => this.lost(ABNORMAL, "no answer in time"), this.#timeout);
    this.#owner.ended({ code, reason, retry: true, delay: 0, failures: this.#failures }, true, true);
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
    if (turn === this.#turn) this.#dial(this.#eventSourceUntil > Date.now() ? "sse" : "ws");
  }

  #begin(): number {
    this.#drop("connecting");
    this.#timer = setTimeout(() => this.lost(ABNORMAL, "no answer in time"), this.#timeout);
    return this.#turn;
  }

  #dial(via: Via): void {
    const { WebSocket, EventSource } = this.#choices();
    if (!WebSocket) via = "sse";
    try {
      if (via === "sse" && !EventSource) throw new Error("there is no WebSocket here");
      this.link = this.#open(via, this.#owner.query(via, this.#eventSourceUntil > Date.now()), this.#token);
    } catch (err) {
      this.#owner.failed(err as Error);
      this.lost(ABNORMAL, String(err));
    }
  }

  #open(via: Via, query: Query, token?: string): Link {
    const { WebSocket, EventSource } = this.#choices();
    const to = { url: this.#url, query, token };
    const on = {
      frame: (text: string) => this.#heard(link, text),
      end: (code: number, reason: string) => this.#linkEnded(link, code, reason),
    };
    const link = via === "ws" ? webSocket(WebSocket!, to, on) : eventSource(EventSource!, to, on);
    return link;
  }

  #heard(link: Link, text: string): void {
    if (link === this.old) return this.#owner.readOld(text);
    if (link === this.#candidate) {
      if (!isHello(text)) return this.stay();
      this.#takeOver();
    }
    this.#lastHeard = Date.now();
    this.#waitingSince = 0;
    this.#owner.read(text);
  }

  #linkEnded(link: Link, code: number, reason: string): void {
    if (link === this.old) this.closeOld();
    else if (link !== this.#candidate) this.lost(code, reason);
    else if (isFinal(code)) this.stop(code, reason);
    else this.stay();
  }

  #choices() {
    const { WebSocket = globalThis.WebSocket, EventSource = globalThis.EventSource } = this.#options;
    return { WebSocket, EventSource };
  }

  /**
   * The link is gone, or could not be opened, or the node says that it ends. `reconnect`
   * is whether the node wants the client back, if it has said so.
   */
  lost(code: number, reason: string, reconnect = !isFinal(code)): void {
    const via = this.link?.via;
    if (via === "ws" && this.state === "connecting" && (!this.#webSocketWorked || this.#failures >= webSocketTries) && this.#choices().EventSource) {
      this.#begin();
      return this.#dial("sse");
    }
    if (!reconnect) return this.stop(code, reason);
    if (this.#candidate) return this.#promote(code, reason);
    const wasOpen = this.#drop("waiting");
    this.#failures = wasOpen && Date.now() - this.#opened >= stableAfter ? 0 : this.#failures + 1;
    if (via === "sse" && !wasOpen && this.#failures > 1) this.#eventSourceUntil = 0;
    const delay = Math.round(this.#delay(code));
    this.#next(delay);
    this.#owner.ended({ code, reason, retry: true, delay, failures: this.#failures }, wasOpen, false);
    // Neither WebSocket nor EventSource tells why it was refused, and the reason may be permanent.
    if (!wasOpen && this.#failures % 4 === 2 && this.state === "waiting") void this.#askWhyRefused();
  }

  /** Asks the node why it refuses connections, and gives up if it always will. */
  async #askWhyRefused(): Promise<void> {
    const epoch = this.#epoch;
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
      if (epoch !== this.#epoch || !(byNode ? isPermanent(status) : status === 414 || status === 431)) return;
      this.#owner.failed(new FanfareError("refused", detail));
      this.stop(ABNORMAL, detail);
    } catch {
      // A missing answer says nothing about the next attempt.
    }
  }

  #delay(code: number): number {
    const asked = this.#retry ?? (code === EXPIRED ? 0 : undefined);
    const graceful = this.#graceful && this.#failures <= patientFailures;
    this.#retry = undefined;
    this.#graceful = false;
    if (asked === undefined) return backoff(this.#failures);
    if (graceful) return asked;
    return asked + (this.#failures && backoff(this.#failures)); // so that a node that always sends clients away is not asked too often
  }

  #next(delay: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#attempt(), Math.min(delay, longestTimeout));
  }

  /** Closes all links and stops all timers. Returns whether the link was open. */
  #drop(next: State): boolean {
    const wasOpen = this.state === "open";
    const link = this.link;
    this.state = next;
    this.closeOld();
    this.stay();
    this.link = undefined;
    this.#turn++;
    this.#waitingSince = 0;
    clearTimeout(this.#timer);
    clearTimeout(this.#refresh);
    clearInterval(this.#pulse);
    link?.close();
    return wasOpen;
  }

  /** Starts the timer that replaces the token before it expires. */
  #scheduleRefresh(): void {
    const delay = this.#token ? keepFor(this.#token) : undefined;
    clearTimeout(this.#refresh);
    if (delay) this.#refresh = setTimeout(() => void this.#replaceToken(), Math.min(delay, longestTimeout));
  }

  async #replaceToken(): Promise<void> {
    if (!this.link?.send) return this.renew();
    const turn = this.#turn;
    try {
      const token = await this.#options.token!();
      if (token && turn === this.#turn) await this.#owner.refresh((this.#token = token));
    } catch (err) {
      if (turn === this.#turn) this.#owner.failed(err as Error);
    }
    if (turn === this.#turn) this.#scheduleRefresh();
  }

  /** Detects a dead connection, and asks for an answer after a long silence. */
  #checkPulse(): void {
    const now = Date.now();
    if (this.#waitingSince && now - this.#waitingSince >= this.#timeout) this.lost(ABNORMAL, "no answer in time");
    else if (!this.#waitingSince && this.#heartbeat && now - this.#lastHeard >= this.#heartbeat) this.send(this.#owner.probe());
  }

  /** The network is back, or the page is visible again. */
  readonly #wake = ({ type }: { type: string }): void => {
    if (globalThis.document?.hidden) return;
    if (this.state === "waiting" && this.#failures) this.#next(backoff(0));
    else if (this.state === "open" && this.link!.send) this.#waitingSince || this.send(this.#owner.probe());
    else if (this.state === "open" && type === "online") this.renew(); // an EventSource cannot be probed
  };
}
