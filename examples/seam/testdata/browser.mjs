import { loads } from "./loads.mjs";

const tell = load => fetch("/told", { method: "POST", body: JSON.stringify(load) });

/** Waits until the page in the frame is live, and returns how many items it shows. */
async function shown() {
  for (;;) {
    const page = document.querySelector("iframe").contentDocument;
    const status = page.getElementById("status")?.textContent ?? "";
    if (status === "Live") return page.querySelectorAll("tbody tr").length;
    if (/cannot/.test(status)) throw new Error(status);
    await new Promise(done => setTimeout(done, 20));
  }
}

const query = new URLSearchParams(location.search);
await loads(location.origin, Number(query.get("count")), 2, tell);
await tell(await shown().then(items => ({ items }), err => ({ error: String(err) })));
