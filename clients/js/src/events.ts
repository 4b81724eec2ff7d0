/** Whether all of the latest messages come that were asked for with `last`. */
export interface Coverage {
  complete: boolean;
  /** Why some are missing, in the words of a gap. */
  reason?: string;
}

/** What a node sends first on each connection. */
export interface Hello {
  session: string;
  node: string;
  user: string;
  /**
   * `resumed` says whether the client resumes from its cursor. If it gave one and does not, a
   * gap follows. `last` is there if the client began with the latest messages.
   */
  systems: Record<string, { cursor: string | null; resumed: boolean; last?: Coverage }>;
  /** How this connection was made. */
  via: "ws" | "sse";
}

export interface Message<Data = any> {
  system: string;
  id: string;
  /** Absent in messages that a `join` with `since` or `last` replays, null on a bus without positions. */
  cursor?: string | null;
  /** The first target that matched this session. */
  to: string;
  /** The user who sent it, if a client did. */
  from?: string;
  type?: string;
  time?: string;
  headers?: Record<string, string>;
  /** The publisher wants to know when the message was handled. */
  receipt?: boolean;
  /** JSON unless `content_type` says otherwise. */
  data: Data;
  content_type?: string;
  /** Data that is neither JSON nor text, instead of `data`. */
  data_base64?: string;
}

export type GapReason = "trimmed" | "lossy" | "overflow" | "too_far" | "unknown_cursor";

/** Something may have been missed here. */
export interface Gap {
  system: string;
  reason: GapReason;
  cursor?: string | null;
  /** Fetch what you need after this many milliseconds, so that not all clients do so at once. */
  after_ms: number;
}

/** The session was taken out of a room or, without `room`, out of the whole system. */
export interface Left {
  system: string;
  room?: string;
  /**
   * `server`: the user is no longer a member of the room; `token`: a new token does not
   * allow it; another: the room could not be joined again, and this is the error's code.
   */
  reason: string;
}

/**
 * The server has put the session into a room, of which the user is a member. The client
 * need not join such a room, and cannot leave it.
 */
export interface Joined {
  system: string;
  room: string;
  by: string;
}

/** Who is in a place that is watched, or what has changed there. A user with several sessions is there once. */
export interface Presence {
  system: string;
  /** Absent where the system itself is watched. */
  room?: string;
  /** How many users are there. Absent only with a `reason`. */
  count?: number;
  /** All users, sorted: replaces what was known before. */
  users?: string[];
  /** Who came and who went. If these and `users` are absent, only `count` is known from now on. */
  joined?: string[];
  left?: string[];
  /**
   * Why nothing is known of the place any more. `unsupported` over EventSource: until the
   * client is back on a WebSocket. Otherwise the place is not watched any more: `token` if
   * a new token does not allow it, or the code with which a node refused it.
   */
  reason?: string;
}

/** A connection has ended, or could not be made. */
export interface Closed {
  /** The WebSocket's close code, or 1006 if there is none. */
  code: number;
  reason: string;
  /** Whether the client will connect again by itself. */
  retry: boolean;
  /** After this many milliseconds, if it will. */
  delay: number;
  /** How many connections in a row did not last. */
  failures: number;
}

/** Events by name. Those with a system also exist as `message:orders`. */
export interface Events {
  /** The session has begun. The missed messages follow. Without a `close` before, it has replaced one that a node asked the client to leave. */
  open: Hello;
  close: Closed;
  message: Message;
  gap: Gap;
  /** The node lost its bus, or has it again. */
  bus: { up: boolean };
  left: Left;
  joined: Joined;
  presence: Presence;
  /** An error for which there is no promise: of a handler, of the token callback, or in what a node sent. */
  error: Error;
}

type Name<K extends keyof Events> = K extends "message" | "gap" | "left" | "joined" | "presence" ? K | `${K}:${string}` : K;

/** An event's name, such as `gap` or `gap:orders`. */
export type EventName = { [K in keyof Events]: Name<K> }[keyof Events];

/** What the handlers of an event receive. */
export type EventOf<N extends EventName> = N extends keyof Events ? Events[N]
  : N extends `${infer K extends keyof Events}:${string}` ? Events[K] : never;

/** Calls handlers in the order in which they were added. */
export class Emitter {
  readonly #handlers = new Map<string, Set<(event: any) => unknown>>();

  /** Calls `handler` on each such event, until the function that it returns is called. It may return a promise. */
  on<N extends EventName>(name: N, handler: (event: EventOf<N>) => unknown): () => void {
    let all = this.#handlers.get(name);
    if (!all) this.#handlers.set(name, (all = new Set()));
    const own = (event: any) => handler(event); // so that adding a handler twice calls it twice
    all.add(own);
    return () => void all.delete(own);
  }

  /**
   * A handler that throws, or whose promise is rejected, stops neither the others nor the
   * client. Returns what says whether all handlers have done their work; undefined if none was called.
   */
  protected emit<K extends keyof Events>(name: K, event: Events[K]): Promise<boolean> | boolean | undefined {
    const { system } = event as { system?: string };
    let done: boolean | undefined;
    const promises: Promise<boolean>[] = [];
    const failed = (err: unknown) => {
      if (name === "error") console.error(err);
      else this.emit("error", err as Error);
      return false;
    };
    for (const key of system ? [name, `${name}:${system}`] : [name]) {
      for (const handler of [...(this.#handlers.get(key) ?? [])]) {
        try {
          const result: any = handler(event);
          if (result?.then) promises.push(result.then(() => true, failed));
          done ??= true;
        } catch (err) {
          done = failed(err);
        }
      }
    }
    return promises.length ? Promise.all(promises).then(all => all.every(Boolean) && done!) : done;
  }
}
