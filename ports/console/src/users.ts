import { segment, words, type Api } from "./api.ts";
import { command } from "./command.ts";
import { confirm, type Field } from "./confirm.ts";
import { button, field, find, input, keepFocus, link, make, say, type Content } from "./dom.ts";
import { bytes, count, duration, ending, list, moment } from "./words.ts";

/** What GET /v1/users/{user}/sessions says. */
interface Sessions {
  sessions: Session[];
  complete: boolean;
  silent?: string[];
  failed?: { node: string; error: string }[];
  more?: number;
}

interface Session {
  id: string;
  node: string;
  connected: string;
  address?: string;
  port?: string;
  systems?: Attached[];
  going?: boolean;
  pending_frames?: number;
  pending_bytes?: number;
  expires?: string;
}

interface Attached {
  system: string;
  cursor?: string;
  state?: string;
  gap?: string;
  more_rooms?: number;
  rooms?: string[];
  assigned?: string[];
}

interface Block {
  blocked: boolean;
  reason?: string;
  expires?: string;
}

/** How often a user's sessions are looked at again, in milliseconds. */
const lookEvery = 3000;

const ports: Record<string, string> = { ws: "WebSocket", sse: "EventSource", plain: "plain WebSocket" };

const farewell: Field[] = [
  { name: "reason", label: "What the client is told (may be empty)" },
  { name: "reconnect", label: "Its client may come back by itself", tick: true, value: "on" },
];

/** The part that finds a user. */
export class Users {
  readonly #api: Api;
  readonly #form = find<HTMLFormElement>("#find");
  readonly #place = find("#found");
  #user = "";
  #look: () => Promise<void> = async () => {};
  #open = new AbortController();
  #asking = new AbortController();

  constructor(api: Api) {
    this.#api = api;
    this.#form.addEventListener("submit", event => {
      event.preventDefault();
      const to = `#/users/${segment(field(this.#form, "user"))}`;
      if (location.hash === to) void this.open(field(this.#form, "user"));
      else location.hash = to;
    });
  }

