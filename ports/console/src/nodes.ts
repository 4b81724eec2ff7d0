import type { Api } from "./api.ts";
import { Chart } from "./chart.ts";
import { command } from "./command.ts";
import { confirm } from "./confirm.ts";
import { button, cell, find, link, make, Rows, say, type Content } from "./dom.ts";
import { Meter, type Live, type LiveNode, type Rates } from "./live.ts";
import { bytes, count, duration, list, number } from "./words.ts";

/** Above this, a clock or a lag is worth a look, in milliseconds. */
const tooLate = 5_000;

/** A big number with a chart. */
class Tile {
  readonly element: HTMLElement;
  readonly #number = make("b", "", "–");
  readonly #note = make("small");
  readonly #chart: Chart;

  constructor(what: string) {
    this.#chart = new Chart(what, 40);
    this.element = make("article", "tile", make("span", "", what), this.#number, this.#note, this.#chart.element);
  }

  /** Shows a value of now, or only the note if the value is not known yet. */
  show(at: number, value: number | undefined, note: string): void {
    say(this.#note, note);
    if (value === undefined) return;
    say(this.#number, number(value));
    this.#chart.push(at, value);
  }
}

/** What all nodes together know of a system. */
interface Sum {
  sessions: number;
  behind: number;
  messages: number;
  delivered: number;
  gaps: number;
  bytes: number;
}

interface NodeRow {
  node: LiveNode;
  rates?: Rates;
  silent: boolean;
}

/** The part that shows all nodes and systems. */
export class Nodes {
  readonly #api: Api;
  readonly #meter = new Meter();
  readonly #tiles = {
    sessions: new Tile("Sessions"), messages: new Tile("Messages/s"),
    delivered: new Tile("Deliveries/s"), opened: new Tile("New sessions/s"),
  };
  readonly #nodes: Rows<NodeRow>;
  readonly #systems: Rows<Sum>;
  #at = 0; // of the event that is shown, in seconds
  #names = "";

  constructor(api: Api) {
    this.#api = api;
    find("#tiles").append(...Object.values(this.#tiles).map(t => t.element));
    this.#nodes = new Rows(find("#node-table tbody"), () => this.#nodeRow());
    this.#systems = new Rows(find("#system-table tbody"), name => this.#systemRow(name));
  }

  show(live: Live): void {
    const rates = this.#meter.read(live);
    this.#at = performance.now() / 1000;
    const systems = sums(live, rates);
    const total = this.#meter.settled ? [...rates.values()] : undefined;
    const messages = [...systems.values()].reduce((sum, s) => sum + s.messages, 0);
    const refused = live.nodes.reduce((sum, n) => sum + (n.counts?.refused ?? 0), 0);
    this.#tiles.sessions.show(this.#at, live.nodes.reduce((sum, n) => sum + n.sessions, 0), `on ${count(live.nodes.length, "node")}`);
    this.#tiles.messages.show(this.#at, total && messages, `in ${count(systems.size, "system")}`);
    this.#tiles.delivered.show(this.#at, total?.reduce((sum, r) => sum + r.delivered, 0), "on all nodes");
    this.#tiles.opened.show(this.#at, total?.reduce((sum, r) => sum + r.opened, 0), `${number(refused)} refused so far`);
    this.#nodes.show(new Map(live.nodes.map(node => [node.incarnation, {
      node, rates: rates.get(node.incarnation), silent: live.silent.includes(node.name) && !node.counts,
    }])));
    this.#systems.show(systems);
    showTroubles(live);
    this.#offer([...systems.keys()]);
  }

  /** Offers the names of systems wherever one is asked for. */
  #offer(names: string[]): void {
    if (names.join() === this.#names) return;
    this.#names = names.join();
    find("#systems").replaceChildren(...names.map(n => new Option(n)));
  }

  #nodeRow(): { row: HTMLElement; show: (r: NodeRow) => void } {
    const name = cell("Node"), state = cell("State"), sessions = cell("Sessions", "n"), users = cell("Users", "n");
    const delivered = cell("Deliveries/s", "n"), lag = cell("Lag", "n"), heard = cell("Heard", "n");
    let node: LiveNode;
    const move = button("Move sessions …", "small", () => void this.#rebalance(node));
    const row = make("tr", "", name, state, sessions, users, delivered, lag, heard, cell("", "actions", move));
    let shown = "";
    return {
      row,
      show: r => {
        node = r.node;
        move.ariaLabel = `Move sessions off ${node.name}`;
        const states = statesOf(r);
        const text = JSON.stringify([node.name, node.version, node.self, states]);
        if (text !== shown) {
          shown = text;
          name.replaceChildren(make("b", "", node.name), make("small", "", `${node.version}${node.self ? ", answers here" : ""}`));
          name.title = `incarnation ${node.incarnation}`;
          state.replaceChildren(...states.map(([kind, word]) => make("span", `pill ${kind}`, word)));
        }
        say(sessions, number(node.sessions));
        say(users, number(node.users));
        say(delivered, r.rates ? number(r.rates.delivered) : "–");
        say(lag, node.lag_ms ? duration(node.lag_ms) : "none");
        say(heard, node.self ? "now" : `${duration(node.heard_ms)} ago`);
      },
    };
  }

  #systemRow(name: string): { row: HTMLElement; show: (s: Sum) => void } {
    const sessions = cell("Sessions", "n"), behind = cell("Catching up", "n"), gaps = cell("Gaps told", "n"), window = cell("Window", "n");
    const messages = new Chart(`Messages of ${name} a second`, 24), delivered = new Chart(`Deliveries of ${name} a second`, 24);
    const messagesNow = make("span", "now", "–"), deliveredNow = make("span", "now", "–");
    const watch = link(`#/watch/${name}`, "Watch");
    watch.ariaLabel = `Watch ${name}`;
    const row = make("tr", "", cell("System", "", make("b", "", name)), sessions, behind,
      cell("Messages/s", "rate", messagesNow, messages.element), cell("Deliveries/s", "rate", deliveredNow, delivered.element),
      gaps, window, cell("", "actions", watch));
    return {
      row,
      show: s => {
        say(sessions, number(s.sessions));
        say(behind, number(s.behind));
        say(gaps, number(s.gaps));
        say(window, bytes(s.bytes));
        if (!this.#meter.settled) return;
        say(messagesNow, number(s.messages));
        say(deliveredNow, number(s.delivered));
        messages.push(this.#at, s.messages);
        delivered.push(this.#at, s.delivered);
      },
    };
  }

  async #rebalance(node: LiveNode): Promise<void> {
    const values = await confirm({
      title: `Move sessions off ${node.name}?`,
      text: "Clients are asked to connect to another node, one after the other. Each has its new session before the old one ends.",
      yes: "Move",
      fields: [
        { name: "rate", label: "How many a second", value: "50", numeric: true },
        { name: "sessions", label: "How many in all (empty: what it has more than the others)", numeric: true },
      ],
    });
    if (!values) return;
    const body = { rate: Number(values.rate) || 50, ...(values.sessions && { sessions: Number(values.sessions) }) };
    await command(this.#api, find("#node-result"), `${node.name} moves sessions off`, "POST", `/v1/nodes/${encodeURIComponent(node.name)}/rebalance`, body);
  }
}

/** Adds up what the nodes say of each system. Each node reads all messages, so the most that one has read is what there was. */
function sums(live: Live, rates: Map<string, Rates>): Map<string, Sum> {
  const all = new Map<string, Sum>();
  for (const { incarnation, counts } of live.nodes) {
    for (const s of counts?.systems ?? []) {
      let sum = all.get(s.system);
      if (!sum) all.set(s.system, (sum = { sessions: 0, behind: 0, messages: 0, delivered: 0, gaps: 0, bytes: 0 }));
      const rate = rates.get(incarnation)?.systems.get(s.system);
      sum.sessions += s.sessions;
      sum.behind += s.behind;
      sum.messages = Math.max(sum.messages, rate?.messages ?? 0);
      sum.delivered += rate?.delivered ?? 0;
      sum.gaps += s.gaps;
      sum.bytes += s.window_bytes;
    }
  }
  return new Map([...all].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** How a node is, each as a class and a word. */
function statesOf({ node, silent }: NodeRow): [string, string][] {
  const states: [string, string][] = [];
  if (node.counts && !node.counts.bus_up) states.push(["bad", "bus down"]);
  if (node.counts?.deaf?.length) states.push(["bad", `deaf: ${list(node.counts.deaf, 3)}`]);
  if (silent) states.push(["warn", "silent"]);
  if (node.draining) states.push(["warn", "draining"]);
  if (!node.in_step) states.push(["warn", "not in step"]);
  if (Math.abs(node.clock_ahead_ms) > tooLate) states.push(["warn", `clock ${node.clock_ahead_ms > 0 ? "ahead" : "behind"} ${duration(Math.abs(node.clock_ahead_ms))}`]);
  return states.length ? states : [["good", "serving"]];
}

function showTroubles(live: Live): void {
  const troubles: string[] = [];
  if (live.alone) troubles.push("The control plane is off on this node (control.disabled): it knows of no other node, and can neither find users nor disconnect them.");
  if (live.silent.length) troubles.push(`${list(live.silent)} ${live.silent.length === 1 ? "has" : "have"} not said lately what ${live.silent.length === 1 ? "it counts" : "they count"}: rates and systems are those of the other nodes.`);
  const down = live.nodes.filter(n => n.counts && !n.counts.bus_up).map(n => n.name);
  if (down.length) troubles.push(`${list(down)} cannot reach the bus.`);
  const deaf = live.nodes.filter(n => n.counts?.deaf?.length);
  for (const n of deaf) troubles.push(`The messages of ${list(n.counts!.deaf!)} do not come to ${n.name}, though the bus answers.`);
  const apart = live.nodes.filter(n => !n.in_step).map(n => n.name);
  if (apart.length) troubles.push(`${live.node} does not know yet who is attached to ${list(apart)}.`);
  const left = Math.max(0, ...live.nodes.map(n => n.counts?.left ?? 0));
  if (left) troubles.push(`A node has ${count(left, "more system")} than are shown.`);
  const versions = [...new Set(live.nodes.map(n => n.version))];
  if (versions.length > 1) troubles.push(`The nodes have different versions: ${list(versions)}.`);
  const place = find("#troubles");
  const text = troubles.join("\n");
  if (place.dataset.shown === text) return;
  place.dataset.shown = text;
  place.replaceChildren(...troubles.map(t => make("li", "", t as Content)));
}
