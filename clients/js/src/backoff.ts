const first = 1000;
const max = 30_000;

/**
 * How many milliseconds to wait after so many connections in a row that did not
 * last. The time is random between 0 and an upper limit that doubles, so that the
 * clients of a node that died do not come back together.
 */
export function backoff(failures: number): number {
  return Math.random() * Math.min(max, first * 2 ** failures);
}

/** The longest delay of a timer, in milliseconds. With a longer one it fires at once. */
export const longestTimeout = 2 ** 31 - 1;
