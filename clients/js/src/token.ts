/** When a JWT expires, in milliseconds since 1970; undefined if it does not say or is none. */
export function expiry(token: string): number | undefined {
  try {
    const claims = token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
    const { exp } = JSON.parse(atob(claims));
    return exp > 0 ? exp * 1000 : undefined;
  } catch {
    return undefined;
  }
}

/**
 * How long to keep a token before asking for the next: some four fifths of the
 * time it has left, so that those who were given theirs together do not ask
 * together. Undefined if it is too late, or there is no need.
 */
export function keepFor(token: string): number | undefined {
  const left = (expiry(token) ?? NaN) - Date.now();
  return left > 5000 ? left * (0.75 + Math.random() * 0.15) : undefined;
}
