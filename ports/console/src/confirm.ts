import { find, make } from "./dom.ts";

/** A field of a question. */
export interface Field {
  name: string;
  label: string;
  value?: string;
  /** Instead of text: what one can choose, by value. */
  choices?: Record<string, string>;
  /** Instead of text: something to tick. */
  tick?: boolean;
  numeric?: boolean;
}

export interface Question {
  title: string;
  text: string;
  yes: string;
  fields?: Field[];
}

/** Asks whether to do something. Returns the values of the fields, or undefined for no. */
export function confirm({ title, text, yes, fields = [] }: Question): Promise<Record<string, string> | undefined> {
  const dialog = find<HTMLDialogElement>("#sure");
  const form = find<HTMLFormElement>("form", dialog);
  find("h2", dialog).textContent = title;
  find("p", dialog).textContent = text;
  find(".danger", dialog).textContent = yes;
  find(".fields", dialog).replaceChildren(...fields.map(show));
  return new Promise(done => {
    const end = new AbortController();
    const { signal } = end;
    const close = (values?: Record<string, string>) => {
      end.abort();
      dialog.close();
      done(values);
    };
    form.addEventListener("submit", event => {
      event.preventDefault();
      close(Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value).trim()])));
    }, { signal });
    find(".cancel", dialog).addEventListener("click", () => close(), { signal });
    dialog.addEventListener("cancel", event => (event.preventDefault(), close()), { signal });
    dialog.showModal(); // the focus goes back to where it was when the dialog closes
  });
}

function show(f: Field): HTMLElement {
  if (f.tick) {
    const box = make("input");
    box.type = "checkbox";
    box.name = f.name;
    box.checked = f.value === "on";
    return make("label", "check", box, " " + f.label);
  }
  let control: HTMLInputElement | HTMLSelectElement;
  if (f.choices) {
    control = make("select", "", ...Object.entries(f.choices).map(([value, text]) => new Option(text, value)));
  } else {
    control = make("input");
    control.autocomplete = "off";
    control.maxLength = 123;
    if (f.numeric) control.type = "number", control.min = "1";
  }
  control.name = f.name;
  if (f.value !== undefined) control.value = f.value;
  return make("label", "field", make("span", "", f.label), control);
}
