import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer, type WebSocket } from "ws";

/** One WebSocket or EventSource that a client opened. */
export interface Peer {
  query: URLSearchParams;
  token?: string;
  /** What the client has sent, in order. */
  said: any[];
  /** The close code with which the client has ended it; 0 for an EventSource. */
  left?: number;
  /** Sends ops in one frame. */
  say(...ops: unknown[]): void;
  raw(text: string): void;
  close(code: number): void;
  /** Breaks the connection without a close frame. */
  cut(): void;
}

/** A fake node, which does what a test tells it. */
export class Fake {
  url = "";
  /** All WebSockets (sockets) and EventSources (streams), in the order in which they were opened. */
  readonly sockets: Peer[] = [];
  readonly streams: Peer[] = [];
  /** The statuses with which to refuse the next connections; 0 means not to answer. */
  readonly refuse: number[] = [];
  refuseSockets = false;
  /** The answer to a client that asks why it is refused; 204 means that it would not be. */
  verdict = { status: 204, detail: "" };
  checks = 0;
  /** The parameters of the last such question. */
  checked?: URLSearchParams;
  /** What to do with a new peer. By default it is sent a hello. */
  script: (peer: Peer, index: number) => void = peer => peer.say(hello(peer));

  readonly #http = createServer((req, res) => this.#stream(req, res));
  readonly #ws = new WebSocketServer({ noServer: true, handleProtocols: () => "fanfare.v1.json" });

  static async start(): Promise<Fake> {
    const fake = new Fake();
    fake.#http.on("upgrade", (req, socket, head) => {
      const status = fake.refuseSockets ? 403 : fake.refuse.shift();
      if (status) return void socket.end(`HTTP/1.1 ${status} No\r\nConnection: close\r\n\r\n`);
      if (status === 0) return;
      fake.#ws.handleUpgrade(req, socket, head, ws => fake.#socket(req, ws));
    });
    await new Promise<void>(done => fake.#http.listen(0, "127.0.0.1", done));
    fake.url = `http://127.0.0.1:${(fake.#http.address() as AddressInfo).port}`;
    return fake;
  }

  stop(): void {
    for (const ws of this.#ws.clients) ws.terminate();
    this.#http.closeAllConnections();
    this.#http.close();
  }

  #socket(req: IncomingMessage, ws: WebSocket): void {
    const token = req.headers["sec-websocket-protocol"]!.split(/, */).find(p => p.startsWith("fanfare.token."));
    const peer: Peer = {
      query: new URL(req.url!, this.url).searchParams,
      token: token?.slice("fanfare.token.".length),
      said: [],
      say: (...ops) => ws.send(ops.map(op => JSON.stringify(op)).join("\n")),
      raw: text => ws.send(text),
      close: code => ws.close(code),
      cut: () => ws.terminate(),
    };
    ws.on("close", code => (peer.left = code));
    ws.on("message", data => peer.said.push(...String(data).split("\n").map(line => JSON.parse(line))));
    this.sockets.push(peer);
    this.script(peer, this.sockets.length - 1);
  }

  #stream(req: IncomingMessage, res: ServerResponse): void {
    const url = new URL(req.url!, this.url);
    if (url.searchParams.get("check")) {
      this.checks++;
      this.checked = url.searchParams;
      const { status, detail } = this.verdict;
      const type = detail ? "application/problem+json" : "text/plain";
      return void res.writeHead(status, { "Content-Type": type }).end(detail && JSON.stringify({ status, detail }));
    }
    const status = url.pathname === "/sse" ? this.refuse.shift() : 404;
    if (status) return void res.writeHead(status).end();
    res.writeHead(200, { "Content-Type": "text/event-stream" });
    const raw = (text: string) => void res.write(`id: x\ndata: ${text}\n\n: beat\n\n`);
    const peer: Peer = {
      query: url.searchParams, token: url.searchParams.get("token") ?? undefined, said: [], raw,
      say: (...ops) => ops.forEach(op => raw(JSON.stringify(op))),
      close: () => res.end(),
      cut: () => res.destroy(),
    };
    res.on("close", () => (peer.left = 0));
    this.streams.push(peer);
    this.script(peer, this.streams.length - 1);
  }
}

/** The hello for a peer: each system resumes from the cursor that the peer named, or else begins at `start`. */
export function hello(peer: Peer, resumed = true): object {
  const given = new Map((peer.query.get("resume") ?? "").split(",").filter(Boolean).map(r => r.split(":") as [string, string]));
  const systems = peer.query.get("systems")!.split(",").map(s => [s, { cursor: given.get(s) ?? "start", resumed: resumed && given.has(s) }]);
  return { op: "hello", session: "S1", node: "n1", user: "alice", systems: Object.fromEntries(systems) };
}

export const message = (id: string, more: object = {}) =>
  ({ op: "message", system: "orders", id, cursor: "c" + id, to: "user:alice", data: { n: id }, ...more });
