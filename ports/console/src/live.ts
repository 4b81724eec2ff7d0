import { Problem, type Api } from "./api.ts";

/** What GET /v1/live says. */
export interface Live {
  node: string;
  at: string;
  alone?: boolean;
  nodes: LiveNode[];
  silent: string[];
}

export interface LiveNode {
  name: string;
  incarnation: string;
  version: string;
  self: boolean;
  sessions: number;
  users: number;
  systems: string[];
  lag_ms: number;
  draining: boolean;
  heard_ms: number;
  clock_ahead_ms: number;
  in_step: boolean;
  counts?: Counts;
}

export interface Counts {
  at_ms: number;
  bus_up: boolean;
  deaf?: string[];
  sessions: number;
  users: number;
  opened: number;
  closed: number;
  refused: number;
  systems: SystemCounts[];
  left?: number;
}

export interface SystemCounts {
  system: string;
  sessions: number;
  behind: number;
  messages: number;
  matched: number;
  delivered: number;
  gaps: number;
  window_bytes: number;
}

/** What happens on a node in a second. */
export interface Rates {
  opened: number;
  delivered: number;
  systems: Map<string, { messages: number; delivered: number }>;
}

/** After how many events sums are shown although a node has not been heard twice. */
const settling = 6;

/** Makes rates of what nodes have counted. */
export class Meter {
  readonly #before = new Map<string, { counts: Counts; rates?: Rates }>();
  #events = 0;

  /** False in the beginning, while sums would lack the nodes that have not been heard twice yet. */
  settled = false;

  /** Returns the rates of each node of which they are known, by incarnation. */
  read(live: Live): Map<string, Rates> {
    const now = new Map<string, Rates>();
    const heard = new Set<string>();
    for (const { incarnation, counts } of live.nodes) {
      if (!counts) continue;
      const before = this.#before.get(incarnation);
      const rates = before && (counts.at_ms > before.counts.at_ms ? ratesOf(before.counts, counts) : before.rates);
      this.#before.set(incarnation, rates ? { counts, rates } : { counts });
      heard.add(incarnation);
      if (rates) now.set(incarnation, rates);
    }
    for (const incarnation of this.#before.keys()) {
      if (!heard.has(incarnation)) this.#before.delete(incarnation);
    }
    this.settled ||= now.size === live.nodes.length || ++this.#events > settling;
    return now;
  }
}

function ratesOf(before: Counts, now: Counts): Rates {
  const seconds = (now.at_ms - before.at_ms) / 1000;
  const rate = (a: number | undefined, b: number) => (a === undefined ? 0 : Math.max(0, b - a) / seconds);
  const systems = new Map<string, { messages: number; delivered: number }>();
  const earlier = new Map(before.systems.map(s => [s.system, s]));
  let delivered = 0;
  for (const s of now.systems) {
    const then = earlier.get(s.system);
    const rates = { messages: rate(then?.messages, s.messages), delivered: rate(then?.delivered, s.delivered) };
    systems.set(s.system, rates);
    delivered += rates.delivered;
  }
  return { opened: rate(before.opened, now.opened), delivered, systems };
}

/** How the feed is. */
export type FeedState = "connecting" | "live" | "lost";

/** Pauses between attempts to connect, in milliseconds. */
const firstPause = 500, longestPause = 10_000;

/** Reads GET /v1/live, and connects again when it ends. */
export class Feed {
  readonly #api: Api;
  readonly #show: (live: Live) => void;
  readonly #state: (state: FeedState, why?: string) => void;
  #stop = new AbortController();

  constructor(api: Api, show: (live: Live) => void, state: (state: FeedState, why?: string) => void) {
    this.#api = api;
    this.#show = show;
    this.#state = state;
  }

  stop(): void {
    this.#stop.abort();
  }

  /** Runs until stop is called. It throws a Problem if the node refuses the caller. */
  async run(): Promise<void> {
    this.#stop.abort();
    const { signal } = (this.#stop = new AbortController());
    this.#state("connecting");
    for (let pause = firstPause; !signal.aborted; pause = Math.min(pause * 2, longestPause)) {
      try {
        await this.#api.stream("/v1/live", signal, (_, data) => this.#show(data as Live), () => {
          pause = firstPause / 2;
          this.#state("live");
        });
        this.#state("lost", "the node has ended the stream");
      } catch (err) {
        if (signal.aborted) return;
        if (err instanceof Problem && err.status > 0 && err.status < 500) throw err;
        this.#state("lost", err instanceof Problem ? err.message : "the connection broke");
      }
      await new Promise<void>(done => {
        const timer = setTimeout(done, pause * (0.75 + Math.random() / 2));
        signal.addEventListener("abort", () => (clearTimeout(timer), done()));
      });
    }
  }
}
