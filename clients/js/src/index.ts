export { Client } from "./client.ts";
export type { Join, Options, Send, Sending, Watch } from "./client.ts";
export type { ConnectionOptions, State } from "./connection.ts";
export { FanfareError } from "./error.ts";
export type { Closed, EventName, EventOf, Events, Gap, GapReason, Hello, Joined, Left, Message, Presence } from "./events.ts";
export type { EventSourceClass, EventSourceLike, WebSocketClass, WebSocketLike } from "./link.ts";
