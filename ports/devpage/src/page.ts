import { Device } from "./device.ts";
import { field, find } from "./dom.ts";
import { Publisher } from "./publisher.ts";

const { systems: names = "", topic = "", bus = "", server = "" } = document.body.dataset;
const systems = names.split(",");
const talk = systems.includes("chat") ? "chat" : systems[0]!;
const devices = new Set<Device>();

function add(user: string, name: string, rooms: string[] = [], via = "ws"): Device {
  const device = new Device({ user, name, systems, rooms, talk, via }, removed => {
    devices.delete(removed);
    showUsers();
    find("#add input").focus();
  });
  device.on("bus", ({ up }) => showBus(up));
  devices.add(device);
  find("#cards").append(device.card);
  showUsers();
  return device;
}

/** The users that one can publish to, or give another device. */
function showUsers(): void {
  const users = [...new Set(["alice", "bob", ...[...devices].map(d => d.user)])].sort();
  find("#users").replaceChildren(...users.map(u => new Option(u)));
}

function showBus(up: boolean): void {
  const pill = find("#bus");
  pill.textContent = `bus: ${bus}${up ? "" : ", down"}`;
  pill.classList.toggle("down", !up);
}

new Publisher({ origin: location.origin, topic, bus, server }, systems, talk);
find("#names").replaceChildren(new Option("lobby"));

const form = find<HTMLFormElement>("#add");
form.addEventListener("submit", event => {
  event.preventDefault();
  const device = add(field(form, "user"), field(form, "device"), [], field(form, "via"));
  device.card.scrollIntoView({ block: "nearest" });
});

add("alice", "Phone");
add("alice", "Laptop", [talk + "/lobby"]);
add("bob", "Laptop", [talk + "/lobby"]);
