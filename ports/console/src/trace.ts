import { segment, words, type Api } from "./api.ts";
import { cell, field, find, input, link, make, type Content } from "./dom.ts";
import { bytes, count, ending, list, moment } from "./words.ts";

/** What GET /v1/systems/{system}/messages/{id}/trace says. */
interface Report {
  system: string;
  id: string;
  user?: string;
  places?: Place[];
  nodes?: NodeAnswer[];
  no_answer?: string[];
  no_such_node?: { node: string; incarnation: string }[];
  complete: boolean;
  reason?: string;
}

interface Place {
  cursor?: string;
  logged_at?: string;
  to?: string[];
  type?: string;
  ttl?: number;
  bytes?: number;
  duplicate_of?: string;
  poison?: boolean;
}

interface NodeAnswer {
  node: string;
  incarnation: string;
  reads: boolean;
  since?: string;
  places?: Seen[];
  ended?: string;
  more?: boolean;
  error?: string;
}

interface Seen {
  cursor?: string;
  state: string;
  reason?: string;
  duplicate_of?: string;
  sessions: number;
  of?: Told[];
}

interface Told {
  session: string;
  connected: string;
  ended?: string;
  code?: number;
  address?: string;
  fate: string;
  reason?: string;
}

type Meaning = [kind: "good" | "warn" | "bad" | "", text: string];

/** What the states of a message on a node mean. */
const states: Record<string, Meaning> = {
  read: ["good", "read, and offered to its sessions"],
  not_yet: ["warn", "not read yet"],
  before_start: ["", "before the node began to read"],
  poison: ["bad", "could not be decoded"],
  duplicate: ["warn", "a repetition, so it was dropped"],
  expired: ["warn", "past its ttl, so it was dropped"],
  gap: ["bad", "lost; its sessions were told a gap"],
  skipped: ["warn", "passed over"],
  unknown: ["warn", "not known any more"],
};

/** What the fates of a message for a session mean. */
export const fates: Record<string, Meaning> = {
  acked: ["good", "the client has acknowledged it, or shown a later cursor"],
  written: ["good", "written to the connection"],
  offered: ["warn", "waits in the outbox"],
  behind: ["warn", "comes when the outbox has room"],
  waiting: ["warn", "comes when the session's wait is over"],
  gap: ["bad", "told a gap instead"],
  expired: ["warn", "past its ttl when its turn came"],
  duplicate: ["warn", "a repetition, so it was dropped"],
  poison: ["bad", "could not be decoded"],
  not_yet: ["warn", "the node has not read it yet"],
  not_attached_then: ["", "was not attached when it came"],
  not_in_room: ["", "was not in the room when it came"],
  not_addressed: ["", "it is for others"],
  ended_before_written: ["bad", "ended before it was written"],
  unknown: ["warn", "nobody knows any more"],
};

const reasons: Record<string, string> = {
  trimmed: "The log has been trimmed: it does not hold everything that was there then.",
  too_far: "The message was not found as far back as this node reads (resume.max_scan).",
  lossy: "This bus keeps no log: only what the node remembers could be searched.",
  gap: "There is a gap in what the node has read: the message may be in it.",
};

/** The part that traces one message. */
export class Trace {
  readonly #api: Api;
  readonly #form = find<HTMLFormElement>("#ask");
  readonly #place = find("#traced");
  #asking = new AbortController();

  constructor(api: Api) {
    this.#api = api;
    this.#form.addEventListener("submit", event => {
      event.preventDefault();
      const to = traceOf(field(this.#form, "system"), field(this.#form, "id"), field(this.#form, "user"));
      if (location.hash === to) void this.#ask();
      else location.hash = to;
    });
  }

