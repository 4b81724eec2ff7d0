import { Api, Problem, words } from "./api.ts";
import { field, find, input, say } from "./dom.ts";
import { Feed, type FeedState } from "./live.ts";
import { Nodes } from "./nodes.ts";
import { Trace } from "./trace.ts";
import { Users } from "./users.ts";
import { Watch } from "./watch.ts";

const api = new Api();
const nodes = new Nodes(api), users = new Users(api), trace = new Trace(api), watch = new Watch(api);
const feed = new Feed(api, live => nodes.show(live), showFeed);
const login = find<HTMLFormElement>("#login");
let inside = false;

/** Starts with the key that there is. A node in development needs none. */
async function enter(): Promise<void> {
  const running = feed.run();
  try {
    await running;
  } catch (err) {
    refuse(err instanceof Problem ? err : new Problem(0, words(err)));
  }
}

/** Asks for a key, and says why the one there was is not good enough. */
function refuse(why?: Problem): void {
  const had = api.hasKey;
  inside = false;
  feed.stop();
  watch.stop();
  users.stop();
  api.use("");
  showFeed("lost", "not connected");
  for (const section of document.querySelectorAll<HTMLElement>("main > section")) section.hidden = section.id !== "enter";
  find("nav").hidden = find("#leave").hidden = true;
  say(find("#login-result"), why && had ? why.message : "");
  input(login, "key").focus();
}

function showFeed(state: FeedState, why = ""): void {
  const pill = find("#feed");
  if (state === "live" && !inside) {
    inside = true;
    find("nav").hidden = false;
    find("#leave").hidden = !api.hasKey;
    input(login, "key").value = "";
    route();
  }
  pill.className = `pill ${{ connecting: "", live: "good", lost: "bad" }[state]}`;
  say(pill, !inside ? "not connected" : { connecting: "connecting", live: "live", lost: "not live" }[state]);
  pill.title = state === "lost" ? `${why}: it tries again` : "";
  document.body.classList.toggle("stale", inside && state !== "live");
}

/** Shows the part of the console that the address names. */
function route(): void {
  if (!inside) return;
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [part = "", ...names] = path.split("/").map(decoded);
  const parameters = new URLSearchParams(query);
  const name = ["users", "trace", "watch"].includes(part) ? part : "nodes";
  for (const section of document.querySelectorAll<HTMLElement>("main > section")) section.hidden = section.id !== name;
  for (const a of document.querySelectorAll<HTMLAnchorElement>("nav a")) {
    if (a.hash === `#/${name}`) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  document.title = `${find(`#${name} h2`).textContent} · Fanfare console`;
  watch.stop();
  users.stop();
  if (name === "users") void users.open(names[0] ?? "");
  if (name === "trace") void trace.open(names[0] ?? "", names[1] ?? "", parameters.get("user") ?? "");
  if (name === "watch") void watch.open(names[0] ?? "", parameters.get("to") ?? "", parameters.get("data") === "1");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // somebody has written it by hand
  }
}

api.onrefused = why => inside && refuse(why);
login.addEventListener("submit", event => {
  event.preventDefault();
  api.use(field(login, "key"));
  say(find("#login-result"), "");
  void enter();
});
find("#leave").addEventListener("click", () => {
  api.use("");
  location.hash = "";
  location.reload(); // nothing that was seen stays in the page
});
find(".skip").addEventListener("click", event => {
  event.preventDefault(); // the address says which part is shown
  find("main").focus();
});
addEventListener("hashchange", route);
void enter();
