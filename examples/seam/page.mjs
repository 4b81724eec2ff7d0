// Shows the board. It is bundled as page.js: see README.md.
import { openBoard } from "./board.mjs";

const status = document.getElementById("status");
const rows = new Map();

function show({ name, value }) {
  let row = rows.get(name);
  if (!row) {
    row = document.getElementById("items").insertRow();
    row.append(document.createElement("td"), document.createElement("td"));
    rows.set(name, row);
  }
  row.cells[0].textContent = name;
  row.cells[1].textContent = value;
}

const { user } = document.documentElement.dataset;
try {
  const { client } = await openBoard(new URL(`?user=${user ?? "guest"}`, location.href).href, location.href, show);
  client.on("open", () => (status.textContent = "Live"));
  client.on("close", ({ retry }) => (status.textContent = retry ? "Connecting …" : "Ended"));
} catch (err) {
  status.textContent = `The board cannot be shown: ${err.message}`;
}
