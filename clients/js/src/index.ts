export { Client } from "./client.ts";
export type { Join, Options, Send, Sending, Watch } from "./client.ts";
export type { ConnectionOptions, State } from "./connection.ts";
export { FanfareError } from "./error.ts";
export type { Closed, Coverage, EventName, EventOf, Events, Gap, GapReason, Hello, Joined, Left, Message, Presence } from "./events.ts";
export type { EventSourceClass, EventSourceLike, WebSocketClass, WebSocketLike } from "./link.ts";
export { fetchCursor, fetchMessages } from "./history.ts";
export type { Asking, Page, PageQuery } from "./history.ts";
