import { Problem, segment, words, type Api } from "./api.ts";
import { field, find, input, make, type Content } from "./dom.ts";
import { traceLink } from "./trace.ts";
import { bytes, count, list, moment } from "./words.ts";

/** How many lines are kept. */
const kept = 200;

/** What the events of GET /v1/systems/{system}/watch hold. */
interface Seen {
  id?: string;
  type?: string;
  to?: string[];
  bytes?: number;
  size?: number;
  cursor?: string;
  at?: string;
  time?: string;
  data?: unknown;
  data_base64?: string;
  skipped?: number;
  [more: string]: unknown;
}

/** The part that shows what comes. */
export class Watch {
  readonly #api: Api;
  readonly #form = find<HTMLFormElement>("#follow");
  readonly #result = find("#watch-result");
  readonly #lines = find("#seen");
  #stop = new AbortController();
  #count = 0;

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
    this.#count = 0;
    this.#say("", "Connecting …");
    find("#stop").hidden = false;
    try {
      await this.#api.stream(`/v1/systems/${segment(system)}/watch${query.size ? `?${query}` : ""}`, signal, (name, data) => {
        this.#show(system, name, data as Seen);
      }, () => this.#say("good", `Watching ${system}${to && ` for ${to}`}. Nothing has come yet.`));
      this.#say("warn", "The node has ended the watch.");
    } catch (err) {
      if (signal.aborted) return this.#say("", this.#count ? `Stopped after ${count(this.#count, "event")}.` : "Stopped.");
      this.#say("bad", err instanceof Problem ? words(err) : "The connection broke.");
    } finally {
      if (!signal.aborted) find("#stop").hidden = true;
    }
  }

  #show(system: string, name: string, seen: Seen): void {
    this.#count++;
    this.#say("good", `Watching ${system}: ${count(this.#count, "event")}.`);
    this.#line(name, ...lineOf(system, name, seen));
  }

  #line(kind: string, ...content: Content[]): void {
    this.#lines.prepend(make("li", kind, ...content));
    while (this.#lines.childElementCount > kept) this.#lines.lastElementChild!.remove();
  }

  #say(kind: string, text: string): void {
    this.#result.className = `result ${kind}`;
    this.#result.textContent = text;
  }
}

function lineOf(system: string, name: string, m: Seen): Content[] {
  const at = m.at ?? m.time ?? new Date().toISOString();
  if (name === "message") {
    const size = m.bytes ?? m.size;
    const data = m.data_base64 ?? (m.data === undefined ? "" : JSON.stringify(m.data));
    return [
      make("span", "head", moment(at), make("b", "", m.type || "message"), make("span", "soft", `to ${list(m.to ?? [], 5)}${size === undefined ? "" : `, ${bytes(size)}`}`), ...(m.id ? [traceLink(system, m.id)] : [])),
      ...(data ? [make("code", "data", data)] : []),
    ];
  }
  return [make("span", "head", moment(at), make("b", "", name), make("span", "soft", JSON.stringify(m)))];
}
