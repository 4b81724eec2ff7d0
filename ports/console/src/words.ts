import { make } from "./dom.ts";

const small = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** Writes a number so that it is read quickly. */
export function number(n: number): string {
  if (n >= 100_000) return short.format(n);
  return n < 10 ? small.format(n) : whole.format(n);
}

export function count(n: number, one: string, many = one + "s"): string {
  return `${number(n)} ${n === 1 ? one : many}`;
}

export function bytes(n: number): string {
  if (n < 1024) return `${whole.format(n)} B`;
  if (n < 1024 ** 2) return `${small.format(n / 1024)} KiB`;
  return n < 1024 ** 3 ? `${small.format(n / 1024 ** 2)} MiB` : `${small.format(n / 1024 ** 3)} GiB`;
}

/** Writes a duration with one unit. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${small.format(ms / 1000)} s`;
  if (ms < 7_200_000) return `${whole.format(ms / 60_000)} min`;
  return ms < 172_800_000 ? `${whole.format(ms / 3_600_000)} h` : `${whole.format(ms / 86_400_000)} days`;
}

/** Shows a moment: the time, or the day too if it is another one, with all of it as its title. */
export function moment(text: string | undefined): Node {
  const at = new Date(text ?? "");
  if (Number.isNaN(at.getTime())) return document.createTextNode("unknown");
  const clock = at.toLocaleTimeString([], { hour12: false });
  const today = at.toDateString() === new Date().toDateString();
  const time = make("time", "", today ? clock : `${at.toLocaleDateString()} ${clock}`);
  time.dateTime = time.title = at.toISOString();
  return time;
}

/** Shows what is long and differs at its end only, such as a cursor. */
export function ending(text: string | undefined, kept = 12): Node {
  if (!text) return document.createTextNode("none");
  const shown = make("code", "", text.length > kept + 2 ? "…" + text.slice(-kept) : text);
  shown.title = text;
  return shown;
}

/** Names some things in a sentence. */
export function list(names: string[], most = 6): string {
  const shown = names.slice(0, most);
  const rest = names.length - shown.length;
  if (rest > 0) return `${shown.join(", ")} and ${rest} more`;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}
