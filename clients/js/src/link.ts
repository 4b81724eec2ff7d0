/** The part of WebSocket that this package uses. */
export interface WebSocketLike {
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

/** The part of EventSource that this package uses. */
export interface EventSourceLike {
  onmessage: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  close(): void;
}

export type WebSocketClass = new (url: string, protocols: string[]) => WebSocketLike;
export type EventSourceClass = new (url: string, init: { withCredentials: boolean }) => EventSourceLike;

export type Via = "ws" | "sse";

/** One connection. After `close` it calls its listener no more. */
export interface Link {
  readonly via: Via;
  /** Undefined if the client cannot send. */
  send?(text: string): void;
  close(): void;
}

/** What a Link calls: `frame` for each text, and `end` when it has ended. The listener must then close the link. */
export interface Listener {
  frame(text: string): void;
  end(code: number, reason: string): void;
}

/** The parameters of the URL. A name with several values becomes several parameters. */
export type Query = Record<string, string | string[]>;

/** Where to connect, and with which parameters. */
export interface Address {
  url: string;
  query: Query;
  token?: string;
}

const ABNORMAL = 1006; // the code that browsers give to a connection that broke

export function webSocket(make: WebSocketClass, to: Address, on: Listener): Link {
  const protocols = ["fanfare.v1.json"];
  if (to.token) protocols.push("fanfare.token." + to.token);
  const ws = new make(locate(to, "ws").replace(/^http/, "ws"), protocols);
  let worked = false;
  ws.onmessage = ({ data }) => {
    worked = true;
    on.frame(data);
  };
  ws.onclose = ({ code, reason }) => on.end(code, reason);
  // A close event follows, but in Node 22 it does not if the connection was refused.
  ws.onerror = () => worked || on.end(ABNORMAL, "");
  return {
    via: "ws",
    send: text => ws.send(text),
    close() {
      ws.onmessage = ws.onclose = null;
      ws.onerror = () => {}; // ws throws what nobody hears
      ws.close(1000);
    },
  };
}

/**
 * An EventSource would reconnect by itself, but with its first token and cursors.
 * So each one is used only once.
 */
export function eventSource(make: EventSourceClass, to: Address, on: Listener): Link {
  // pad is for proxies that hold back responses of less than 2 KiB.
  const query = { ...to.query, pad: "1", token: to.token ?? "" };
  // Cookies are needed only without a token, and nodes that allow all origins accept none.
  const es = new make(locate({ ...to, query }, "sse"), { withCredentials: !to.token });
  es.onmessage = ({ data }) => on.frame(data);
  es.onerror = () => on.end(ABNORMAL, "");
  return {
    via: "sse",
    close() {
      es.onmessage = es.onerror = null;
      es.close();
    },
  };
}

/** The URL of a node's endpoint. It keeps the parameters of the node's URL. */
export function locate({ url, query }: Address, endpoint: string): string {
  const at = new URL(url, globalThis.location?.href);
  at.protocol = at.protocol.replace("ws", "http");
  at.pathname = at.pathname.replace(/\/?$/, "/" + endpoint);
  for (const [name, value] of Object.entries(query)) {
    if (value.length) at.searchParams.delete(name);
    for (const one of value.length ? [value].flat() : []) at.searchParams.append(name, one);
  }
  return at.href;
}
