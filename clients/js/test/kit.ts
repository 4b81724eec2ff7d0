import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { get, type ClientRequest } from "node:http";
import { createServer, type AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { WebSocket } from "ws";
import { Client, type Events, type Options } from "../src/index.ts";
import { Fake } from "./fake.ts";

/** Waits until `condition` holds, and returns what it returned. */
export async function until<T>(what: string, condition: () => T | Promise<T>, within = 10_000): Promise<NonNullable<T>> {
  for (const end = performance.now() + within; ; ) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > end) assert.fail(`not within ${within} ms: ${what}`);
    await new Promise(done => setTimeout(done, 5));
  }
}

/** A client and all its events. */
export class Watched {
  readonly client: Client;
  readonly events: { [K in keyof Events]: Events[K][] } = { open: [], close: [], message: [], gap: [], bus: [], left: [], joined: [], presence: [], error: [] };

  constructor(t: TestContext, url: string, options: Partial<Options> = {}) {
    this.client = new Client(url, { systems: ["orders"], WebSocket: WebSocket as any, EventSource: null, ...options });
    for (const name of Object.keys(this.events) as (keyof Events)[]) {
      this.client.on(name, event => this.events[name].push(event as never));
    }
    t.after(() => this.client.close());
  }

  get ids(): string[] {
    return this.events.message.map(m => m.id);
  }

  async open(times = 1): Promise<this> {
    if (this.client.state === "closed") this.client.connect();
    await until(`${times} times open`, () => this.events.open.length >= times);
    return this;
  }
}

export async function fake(t: TestContext, script?: Fake["script"]): Promise<Fake> {
  const node = await Fake.start();
  if (script) node.script = script;
  t.after(() => node.stop());
  return node;
}

/** Makes Math.random return a fixed value, so that random pauses have a known length. */
export function luck(t: TestContext, value: number): void {
  t.mock.method(Math, "random", () => value);
}

/** Lets a test send the browser's events "online" and "visibilitychange". Returns the number of listeners. */
export function wakes(t: TestContext): (type: string) => number {
  const listeners = new Map<string, Set<(event: { type: string }) => void>>();
  const of = (type: string) => listeners.get(type) ?? listeners.set(type, new Set()).get(type)!;
  const target = {
    addEventListener: (type: string, f: any) => void of(type).add(f),
    removeEventListener: (type: string, f: any) => void of(type).delete(f),
  };
  const fakes = { ...target, document: { ...target, hidden: false } };
  Object.assign(globalThis, fakes);
  t.after(() => Object.keys(fakes).forEach(name => delete (globalThis as any)[name]));
  return type => {
    for (const f of of(type)) f({ type });
    return of(type).size;
  };
}

export const code = (wanted: string) => (err: any) => err.name === "FanfareError" && err.code === wanted;

/** An EventSource, which Node does not have, as far as the client needs one. */
export class NodeEventSource {
  onmessage: ((event: { data: string }) => void) | null = null;
  onerror: ((event: unknown) => void) | null = null;
  readonly #request: ClientRequest;

  constructor(url: string) {
    this.#request = get(url, response => {
      if (response.statusCode !== 200) return this.#fail();
      let text = "";
      response.setEncoding("utf8").on("data", chunk => {
        const blocks = (text + chunk).split("\n\n");
        text = blocks.pop()!;
        for (const block of blocks) {
          const data = block.split("\n").filter(l => l.startsWith("data:")).map(l => l.slice(5).trimStart()).join("\n");
          if (data) this.onmessage?.({ data });
        }
      }).on("close", () => this.#fail());
    }).on("error", () => this.#fail());
  }

  #fail(): void {
    this.onerror?.({});
  }

  close(): void {
    this.#request.destroy();
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(done => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  await new Promise(done => server.close(done));
  return port;
}

/** A `fanfare dev` or `fanfare serve` process that belongs to one test. Its settings are variables of the environment. */
export class Node {
  readonly url: string;
  readonly #port: number;
  #process?: ChildProcess;

  readonly #settings: Record<string, string>;
  readonly #command: string;

  private constructor(port: number, settings: Record<string, string>, command: string) {
    this.#port = port;
    this.#settings = settings;
    this.#command = command;
    this.url = `http://127.0.0.1:${port}`;
  }

  static async start(t: TestContext | { after(f: () => unknown): void }, settings: Record<string, string> = {}, command: "dev" | "serve" = "dev"): Promise<Node> {
    const node = new Node(await freePort(), settings, command);
    await node.start();
    t.after(() => node.stop());
    return node;
  }

  async start(): Promise<void> {
    const running = spawn(process.env.FANFARE!, [this.#command, "--listen", `127.0.0.1:${this.#port}`, "--drain", "200ms", "--log.level", "error"],
      { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, ...this.#settings } });
    this.#process = running;
    await until("the node is ready", async () => {
      assert.equal(running.exitCode, null, "the node ended");
      return fetch(this.url + "/readyz").then(r => r.ok, () => false);
    });
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const running = this.#process!;
    if (running.exitCode !== null || running.signalCode !== null) return;
    const ended = new Promise(done => running.once("exit", done));
    running.kill(signal);
    await ended;
  }

  async publish(system: string, message: object): Promise<string> {
    const response = await fetch(`${this.url}/v1/systems/${system}/messages`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(message),
    });
    assert.equal(response.status, 202);
    return (await response.json()).id;
  }
}
