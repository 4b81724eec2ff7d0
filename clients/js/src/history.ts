import { FanfareError } from "./error.ts";
import type { Message } from "./events.ts";
import { locate, type Query } from "./link.ts";

/** Who asks. */
export interface Asking {
  /** A token as for a session, or an API key. Without it the browser sends its cookies. */
  token?: string;
  signal?: AbortSignal;
}

/** Which messages of a system's history to read. */
export interface PageQuery extends Asking {
  /** Targets. The default is the user's own and `*`. */
  to?: string | string[];
  /** Read forward from this cursor. */
  after?: string;
  /** Read what was before this cursor. Without it and `after`: the latest messages. */
  before?: string;
  /** At most so many. */
  limit?: number;
}

/** A part of a system's history. */
export interface Page {
  system: string;
  /** Oldest first. */
  messages: Message[];
  /** Where to continue: as `after` if the query had that, otherwise as `before`. Absent where nothing is left. */
  next?: string;
  /** Whether these are all that there were. */
  complete: boolean;
  /** Why some are missing, in the words of a gap. */
  reason?: string;
}

/**
 * Returns where a system is now. A page that shows a state asks for this first, then reads
 * the state, and then makes a Client with it as `from`: so it misses nothing that is not in
 * the state. Rejects with a FanfareError: `refused` if the node says no (its `status` says
 * more), `disconnected` if there was no answer.
 */
export async function fetchCursor(url: string, system: string, asking: Asking = {}): Promise<string> {
  return (await get(url, system, "cursor", {}, asking)).cursor;
}

/** Reads a part of a system's history. Rejects as `fetchCursor` does. */
export function fetchMessages(url: string, system: string, query: PageQuery = {}): Promise<Page> {
  const { to = [], after = "", before = "", limit = "" } = query;
  return get(url, system, "messages", { to, after, before, limit: `${limit}` }, query);
}

async function get(url: string, system: string, what: string, query: Query, { token, signal }: Asking): Promise<any> {
  let answer: Response, body: any;
  try {
    answer = await fetch(locate({ url, query }, `v1/systems/${system}/${what}`), {
      headers: token ? { Authorization: "Bearer " + token } : {}, credentials: token ? "omit" : "include", signal,
    });
    body = await answer.json().catch(() => undefined);
  } catch (cause) {
    throw new FanfareError("disconnected", "no answer", { cause });
  }
  if (answer.ok && body) return body;
  const refused = new FanfareError("refused", body?.detail ?? `the answer was ${answer.status}`);
  refused.status = answer.status;
  throw refused;
}
