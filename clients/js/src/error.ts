/**
 * The error with which a promise of this package is rejected. `code` is for programs:
 *
 * - what the node answers: `invalid`, `forbidden`, `not_found`, `too_large`,
 *   `rate_limited`, `bus_down`, `unsupported`
 * - `disconnected`: there was no connection, so nothing was sent
 * - `unknown`: the connection was lost before the answer, so the message may have
 *   been published; sending it again with the same `id` is safe
 * - `left`: the room was left, or its presence no longer asked for, before the answer
 * - `closed`: the client was closed, or a node closed it for good
 * - `refused`: over EventSource, a connection that names the room was refused; as an
 *   `error` event, a node will always refuse the client; of `fetchCursor` and
 *   `fetchMessages`, the node said no: `status` is the answer's
 * - `protocol`: the client does not understand what the node sent
 * - `token`: the token callback failed
 */
export class FanfareError extends Error {
  readonly code: string;
  /** The HTTP status of the answer, of `fetchCursor` and `fetchMessages`. */
  status?: number;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "FanfareError";
    this.code = code;
  }
}
