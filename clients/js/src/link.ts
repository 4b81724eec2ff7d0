/** The part of WebSocket that is used here. */
export interface WebSocketLike {
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

/** The part of EventSource that is used here. */
export interface EventSourceLike {
  onmessage: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  close(): void;
}

export type WebSocketClass = new (url: string, protocols: string[]) => WebSocketLike;
export type EventSourceClass = new (url: string, init: { withCredentials: boolean }) => EventSourceLike;

export type Via = "ws" | "sse";

/** One connection. After `close` it calls nobody. */
export interface Link {
  readonly via: Via;
  /** Undefined where a client cannot speak. */
  send?(text: string): void;
  close(): void;
}

/** What a Link calls: `frame` for each text, `end` when it is over. Who hears of the end closes the link. */
export interface Listener {
  frame(text: string): void;
  end(code: number, reason: string): void;
}

/** What to ask for; each of several values is a parameter. */
export type Query = Record<string, string | string[]>;

/** Where to connect, and what to ask for. */
export interface Address {
  url: string;
  query: Query;
  token?: string;
}

const ABNORMAL = 1006; // what browsers say of a connection that broke

export function webSocket(make: WebSocketClass, to: Address, on: Listener): Link {
  const protocols = ["fanfare.v1.json"];
  if (to.token) protocols.push("fanfare.token." + to.token);
  const ws = new make(locate(to, "ws").replace(/^http/, "ws"), protocols);
  ws.onmessage = ({ data }) => on.frame(data);
  ws.onclose = ({ code, reason }) => on.end(code, reason);
  ws.onerror = () => {}; // close follows
  return {
    via: "ws",
    send: text => ws.send(text),
    close() {
      ws.onmessage = ws.onclose = null;
      ws.close();
    },
  };
}

/**
 * EventSource would come back by itself, but with the token and the cursors
 * of its beginning. So each one is used once.
 */
export function eventSource(make: EventSourceClass, to: Address, on: Listener): Link {
  // pad: some proxies hold back what is less than 2 KiB.
  const query = { ...to.query, pad: "1", token: to.token ?? "" };
  // Only who has no token needs a cookie; nodes that allow all origins take none.
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

/** The address of a node's endpoint. What the node's URL asks for stays. */
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
