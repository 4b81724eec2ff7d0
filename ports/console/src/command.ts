import { words, type Api } from "./api.ts";
import { list } from "./words.ts";

/** What the API answers to a command that waits. */
interface Outcome {
  applied: string[];
  pending: string[];
}

/** Gives a command to all nodes and shows in `result` what became of it. Returns whether it was taken. */
export async function command(api: Api, result: HTMLElement, what: string, method: string, path: string, body?: object): Promise<boolean> {
  result.className = "result";
  result.textContent = "Telling all nodes …";
  try {
    const { applied, pending } = await api.ask<Outcome>(method, `${path}?wait=2s`, body);
    const done = applied.length ? `${what}. Done on ${list(applied)}` : what;
    result.className = pending.length ? "result warn" : "result good";
    result.textContent = pending.length ? `${done}; not yet on ${list(pending)}.` : `${done}.`;
    return true;
  } catch (err) {
    result.className = "result bad";
    result.textContent = words(err);
    return false;
  }
}
