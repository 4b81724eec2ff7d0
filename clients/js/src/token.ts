/** When a JWT expires, in milliseconds since 1970. Undefined if the token has no expiry or is no JWT. */
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
 * How many milliseconds to keep a token before asking for the next one: a random
 * part, about four fifths, of the time that it has left, so that clients do not ask
 * all at once. Undefined if the token has no expiry, or expires too soon.
 */
export function keepFor(token: string): number | undefined {
  const left = (expiry(token) ?? NaN) - Date.now();
  return left > 5000 ? left * (0.75 + Math.random() * 0.15) : undefined;
}