  /** Shows a user, and keeps looking; "" shows only the form. */
  async open(user: string): Promise<void> {
    this.stop();
    this.#user = user;
    input(this.#form, "user").value = user;
    this.#place.replaceChildren();
    if (!user) return input(this.#form, "user").focus();
    const result = make("p", "result");
    result.role = "status";
    const head = make("div", "head"), sessions = make("div", "cards");
    this.#place.append(head, result, sessions);
    this.#look = () => this.#load(user, head, result, sessions);
    const { signal } = (this.#open = new AbortController());
    sessions.ariaBusy = "true";
    await this.#look();
    sessions.ariaBusy = null;
    // Others disconnect users, too, and a session that is told to end takes a moment.
    const timer = setInterval(() => {
      if (document.hidden || find<HTMLDialogElement>("#sure").open) return; // what was asked about is to stay
      void this.#look();
    }, lookEvery);
    if (signal.aborted) clearInterval(timer);
    signal.addEventListener("abort", () => clearInterval(timer));
  }

  /** Looks no more. */
  stop(): void {
    this.#open.abort();
    this.#asking.abort();
  }

  async #load(user: string, head: HTMLElement, result: HTMLElement, place: HTMLElement): Promise<void> {
    this.#asking.abort();
    const { signal } = (this.#asking = new AbortController());
    try {
      const path = `/v1/users/${segment(user)}`;
      const [found, block] = await Promise.all([
        this.#api.get<Sessions>(`${path}/sessions`, signal), this.#api.get<Block>(`${path}/block`, signal),
      ]);
      if (signal.aborted || find<HTMLDialogElement>("#sure").open) return;
      keepFocus(this.#place, () => {
        head.replaceChildren(...this.#head(user, found, block, result));
        place.replaceChildren(...found.sessions.map(s => this.#card(s, result)));
      });
      if (result.dataset.failed) result.replaceChildren(), delete result.dataset.failed;
    } catch (err) {
      if (signal.aborted) return;
      result.className = "result bad";
      result.dataset.failed = "yes";
      say(result, words(err));
    }
  }

  #head(user: string, found: Sessions, block: Block, result: HTMLElement): Content[] {
    const nodes = [...new Set(found.sessions.map(s => s.node))].sort();
    const where = found.sessions.length ? `${count(found.sessions.length, "session")} on ${list(nodes)}` : "No session on any node that answers";
    const state = block.blocked
      ? make("span", "pill bad", `blocked${block.expires ? ` for ${duration(Date.parse(block.expires) - Date.now())}` : ""}${block.reason ? `: ${block.reason}` : ""}`)
      : make("span", "pill good", "not blocked");
    const act = (what: string, method: string, path: string, body?: object) =>
      command(this.#api, result, what, method, `/v1/users/${segment(user)}${path}`, body).then(done => done && this.#user === user && void this.#look());
    const disconnect = button("Disconnect all …", "danger", () => void confirm({
      title: `Disconnect ${user}?`, text: `All sessions of ${user} are closed, on all nodes.`, yes: "Disconnect", fields: farewell,
    }).then(v => v && act(`${user} is disconnected`, "POST", "/disconnect", goodbye(v))));
    disconnect.disabled = !found.sessions.length;
    const lock = block.blocked
      ? button("Unblock …", "", () => void confirm({
        title: `Unblock ${user}?`, text: `${user} may connect again.`, yes: "Unblock",
      }).then(v => v && act(`${user} is unblocked`, "DELETE", "/block")))
      : button("Block …", "danger", () => void confirm({
        title: `Block ${user}?`, text: `All sessions of ${user} are closed, on all nodes, and new ones are refused until the block ends.`, yes: "Block",
        fields: [
          { name: "ttl", label: "For how long", choices: { 600: "10 minutes", 3600: "1 hour", 86400: "1 day", 604800: "7 days" }, value: "3600" },
          { name: "reason", label: "What the client is told (may be empty)" },
        ],
      }).then(v => v && act(`${user} is blocked`, "PUT", "/block", { ttl: Number(v.ttl), ...(v.reason && { reason: v.reason }) })));
    const refresh = button("Refresh", "quiet", () => void this.#look());
    const system = found.sessions.flatMap(s => s.systems ?? [])[0]?.system ?? "";
    const watch = link(`#/watch/${segment(system)}?to=${segment("user:" + user)}`, "Watch");
    watch.ariaLabel = `Watch what comes for ${user}`;
    return [
      make("div", "row", make("h3", "", user), state, make("span", "soft", where)),
      ...(found.silent?.length ? [make("p", "result warn", `${list(found.silent)} did not answer: there may be more sessions.`)] : []),
      ...(found.failed ?? []).map(f => make("p", "result warn", `${f.node} could not answer (${f.error}): there may be more sessions.`)),
      ...(found.more ? [make("p", "result warn", `There are ${count(found.more, "more session")} than are shown.`)] : []),
      make("div", "row", disconnect, lock, refresh, watch),
    ];
  }

  #card(s: Session, result: HTMLElement): HTMLElement {
    const end = button("Disconnect …", "danger small", () => void confirm({
      title: "Disconnect this session?", text: `Session ${s.id} of ${this.#user} on ${s.node} is closed.`, yes: "Disconnect", fields: farewell,
    }).then(v => v && command(this.#api, result, "The session is closed", "POST", `/v1/sessions/${segment(s.id)}/disconnect`, goodbye(v)).then(done => done && void this.#look())));
    end.ariaLabel = `Disconnect session ${s.id}`;
    const facts: [string, Content][] = [
      ["Connected", make("span", "", moment(s.connected), ` (${duration(Date.now() - Date.parse(s.connected))})`)],
      ["From", s.address ?? "unknown"],
      ["Waiting for the socket", s.pending_frames ? `${count(s.pending_frames, "frame")}, ${bytes(s.pending_bytes ?? 0)}` : "nothing"],
      ["Token ends", s.expires ? moment(s.expires) : "never"],
    ];
    return make("article", "card",
      make("header", "", make("h4", "", ending(s.id)), make("span", "pill", ports[s.port ?? ""] ?? s.port ?? ""), make("span", "soft", `on ${s.node}`), ...(s.going ? [make("span", "pill warn", "asked to move")] : []), end),
      make("dl", "", ...facts.flatMap(([name, value]) => [make("dt", "", name), make("dd", "", value)])),
      make("ul", "systems", ...(s.systems ?? []).map(attached)));
  }
}

function goodbye(values: Record<string, string>): object {
  return { reconnect: values.reconnect === "on", ...(values.reason && { reason: values.reason }) };
}

const kinds: Record<string, string> = { live: "good", behind: "warn", waiting: "warn" };

function attached(a: Attached): HTMLElement {
  const rooms = [...(a.rooms ?? []).map(r => make("span", "room", r)), ...(a.assigned ?? []).map(r => {
    const room = make("span", "room assigned", r);
    room.title = "The server has put the user into this room";
    return room;
  }), ...(a.more_rooms ? [`and ${count(a.more_rooms, "more room")}`] : [])];
  return make("li", "", make("b", "", a.system), " ", make("span", `pill ${kinds[a.state ?? ""] ?? ""}`, a.state ?? "unknown"),
    ...(a.gap ? [" ", make("span", "pill bad", `gap next: ${a.gap}`)] : []),
    make("small", "", a.state === "waiting" ? "waits for " : "given up to ", ending(a.cursor, 22)), ...(rooms.length ? [make("span", "rooms", "in ", ...rooms)] : []));
}