  /** Fills the form, and asks if there is an id. */
  async open(system: string, id: string, user: string): Promise<void> {
    if (system) input(this.#form, "system").value = system;
    input(this.#form, "id").value = id;
    input(this.#form, "user").value = user;
    this.#place.replaceChildren();
    if (system && id) await this.#ask();
    else input(this.#form, system ? "id" : "system").focus();
  }

  async #ask(): Promise<void> {
    this.#asking.abort();
    const { signal } = (this.#asking = new AbortController());
    const [system, id, user] = ["system", "id", "user"].map(name => field(this.#form, name)) as [string, string, string];
    const say = (className: string, text: string) => {
      const line = make("p", className, text);
      line.role = "status";
      this.#place.replaceChildren(line);
    };
    say("result", "Asking all nodes …");
    try {
      const query = user ? `?user=${segment(user)}` : "";
      const report = await this.#api.get<Report>(`/v1/systems/${segment(system)}/messages/${segment(id)}/trace${query}`, signal);
      this.#place.replaceChildren(...show(report));
    } catch (err) {
      if (!signal.aborted) say("result bad", words(err));
    }
  }
}

/** The address of the trace of a message. */
export function traceOf(system: string, id: string, user = ""): string {
  return `#/trace/${segment(system)}/${segment(id)}${user && `?user=${segment(user)}`}`;
}

function show(r: Report): Content[] {
  const places = r.places ?? [], nodes = r.nodes ?? [];
  const warn = (text: string) => make("p", "result warn", text);
  const head = make("p", "result", places.length
    ? `Found ${places.length === 1 ? "it once" : `it ${places.length} times`}. ${count(nodes.length, "node")} answered.`
    : "There is no message with this id, as far as the nodes can see.");
  head.role = "status";
  return [
    head,
    ...(r.complete ? [] : [warn(reasons[r.reason ?? ""] ?? `Not everything could be searched${r.reason ? `: ${r.reason}` : ""}.`)]),
    ...(r.no_answer?.length ? [warn(`${list(r.no_answer)} did not answer in time.`)] : []),
    ...(r.no_such_node?.length ? [warn(`${list(r.no_such_node.map(n => n.node))} ended: what became of it there, nobody can say.`)] : []),
    ...places.flatMap((p, i) => showPlace(r, p, nodes.map(n => ({ node: n, seen: n.places?.[i] })), i)),
    ...nodes.filter(n => n.more).map(n => warn(`${n.node} has had more sessions of ${r.user} than are shown.`)),
  ];
}

function showPlace(r: Report, p: Place, answers: { node: NodeAnswer; seen?: Seen }[], i: number): Content[] {
  const title = make("h3", "", (r.places?.length ?? 0) > 1 ? `Place ${i + 1}` : "The message");
  title.id = `place-${i}`;
  const facts: [string, Content][] = [
    ["To", p.poison ? "unknown: it cannot be decoded" : list(p.to ?? [], 20)],
    ...(p.type ? [["Type", p.type] as [string, Content]] : []),
    ["In the log", p.logged_at ? moment(p.logged_at) : "unknown"],
    ["Data", p.bytes ? bytes(p.bytes) : "unknown"],
    ["Lifetime", p.ttl ? count(p.ttl, "second") : "without end"],
    ["Cursor", make("code", "", p.cursor ?? "unknown")],
    ...(p.duplicate_of ? [["Repeats", make("code", "", p.duplicate_of)] as [string, Content]] : []),
  ];
  const told = answers.flatMap(({ node, seen }) => (seen?.of ?? []).map(t => ({ node, told: t })));
  const parts: Content[] = [
    title, make("dl", "facts", ...facts.flatMap(([name, value]) => [make("dt", "", name), make("dd", "", value)])),
    table(`What each node made of it`, ["Node", "What", "Sessions given it", "Reads since"], answers.map(({ node, seen }) => [
      make("b", "", node.node), node.error ? meaning(["bad", node.error]) : !node.reads ? meaning(["", "does not read this system"]) : meaning(states[seen?.state ?? ""] ?? ["", seen?.state ?? "no answer"], seen?.state, seen?.reason),
      seen ? String(seen.sessions) : "–", node.since ? moment(node.since) : "–",
    ])),
  ];
  if (r.user) {
    parts.push(told.length
      ? table(`Sessions of ${r.user}`, ["Session", "Node", "What", "Connected", "Ended"], told.map(({ node, told: t }) => [
        ending(t.session), node.node, meaning(fates[t.fate] ?? ["", t.fate], t.fate, t.reason), moment(t.connected),
        t.ended ? make("span", "", moment(t.ended), t.code ? ` (${t.code})` : "") : "still open",
      ]))
      : make("p", "hint", `No node remembers a session of ${r.user}.`));
  }
  return parts;
}

function meaning([kind, text]: Meaning, word?: string, reason?: string): HTMLElement {
  return make("span", "meaning", ...(word ? [make("span", `pill ${kind}`, word), " "] : [make("span", `pill ${kind}`, kind === "bad" ? "error" : "–"), " "]), make("span", "", reason ? `${text}: ${reason}` : text));
}

function table(caption: string, heads: string[], rows: Content[][]): HTMLElement {
  const t = make("table", "list", make("caption", "", caption),
    make("thead", "", make("tr", "", ...heads.map(h => {
      const th = make("th", "", h);
      th.scope = "col";
      return th;
    }))),
    make("tbody", "", ...rows.map(r => make("tr", "", ...r.map((c, i) => cell(heads[i]!, "", c))))));
  return make("div", "wide", t);
}

/** A link to the trace of a message. */
export function traceLink(system: string, id: string, user = ""): HTMLElement {
  const a = link(traceOf(system, id, user), id.length > 14 ? "…" + id.slice(-12) : id);
  a.title = id;
  a.ariaLabel = `Trace message ${id}`;
  return make("code", "", a);
}
