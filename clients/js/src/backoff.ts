const least = 1000;
const most = 30_000;

/**
 * Milliseconds to wait after so many connections in a row that did not last.
 * Chosen at random over the whole span: those who lost the same node must not
 * come back together.
 */
export function backoff(failures: number): number {
  return Math.random() * Math.min(most, least * 2 ** failures);
}

/** A timer's longest delay: beyond it, it would fire at once. */
export const longest = 2 ** 31 - 1;
