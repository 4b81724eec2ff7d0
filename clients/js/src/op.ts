import { FanfareError } from "./error.ts";
import type { Message } from "./events.ts";

/** What a client asks for: its frame without the ref. */
export type Frame = { op: "join" | "leave" | "send" | "auth"; [field: string]: unknown };

/** For so long nodes know a message that is sent again, with a margin; in milliseconds. */
const remembered = 100_000;

/** The most messages that a repeated join is compared with. */
const overlap = 1000;

/** Something that was asked for and has not been answered. */
export class Op {
  readonly ref: number;
  readonly frame: Frame;
  /** Rejects with a FanfareError. */
  readonly answer: Promise<string>;
  resolve!: (id: string) => void;
  reject!: (err: FanfareError) => void;

  /** The room is named in the address of an EventSource. */
  trial = false;
  /** The room is one of the client's, for which there was no space in the address. */
  late = false;

  readonly #again: boolean;
  #sent = 0; // when first, 0 for not yet
  #repeated = false;
  #seen?: Set<string>;

  /** `again`: ask on the next connection if this one is lost. */
  constructor(ref: number, frame: Frame, again: boolean) {
    this.ref = ref;
    this.frame = frame;
    this.#again = again;
    this.answer = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    if (frame.since) this.#seen = new Set();
  }

  joins(system: string, room: string): boolean {
    return this.frame.op === "join" && this.frame.system === system && this.frame.room === room;
  }

  /** The text to be sent now. */
  text(): string {
    this.#repeated = this.#sent > 0;
    this.#sent ||= Date.now();
    return JSON.stringify({ ...this.frame, ref: this.ref });
  }

  /** The connection is lost. Says whether to ask again on the next one. */
  lost(code: number): boolean {
    switch (this.frame.op) {
      case "join":
        return true;
      case "leave": // the next connection will not name the room
        this.resolve("");
        return false;
      case "auth": // the next connection has a new token
        this.resolve("");
        return false;
    }
    if (!this.#sent || (this.#again && code !== 1009 && Date.now() - this.#sent < remembered)) return true;
    this.reject(code === 1009 ? new FanfareError("too_large", "the node takes no message of this size") : unknown());
    return false;
  }

  /** The client is closed. */
  abandon(): void {
    this.reject(this.#sent && this.frame.op === "send" ? unknown() : new FanfareError("closed", "the client is closed"));
  }

  /**
   * Says whether a message was seen on an earlier connection, while this join
   * was asked for. Only what a join replays can come twice, so nothing else is
   * ever held back: and of that, only what is the same in every field.
   */
  knows(m: Message): boolean {
    if (!this.#seen || m.system !== this.frame.system) return false;
    const key = fingerprint(m);
    if (this.#seen.has(key)) return this.#repeated && m.cursor === undefined;
    this.#seen.add(key);
    if (this.#seen.size > overlap) this.#seen.delete(this.#seen.values().next().value!);
    return false;
  }
}

function unknown(): FanfareError {
  return new FanfareError("unknown", "the connection was lost before the answer: the message may have been published");
}

/** The id, and a digest of all but the place: the length and 32 bits of FNV-1a. */
function fingerprint(m: Message): string {
  const text = JSON.stringify({ ...m, cursor: undefined });
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return `${m.id} ${text.length} ${hash}`;
}
