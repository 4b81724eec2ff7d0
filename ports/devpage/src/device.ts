import { Client, type Gap, type Hello, type Left, type Message } from "../../../clients/js/src/index.ts";
import { field, fill, find, hue, make } from "./dom.ts";
import { Who } from "./who.ts";

/** How many lines a log keeps. */
const kept = 200;

export interface Options {
  user: string;
  name: string;
  systems: string[];
  /** Each as system/room. */
  rooms: string[];
  /** The system whose rooms the device joins. */
  talk: string;
  /** `ws` or `sse`. */
  via: string;
}

/** One client, and the card that shows what it receives. */
export class Device {
  readonly card: HTMLElement;
  readonly user: string;

  readonly #client: Client;
  readonly #systems: string[];
  readonly #log: HTMLElement;
  readonly #rooms = new Set<string>();
  readonly #assigned = new Set<string>(); // rooms into which the server has put the user
  readonly #talk: string;
  readonly #who: Who;
  #began = 0; // when it last connected

  constructor({ user, name, systems, rooms, talk, via }: Options, removed: (device: Device) => void) {
    this.user = user;
    this.#systems = systems;
    const copy = find<HTMLTemplateElement>("#card").content.cloneNode(true) as DocumentFragment;
    this.card = find(".card", copy);
    this.#log = find(".log", this.card);
    this.#log.ariaLabel = `What ${user}'s ${name} received`;
    this.card.ariaLabel = `${user}, ${name}`;
    find(".user", this.card).textContent = user;
    find(".device", this.card).textContent = via === "sse" ? name + ", EventSource" : name;
    const face = find(".face", this.card);
    face.textContent = user.slice(0, 1).toUpperCase();
    face.classList.add(hue(user));

    this.#client = new Client(`${location.origin}/?user=${encodeURIComponent(user)}`, {
      systems, rooms, ...(via === "sse" && { WebSocket: null }),
    });
    rooms.forEach(room => this.#rooms.add(room));
    this.#talk = talk;
    this.#who = new Who(find(".who", this.card), this.#client, { user, via, device: this.card.ariaLabel });
    this.#listen();
    this.#control(talk, removed);
    this.#showRooms();
    this.connect();
  }

  connect(): void {
    this.#began = Date.now();
    this.#client.connect();
    this.#showState("connecting");
  }

  /** Tells the page about the bus and the node. */
  on(name: "bus", handler: (event: { up: boolean }) => void): void;
  on(name: "open", handler: (event: Hello) => void): void;
  on(name: any, handler: any): void {
    this.#client.on(name, handler);
  }

  #listen(): void {
    this.#client.on("open", hello => {
      this.#showState("live");
      const places = Object.entries(hello.systems);
      const resumed = places.filter(([, s]) => s.resumed).map(([name]) => name);
      this.#line("note", resumed.length ? `Connected to ${hello.node}: goes on in ${resumed.join(" and ")}` : `Connected to ${hello.node}`);
    });
    this.#client.on("message", m => this.#message(m));
    this.#client.on("gap", g => this.#gap(g));
    this.#client.on("bus", ({ up }) => this.#line("note", up ? "The bus is back" : "The node has lost its bus"));
    this.#client.on("joined", j => this.#assign(`${j.system}/${j.room}`));
    this.#client.on("left", l => this.#left(l));
    this.#client.on("error", err => this.#line("note bad", err.message));
    this.#client.on("close", c => {
      this.#showState(c.retry ? "waiting" : "cut");
      const when = c.retry ? `, tries again in ${(c.delay / 1000).toFixed(1)} s` : "";
      const what = c.code === 4003 || c.code === 4009 || c.code >= 4100 ? "Disconnected by the server" : "Lost its connection";
      this.#assigned.clear(); // the next connection tells them again
      this.#showRooms();
      this.#line("note", c.code === 1000 ? "Cut" : `${what} (${c.code}${c.reason && ": " + c.reason})${when}`);
    });
  }

  #control(talk: string, removed: (device: Device) => void): void {
    find(".cut", this.card).addEventListener("click", () => (this.#client.state === "closed" ? this.connect() : this.#client.close()));
    find(".foreign", this.card).addEventListener("click", () => {
      for (const [system, cursor] of Object.entries(this.#client.cursors)) this.#client.cursors[system] = inAnotherLog(cursor);
      this.connect();
      find(".cut", this.card).focus(); // the button that had the focus is gone now
    });
    find(".remove", this.card).ariaLabel = find(".remove", this.card).title = `Remove ${this.card.ariaLabel}`;
    find(".remove", this.card).addEventListener("click", () => {
      this.#client.close();
      this.card.remove();
      removed(this);
    });
    const form = find<HTMLFormElement>(".rooms", this.card);
    fill(find("[name=system]", form), this.#systems);
    find<HTMLSelectElement>("[name=system]", form).value = talk;
    find("[name=system]", form).ariaLabel = `System of the room that ${this.card.ariaLabel} joins`;
    find("[name=room]", form).ariaLabel = `Room that ${this.card.ariaLabel} joins`;
    form.addEventListener("submit", event => {
      event.preventDefault();
      void this.#join(field(form, "system"), field(form, "room"));
    });
  }

  async #join(system: string, room: string): Promise<void> {
    try {
      await this.#client.join(system, room);
      this.#rooms.add(`${system}/${room}`);
      this.#line("note", `Joined ${system}/${room}`);
      this.#showRooms();
    } catch (err) {
      this.#line("note bad", `Not joined: ${(err as Error).message}`);
    }
  }

  async #leave(name: string): Promise<void> {
    const slash = name.indexOf("/");
    await this.#client.leave(name.slice(0, slash), name.slice(slash + 1));
    this.#rooms.delete(name);
    this.#line("note", `Left ${name}`);
    this.#showRooms();
    find("[name=room]", this.card).focus();
  }

  /** The server has put the user into a room. */
  #assign(room: string): void {
    this.#assigned.add(room);
    this.#line("note", `The server put it into ${room}`);
    this.#showRooms();
  }

  #left({ system, room, reason }: Left): void {
    for (const rooms of [this.#rooms, this.#assigned]) {
      for (const name of rooms) {
        if (room === undefined ? name.startsWith(system + "/") : name === `${system}/${room}`) rooms.delete(name);
      }
    }
    const name = room === undefined ? system : `${system}/${room}`;
    this.#line("note", reason === "server" ? `The server took it out of ${name}` : `Left ${name}`);
    this.#showRooms();
  }

  #message(m: Message): void {
    const missed = m.time !== undefined && Date.parse(m.time) < this.#began;
    const head = make("span", "head", make("b", "", m.system), ...(m.type ? [" " + m.type] : []), ...(missed ? [" ", make("em", "", "caught up")] : []));
    const data = make("code", "data", m.data_base64 ?? JSON.stringify(m.data) ?? "");
    this.#line("message", head, data, make("small", "", `to ${m.to}${m.from ? ` from ${m.from}` : ""} · `, shortCursor(m.cursor)));
  }

  #gap(g: Gap): void {
    this.#line("gap", make("span", "head", make("b", "", g.system), ` gap: ${g.reason}`),
      make("span", "data", `Something may be missing here. Fetch anew after ${g.after_ms} ms.`), make("small", "", "goes on after ", shortCursor(g.cursor)));
  }

  #line(kind: string, ...content: (Node | string)[]): void {
    const atEnd = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < 40;
    const time = make("time", "", new Date().toLocaleTimeString([], { hour12: false }));
    this.#log.append(make("li", kind, ...content, time));
    while (this.#log.childElementCount > kept) this.#log.firstElementChild!.remove();
    if (atEnd) this.#log.scrollTop = this.#log.scrollHeight;
    // The client moves its cursors when the handlers have returned.
    queueMicrotask(() => this.#showCursors());
  }

  #showCursors(): void {
    find(".places", this.card).replaceChildren(...this.#systems.flatMap(s => [
      make("dt", "", s), make("dd", "", shortCursor(this.#client.cursors[s])),
    ]));
  }

  #showState(state: "connecting" | "live" | "waiting" | "cut"): void {
    this.card.dataset.state = state;
    find(".state", this.card).textContent = { connecting: "connecting", live: "live", waiting: "waiting", cut: "cut off" }[state];
    find(".cut", this.card).textContent = state === "cut" ? "Restore" : "Cut";
    find(".foreign", this.card).hidden = state !== "cut" || !Object.keys(this.#client.cursors).length;
  }

  #showRooms(): void {
    const all = [...new Set([...this.#rooms, ...this.#assigned])].sort();
    this.#who.offer([...new Set([...all, this.#talk + "/lobby"])], this.#systems);
    find(".rooms ul", this.card).replaceChildren(...all.map(name => {
      if (this.#assigned.has(name)) {
        const room = make("li", "assigned", name);
        room.title = "The server has put the user into this room";
        return room;
      }
      const leave = make("button", "", "×");
      leave.type = "button";
      leave.ariaLabel = `Leave ${name}`;
      leave.title = leave.ariaLabel;
      leave.addEventListener("click", () => void this.#leave(name));
      return make("li", "", name, leave);
    }));
  }
}

/** Shortens a cursor. Cursors are long, and differ at their ends only. */
function shortCursor(cursor?: string | null): Node {
  if (!cursor) return document.createTextNode("no cursor");
  const shown = make("code", "cursor", "…" + cursor.slice(-16));
  shown.title = cursor;
  return shown;
}

/** Returns the same cursor in another log. */
function inAnotherLog(cursor: string): string {
  const bytes = Uint8Array.from(atob(cursor.replaceAll("-", "+").replaceAll("_", "/")), c => c.charCodeAt(0));
  bytes[4]! ^= 0xff; // a byte of the log's identity
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
