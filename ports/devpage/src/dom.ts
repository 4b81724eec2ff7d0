/** Returns the element that a selector finds. Throws if there is none: the page is wrong then. */
export function find<E extends Element = HTMLElement>(selector: string, within: ParentNode = document): E {
  const element = within.querySelector<E>(selector);
  if (!element) throw new Error(`the page has no ${selector}`);
  return element;
}

export function make<K extends keyof HTMLElementTagNameMap>(tag: K, className = "", ...content: (Node | string)[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...content);
  return element;
}

/** The class that gives a user a colour. */
export function hue(user: string): string {
  return "hue" + ([...user].reduce((sum, c) => sum + c.charCodeAt(0), 0) % 6);
}

/** Fills a select with options, and chooses the first. */
export function fill(select: HTMLSelectElement, values: string[]): void {
  select.replaceChildren(...values.map(v => new Option(v, v)));
}

/** Returns what is in a form's field. */
export function field(form: HTMLFormElement, name: string): string {
  return String(new FormData(form).get(name) ?? "").trim();
}
