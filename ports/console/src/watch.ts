import { Problem, segment, words, type Api } from "./api.ts";
import { field, find, input, make, say, type Content } from "./dom.ts";
import { fates, traceLink } from "./trace.ts";
import { bytes, count, ending, list, moment } from "./words.ts";

/** How many lines are kept. */
const kept = 200;

/** An event of GET /v1/systems/{system}/watch. */
interface Seen {
  op: string;
  what?: string;
  id?: string;
  type?: string;
  from?: string;
  to?: string[];
  more_to?: number;
  bytes?: number;
  cursor?: string;
  logged?: string;
  data?: unknown;
  data_base64?: string;
  reason?: string;
  n?: number;
  node?: string;
  user?: string;
  sessions?: Session[];
  silent?: string[];
  failed?: { node: string; error: string }[];
}

/** A session of the user who is watched, or what became of a message for it. */
interface Session {
  id?: string;
  session?: string;
  node: string;
  port?: string;
  address?: string;
  fate?: string;
  reason?: string;
}

/** What nodes make of messages, apart from taking them. */
const passedOver: Record<string, string> = {
  duplicate: "a repetition: dropped", expired: "past its ttl: dropped", poison: "cannot be decoded: passed over",
};

/** The part that shows what comes. */
export class Watch {
  readonly #api: Api;
  readonly #form = find<HTMLFormElement>("#follow");
  readonly #result = find("#watch-result");
  readonly #lines = find("#seen");
  #stop = new AbortController();
  readonly #places = new Map<string, HTMLElement>(); // the lines of messages, by cursor
  #messages = 0; // that have come

  constructor(api: Api) {
    this.#api = api;
    this.#form.addEventListener("submit", event => {
      event.preventDefault();
      const query = new URLSearchParams();
      if (field(this.#form, "to")) query.set("to", field(this.#form, "to"));
      if (field(this.#form, "data")) query.set("data", "1");
      const to = `#/watch/${segment(field(this.#form, "system"))}${query.size ? `?${query}` : ""}`;
      if (location.hash === to) void this.#follow();
      else location.hash = to;
    });
    find("#stop").addEventListener("click", () => {
      this.stop();
      input(this.#form, "system").focus(); // the button that had the focus is gone now
    });
  }

  stop(): void {
    this.#stop.abort();
    find("#stop").hidden = true;
  }

  /** Fills the form, and watches if there is a system. */
  async open(system: string, to: string, data: boolean): Promise<void> {
    if (system) input(this.#form, "system").value = system;
    if (system || to) input(this.#form, "to").value = to;
    input(this.#form, "data").checked = data;
    if (system) await this.#follow();
    else input(this.#form, "system").focus();
  }

  async #follow(): Promise<void> {
    this.#stop.abort();
    const { signal } = (this.#stop = new AbortController());
    const system = field(this.#form, "system"), to = field(this.#form, "to");
    const query = new URLSearchParams();
    for (const target of to.split(/[\s,]+/).filter(Boolean)) query.append("to", target);
    if (field(this.#form, "data")) query.set("data", "true");
    this.#lines.replaceChildren();
    this.#places.clear();
    this.#messages = 0;
    this.#say("", "Connecting …");
    find("#stop").hidden = false;
    let left = "The node has ended the watch.";
    try {
      await this.#api.stream(`/v1/systems/${segment(system)}/watch${query.size ? `?${query}` : ""}`, signal, (_, data) => {
        const e = data as Seen;
        if (e.op === "goaway") left = "The node drains, and has ended the watch.";
        else this.#show(system, to, e);
      });
      this.#say("warn", left);
    } catch (err) {
      if (signal.aborted) return this.#say("", `Stopped after ${count(this.#messages, "message")}.`);
      this.#say("bad", err instanceof Problem ? words(err) : "The connection broke.");
    } finally {
      if (!signal.aborted) find("#stop").hidden = true;
    }
  }

  #show(system: string, to: string, e: Seen): void {
    if (e.op === "message") this.#messages++;
    this.#say("good", `Watching ${system}${to && ` for ${to}`}: ${this.#messages ? count(this.#messages, "message") : "nothing has come yet"}.`);
    const line = lineOf(system, e);
    if (!line) return;
    const message = e.op === "fate" && e.cursor && this.#places.get(e.cursor);
    if (message) return message.append(make("div", "fate", ...line));
    const item = make("li", e.op, ...line);
    if (e.op === "message" && e.cursor) this.#places.set((item.dataset.cursor = e.cursor), item);
    this.#lines.prepend(item);
    for (let last; this.#lines.childElementCount > kept; last.remove()) {
      last = this.#lines.lastElementChild as HTMLElement;
      this.#places.delete(last.dataset.cursor ?? "");
    }
  }

  #say(kind: string, text: string): void {
    this.#result.className = `result ${kind}`;
    say(this.#result, text);
  }
}

/** What is shown of an event, if anything. */
function lineOf(system: string, e: Seen): Content[] | undefined {
  const head = (what: string, ...more: Content[]) =>
    make("span", "head", moment(e.logged ?? new Date().toISOString()), make("b", "", what), ...more);
  const soft = (text: string) => make("span", "soft", text);
  switch (e.op) {
    case "watching":
      return;
    case "message": {
      const targets = list(e.to ?? [], 5) + (e.more_to ? ` and ${e.more_to} more` : "");
      const data = e.data_base64 ?? (e.data === undefined ? "" : JSON.stringify(e.data));
      return [
        head(e.type || "message",
          ...(e.what && passedOver[e.what] ? [make("span", "pill warn", passedOver[e.what]!)] : []),
          ...(e.to ? [soft(`to ${targets}${e.from ? ` from ${e.from}` : ""}, ${bytes(e.bytes ?? 0)}`)] : []),
          ...(e.id ? [traceLink(system, e.id)] : [])),
        ...(data ? [make("code", "data", data)] : []),
      ];
    }
    case "gap":
      return [head("gap", make("span", "pill bad", e.reason ?? ""), soft("something may be missing here"))];
    case "skipped":
      return [head("skipped", soft(`${count(e.n ?? 0, "event")} left out, because they came faster than this page took them`))];
    case "fates_left_out":
      return [head("left out", soft(`what became of ${count(e.n ?? 0, "message")}: there were too many to ask for`))];
    case "fate":
      return [
        ...(e.sessions?.length ? e.sessions.map(fateOf) : [soft("no session of this user has been there")]), ...unheard(e),
      ];
    case "sessions":
      return [
        head("sessions", soft(e.sessions?.length ? `of ${e.user}: ${count(e.sessions.length, "session")}` : `${e.user} has no session`)),
        ...(e.sessions ?? []).map(s => make("span", "told", ending(s.id), ` on ${s.node}${s.port ? `, ${s.port}` : ""}${s.address ? `, from ${s.address}` : ""}`)),
        ...unheard(e),
      ];
  }
  return [head(e.op)];
}

/** What became of a message for a session. */
function fateOf(s: Session): HTMLElement {
  const [kind, text] = fates[s.fate ?? ""] ?? ["", s.fate ?? "unknown"];
  return make("span", "told", make("span", `pill ${kind}`, s.fate ?? "unknown"), ` ${text}${s.reason ? `: ${s.reason}` : ""} – `, ending(s.session), ` on ${s.node}`);
}

/** Names the nodes that have not said what was asked. */
function unheard(e: Seen): Content[] {
  const names = [...(e.silent ?? []), ...(e.failed ?? []).map(f => `${f.node} (${f.error})`)];
  return names.length ? [make("span", "told warn", `${list(names)} did not say.`)] : [];
}
