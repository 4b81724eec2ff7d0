import { FanfareError } from "./error.ts";
import type { Coverage, Message } from "./events.ts";
import type { Link } from "./link.ts";

/** A request of the client, without its ref. */
export type Frame = { op: "join" | "leave" | "send" | "auth" | "presence"; [field: string]: unknown };

/** What a node answers. */
export interface Answer {
  id?: string;
  last?: Coverage;
}

/** For how many milliseconds nodes recognise a message that is sent again, less a margin. */
const rememberedFor = 100_000;

/** With how many messages the replay of a repeated join is compared. */
const maxSeen = 1000;

/** A request that has not been answered. */
export class Op {
  readonly ref: number;
  readonly frame: Frame;
  /** Rejects with a FanfareError. */
  readonly answer: Promise<Answer>;
  resolve!: (answer: Answer) => void;
  reject!: (err: FanfareError) => void;

  /** The room is named in the URL of an EventSource, and is joined if that opens. */
  trial = false;
  /** The client is in the room, but the connection's URL had no space for it. */
  late = false;
  /** It watches on a new connection what the last one watched. */
  again = false;
  /** On which connection it was sent, if it is to be answered there. */
  on?: Link;

  readonly #retry: boolean;
  #sentAt = 0; // when it was first sent; 0 if it was not
  #repeated = false; // it was sent more than once
  #seen?: Set<string>;

  /** `retry` says whether to send a message again on the next connection if this one is lost. */
  constructor(ref: number, frame: Frame, retry: boolean) {
    this.ref = ref;
    this.frame = frame;
    this.#retry = retry;
    this.answer = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    if (this.replays) this.#seen = new Set();
  }

  joins(system: string, room: string): boolean {
    return this.frame.op === "join" && this.frame.system === system && this.frame.room === room;
  }

  /** Whether it is a join that brings what the room had before. */
  get replays(): boolean {
    return !!(this.frame.since || this.frame.last);
  }

  /** Whether it is about a room or about presence. */
  get ofPlace(): boolean {
    return this.frame.op !== "send" && this.frame.op !== "auth";
  }

  watches(place: string): boolean {
    return this.frame.op === "presence" && !!this.frame.watch && placeName(this.frame) === place;
  }

  /** Returns the text to send now. */
  text(): string {
    this.#repeated = this.#sentAt > 0;
    this.#sentAt ||= Date.now();
    return JSON.stringify({ ...this.frame, ref: this.ref });
  }

  /** The connection is lost. Returns whether to send the request again on the next one. */
  lost(code: number): boolean {
    switch (this.frame.op) {
      case "join":
        return true;
      case "presence": // the next connection watches only what is to be watched
        if (this.frame.watch && !this.again) return true;
        this.resolve({});
        return false;
      case "leave": // the next connection will not name the room
        this.resolve({});
        return false;
      case "auth": // the next connection has a new token
        this.resolve({});
        return false;
    }
    if (!this.#sentAt || (this.#retry && code !== 1009 && Date.now() - this.#sentAt < rememberedFor)) return true;
    this.reject(code === 1009 ? new FanfareError("too_large", "the node takes no message of this size") : unknown());
    return false;
  }

  /** The client is closed. */
  abandon(): void {
    this.reject(this.#sentAt && this.frame.op === "send" ? unknown() : new FanfareError("closed", "the client is closed"));
  }

  /**
   * Returns whether a replayed message was seen on an earlier connection, while this
   * join was waiting for its answer. Only messages that a join replays can come
   * twice, and only those that are the same in every field count as repetitions.
   */
  isRepetition(m: Message): boolean {
    if (!this.#seen || m.system !== this.frame.system) return false;
    const key = fingerprint(m);
    if (this.#seen.has(key)) return this.#repeated && m.cursor === undefined;
    this.#seen.add(key);
    if (this.#seen.size > maxSeen) this.#seen.delete(this.#seen.values().next().value!);
    return false;
  }
}

/** The name of a place: system/room, or the system alone. */
export function placeName({ system, room }: { [field: string]: unknown }): string {
  return room === undefined ? `${system}` : `${system}/${room}`;
}

function unknown(): FanfareError {
  return new FanfareError("unknown", "the connection was lost before the answer: the message may have been published");
}

/** The id, the length and 32 bits of FNV-1a, of everything but the cursor. */
function fingerprint(m: Message): string {
  const text = JSON.stringify({ ...m, cursor: undefined });
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return `${m.id} ${text.length} ${hash}`;
}
