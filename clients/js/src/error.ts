/**
 * What a promise of this package is rejected with. `code` is for programs:
 *
 * - what the node answers: `invalid`, `forbidden`, `not_found`, `too_large`,
 *   `rate_limited`, `bus_down`, `unsupported`
 * - `disconnected`: there was no connection, so nothing was sent
 * - `unknown`: the connection was lost before the answer; the message may have
 *   been published or not. Sending it again with the same `id` is safe.
 * - `closed`: the client was closed, or a node closed it for good
 * - `refused`: over EventSource, a connection that names the room was refused; or, as an event, a node refuses the client for ever
 * - `protocol`: the node said what this client does not understand
 * - `token`: the token callback failed
 */
export class FanfareError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "FanfareError";
    this.code = code;
  }
}
