/** Returns the element that a selector finds. Throws if there is none: the page is wrong then. */
export function find<E extends Element = HTMLElement>(selector: string, within: ParentNode = document): E {
  const element = within.querySelector<E>(selector);
  if (!element) throw new Error(`the page has no ${selector}`);
  return element;
}

export type Content = Node | string;

export function make<K extends keyof HTMLElementTagNameMap>(tag: K, className = "", ...content: Content[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...content);
  return element;
}

export function link(to: string, text: string): HTMLAnchorElement {
  const a = make("a", "", text);
  a.href = to;
  return a;
}

export function button(text: string, className: string, click: () => void): HTMLButtonElement {
  const b = make("button", className, text);
  b.type = "button";
  b.addEventListener("click", click);
  return b;
}

/** Returns what is in a form's field. */
export function field(form: HTMLFormElement, name: string): string {
  return String(new FormData(form).get(name) ?? "").trim();
}

export function input(form: HTMLFormElement, name: string): HTMLInputElement {
  return find<HTMLInputElement>(`[name=${name}]`, form);
}

/** Changes a text only if it is another one, so that what reads pages aloud is not woken. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Brings the rows of a table into the order of their keys, and makes and removes rows. */
export class Rows<T> {
  readonly #body: HTMLElement;
  readonly #make: (key: string) => { row: HTMLElement; show: (value: T) => void };
  readonly #rows = new Map<string, { row: HTMLElement; show: (value: T) => void }>();

  constructor(body: HTMLElement, make: (key: string) => { row: HTMLElement; show: (value: T) => void }) {
    this.#body = body;
    this.#make = make;
  }

  show(values: Map<string, T>): void {
    for (const [key, { row }] of this.#rows) {
      if (values.has(key)) continue;
      row.remove();
      this.#rows.delete(key);
    }
    let at: Element | null = this.#body.firstElementChild;
    for (const [key, value] of values) {
      let known = this.#rows.get(key);
      if (!known) this.#rows.set(key, (known = this.#make(key)));
      known.show(value);
      if (known.row === at) at = at.nextElementSibling;
      else this.#body.insertBefore(known.row, at); // moving a row that stands right would take the focus from it
    }
  }
}

/** A cell of a table. On narrow screens, where rows are cards, the label stands before it. */
export function cell(label: string, className = "", ...content: Content[]): HTMLTableCellElement {
  const td = make("td", className, ...content);
  td.dataset.label = label;
  return td;
}

/** Replaces a part of the page, and gives the focus to what is called the same as what had it. */
export function keepFocus(within: HTMLElement, replace: () => void): void {
  const name = (e: Element) => e.ariaLabel ?? e.textContent;
  const before = within.contains(document.activeElement) ? document.activeElement : null;
  replace();
  if (!before || before.isConnected) return;
  for (const e of within.querySelectorAll<HTMLElement>("button, a")) {
    if (name(e) === name(before)) return e.focus();
  }
}
