import { say } from "./dom.ts";
import { number } from "./words.ts";

/** How many seconds a chart shows. */
const span = 120;

const svgNames = "http://www.w3.org/2000/svg";

function svg<K extends keyof SVGElementTagNameMap>(tag: K, attributes: Record<string, string | number> = {}): SVGElementTagNameMap[K] {
  const element = document.createElementNS(svgNames, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

/** A line that shows how a number went lately. */
export class Chart {
  readonly element: SVGSVGElement;
  readonly #what: string;
  readonly #height: number;
  readonly #points: { at: number; value: number }[] = [];
  readonly #line = svg("path", { class: "line" });
  readonly #area = svg("path", { class: "area" });
  readonly #text = svg("title");

  constructor(what: string, height: number) {
    this.#what = what;
    this.#height = height;
    this.element = svg("svg", { class: "chart", viewBox: `0 0 ${span} ${height}`, preserveAspectRatio: "none", role: "img" });
    this.element.append(this.#text, svg("path", { class: "base", d: `M0 ${height - 0.5}H${span}` }), this.#area, this.#line);
  }

  /** Adds a value of now, in seconds. */
  push(at: number, value: number): void {
    this.#points.push({ at, value });
    while (this.#points[0] && this.#points[0].at < at - span) this.#points.shift();
    const most = Math.max(...this.#points.map(p => p.value));
    const scale = (this.#height - 3) / (most || 1);
    const places = this.#points.map(p => `${(span - (at - p.at)).toFixed(1)} ${(this.#height - 1 - p.value * scale).toFixed(1)}`);
    this.#line.setAttribute("d", "M" + places.join("L"));
    const first = places[0]!.split(" ")[0]!;
    this.#area.setAttribute("d", `M${first} ${this.#height}L${places.join("L")}L${span} ${this.#height}Z`);
    const text = `${this.#what}: now ${number(value)}, at most ${number(most)} in two minutes`;
    this.element.setAttribute("aria-label", text);
    say(this.#text, text);
  }
}
