import { field, fill, find, make } from "./dom.ts";
import { shells, type Publication, type Site } from "./shell.ts";

/** The form that publishes, and the commands that do the same. */
export class Publisher {
  readonly #form = find<HTMLFormElement>("#publish");
  readonly #name = find<HTMLInputElement>("[name=name]", this.#form);
  readonly #data = find<HTMLTextAreaElement>("[name=data]", this.#form);
  readonly #result = find<HTMLOutputElement>("#published");
  readonly #tabs = [...document.querySelectorAll<HTMLButtonElement>("[data-shell]")];
  readonly #site: Site;
  readonly #system = find<HTMLSelectElement>("[name=system]", this.#form);
  readonly #type = find<HTMLInputElement>("[name=type]", this.#form);
  /** What the form shows for each kind of target. */
  readonly #kinds: Record<string, { name: string; system: string; type: string }>;
  #kind = "user";

  /** `talk` is the system whose rooms are used. */
  constructor(site: Site, systems: string[], talk: string) {
    this.#site = site;
    fill(this.#system, systems);
    const plain = { name: "alice", system: this.#system.value, type: this.#type.value };
    this.#kinds = { user: plain, room: { name: "lobby", system: talk, type: "chat.said" }, "*": { ...plain, name: "", type: "" } };
    this.#form.addEventListener("submit", event => {
      event.preventDefault();
      void this.#publish(1);
    });
    find("#five").addEventListener("click", () => void this.#publish(5));
    this.#form.addEventListener("input", () => this.#changed());
    for (const tab of this.#tabs) tab.addEventListener("click", () => this.#select(tab));
    find(".tabs").addEventListener("keydown", event => this.#walk(event as KeyboardEvent));
    find("#copy").addEventListener("click", () => void this.#copy());
    this.#changed();
  }

  /** Publishes messages one after the other, so that they arrive in this order. */
  async #publish(times: number): Promise<void> {
    if (!this.#form.reportValidity()) return;
    for (let i = 0; i < times; i++) {
      const publication = this.#publication();
      if (!publication) return this.#tell("This is no JSON: quote strings, as in \"hello\".", true);
      const answer = await this.#post(publication);
      if (!answer.ok) return this.#tell(answer.text, true);
      this.#tell(`${times > 1 ? `${i + 1} of ${times}: ` : ""}to ${publication.to}, as ${answer.text}`, false);
      this.#count();
    }
  }

  async #post(publication: Publication): Promise<{ ok: boolean; text: string }> {
    try {
      const response = await fetch(`/v1/systems/${encodeURIComponent(this.#system.value)}/messages`, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(publication),
      });
      const answer = await response.json();
      if (response.ok) return { ok: true, text: answer.id };
      const faults = (answer.errors ?? []).map((e: any) => ` ${e.location}: ${e.message}`).join(";");
      return { ok: false, text: `${response.status}: ${answer.detail ?? answer.title}${faults}` };
    } catch {
      return { ok: false, text: "The node did not answer." };
    }
  }

  /** Returns the message in the form; undefined if its data is not JSON. */
  #publication(): Publication | undefined {
    const type = this.#type.value.trim();
    const to = this.#kind === "*" ? "*" : `${this.#kind}:${this.#name.value.trim()}`;
    try {
      return { to, ...(type && { type }), data: JSON.parse(this.#data.value) };
    } catch {
      return undefined;
    }
  }

  /** Numbers what is published, as long as the data is {"n": …}. */
  #count(): void {
    this.#data.value = this.#data.value.replace(/("n":\s*)(\d+)/, (_, name, n) => name + (Number(n) + 1));
    this.#show();
  }

  #changed(): void {
    const kind = field(this.#form, "kind");
    if (kind !== this.#kind) {
      this.#kinds[this.#kind] = { name: this.#name.value, system: this.#system.value, type: this.#type.value };
      const { name, system, type } = this.#kinds[(this.#kind = kind)]!;
      [this.#name.value, this.#system.value, this.#type.value] = [name, system, type];
      find("#name-label").textContent = kind === "room" ? "Room" : "User";
      find("#name-field").hidden = this.#name.disabled = kind === "*";
      this.#name.setAttribute("list", kind === "user" ? "users" : "names");
    }
    this.#show();
  }

  #show(): void {
    const tab = this.#tabs.find(t => t.ariaSelected === "true")!;
    const publication = this.#publication();
    this.#data.setCustomValidity(publication ? "" : "This is no JSON");
    const { command, hint = "" } = publication
      ? shells[tab.dataset.shell!]!(publication, this.#system.value, this.#site)
      : { command: "# the data is no JSON" };
    find("#command").textContent = command;
    find("#shell-hint").textContent = hint;
    find("#shell-hint").hidden = !hint;
  }

  #select(tab: HTMLButtonElement): void {
    for (const t of this.#tabs) {
      t.ariaSelected = String(t === tab);
      t.tabIndex = t === tab ? 0 : -1;
    }
    find("#shell").setAttribute("aria-labelledby", tab.id);
    this.#show();
  }

  /** Moves through the tabs with the arrow keys, as their ARIA role demands. */
  #walk(event: KeyboardEvent): void {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = this.#tabs.findIndex(t => t.ariaSelected === "true");
    const next = this.#tabs.at((at + step) % this.#tabs.length)!;
    this.#select(next);
    next.focus();
    event.preventDefault();
  }

  async #copy(): Promise<void> {
    const button = find("#copy");
    try {
      await navigator.clipboard.writeText(find("#command").textContent ?? "");
      button.textContent = "Copied";
    } catch {
      getSelection()?.selectAllChildren(find("#command"));
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }

  #tell(text: string, bad: boolean): void {
    this.#result.replaceChildren(make("span", bad ? "bad" : "good", text));
  }
}
