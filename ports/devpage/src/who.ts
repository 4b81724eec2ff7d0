import type { Client, Presence } from "../../../clients/js/src/index.ts";
import { find, hue, make } from "./dom.ts";

/** How many users are shown by name. */
const named = 12;

/** The part of a device's card that shows who is in a place: a room, or attached to a system. */
export class Who {
  readonly #panel: HTMLElement;
  readonly #client: Client;
  readonly #user: string;
  readonly #via: string;
  readonly #place: HTMLSelectElement;
  #asked = ""; // the place that the client watches, "" for none
  #users?: Set<string>; // undefined while it is not known who is there
  #count?: number;

  constructor(panel: HTMLElement, client: Client, { user, via, device }: { user: string; via: string; device: string }) {
    this.#panel = panel;
    this.#client = client;
    this.#user = user;
    this.#via = via;
    this.#place = find("select", panel);
    this.#place.ariaLabel = `Place of which ${device} is told who is there`;
    this.#place.addEventListener("change", () => void this.#watch());
    client.on("open", () => void this.#watch());
    client.on("presence", p => this.#told(p));
    client.on("close", () => this.#stale(true));
  }

  /** Offers rooms and systems to choose from. Without an earlier choice it is the first room. */
  offer(rooms: string[], systems: string[]): void {
    const chosen = this.#place.value;
    const group = (label: string, names: string[]) => {
      const options = make("optgroup", "", ...names.map(n => new Option(n, n)));
      options.label = label;
      return options;
    };
    this.#place.replaceChildren(group("In a room", rooms), group("Attached to a system", systems));
    if (rooms.includes(chosen) || systems.includes(chosen)) this.#place.value = chosen;
    else if (chosen && this.#client.state === "open") void this.#watch(); // it is another one now
  }

  /** Lets the client watch the place that is chosen, and no other. */
  async #watch(): Promise<void> {
    const place = this.#place.value;
    if (place === this.#asked) return;
    if (this.#asked) this.#client.presence(...split(this.#asked), false).catch(() => {}); // it is closed, and will not watch
    this.#asked = place;
    this.#users = this.#count = undefined;
    this.#show("");
    try {
      await this.#client.presence(...split(place), { users: true });
    } catch (err) {
      if (this.#asked === place) this.#unknown((err as { code: string }).code);
    }
  }

  #told(p: Presence): void {
    if ((p.room === undefined ? p.system : `${p.system}/${p.room}`) !== this.#asked) return;
    if (p.reason) return this.#unknown(p.reason);
    this.#stale(false);
    const before = this.#users;
    const now = p.users ? new Set(p.users) : p.joined && before && new Set(before); // undefined: too many to name
    for (const user of p.joined ?? []) now?.add(user);
    for (const user of p.left ?? []) now?.delete(user);
    this.#count = p.count;
    this.#users = now;
    // Nodes may tell a change as who is there now, without saying who came and who left.
    const came = before && now ? [...now].filter(user => !before.has(user)) : [];
    const left = before && now ? [...before].filter(user => !now.has(user)) : [];
    this.#show([came.length && `${list(came)} came`, left.length && `${list(left)} left`].filter(Boolean).join(", "), came);
  }

  /** It is not known any more who is there. */
  #unknown(code: string): void {
    if (code !== "unsupported" || this.#via !== "sse") this.#asked = "";
    this.#users = this.#count = undefined;
    this.#stale(false);
    const why: Record<string, string> = {
      unsupported: this.#via === "sse" ? "EventSource does not tell." : "This node does not know who is there.",
      closed: "",
    };
    this.#show(why[code] ?? `The node does not tell: ${code}.`);
  }

  /** While there is no connection, what is shown is what was. */
  #stale(is: boolean): void {
    this.#panel.classList.toggle("stale", is && this.#count !== undefined);
  }

  #show(note: string, fresh: string[] = []): void {
    const users = [...(this.#users ?? [])].sort();
    const items = users.slice(0, named).map(user => {
      const mine = user === this.#user;
      return make("li", fresh.includes(user) ? "fresh" : "", make("i", hue(user)), mine ? make("b", "", user) : user);
    });
    if (users.length > named) items.push(make("li", "more", `and ${users.length - named} more`));
    find("ul", this.#panel).replaceChildren(...items);
    find(".count", this.#panel).textContent = this.#count === undefined ? "" : String(this.#count);
    const few = this.#count === 0 ? "Nobody is there." : this.#count !== undefined && !this.#users ? "Too many to name." : "";
    find(".change", this.#panel).textContent = note || few;
  }
}

function split(place: string): [string, string | undefined] {
  const slash = place.indexOf("/");
  return slash < 0 ? [place, undefined] : [place.slice(0, slash), place.slice(slash + 1)];
}

/** Names some users in a sentence. */
function list(users: string[]): string {
  const shown = users.slice(0, 3).join(", ");
  return users.length > 3 ? `${shown} and ${users.length - 3} more` : shown;
}
