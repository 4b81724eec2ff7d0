// Goes through the steps of the move and prints what a page of each kind shows. A test runs
// it. Variables: REDIS_URL, SOCKETIO_URL, FANFARE_URL, FANFARE_KEY (an API key that may
// publish to the system shop), FANFARE_TOKEN (a session token of alice).
import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";
import { io } from "socket.io-client";
import { WebSocket } from "ws"; // which browsers have, and Node 20 has not
import { Both, connect, FanfareEmitter } from "./fanfare.mjs";
import { show } from "./page.mjs";
import { work } from "./service.mjs";

const env = process.env;
setTimeout(() => { console.error("not done after a minute"); process.exit(1); }, 60_000).unref();
const redis = await createClient({ url: env.REDIS_URL }).connect();
const socketio = new Emitter(redis);
const fanfare = new FanfareEmitter(env.FANFARE_URL, env.FANFARE_KEY, "shop");

const old = io(env.SOCKETIO_URL, { auth: { token: "token-of-alice" }, transports: ["websocket"] });
await new Promise((resolve, reject) => old.on("welcome", resolve).on("connect_error", reject));
const fresh = connect(env.FANFARE_URL, {
  system: "shop", rooms: ["lobby"], token: () => env.FANFARE_TOKEN, WebSocket,
});
await fresh.opened;

// Each line of a page counts, so that a step ends when its lines are there.
let shown = [], expected = 0, done;
const print = page => text => {
  shown.push(`${page}: ${text}`);
  if (shown.length === expected) done();
};
show(old, print("Socket.IO"));
show(fresh, print("Fanfare"));

async function step(name, emitter, lines) {
  shown = [];
  expected = lines;
  const all = new Promise((resolve, reject) => {
    done = resolve;
    setTimeout(() => reject(new Error(`${name}: only ${shown}`)), 20_000).unref();
  });
  await work(emitter);
  await all;
  console.log(`${name}\n  ${shown.sort().join("\n  ")}`);
}

await step("before the move", socketio, 3);
await step("while pages move", new Both(socketio, fanfare), 6);
await step("after the move", fanfare, 3);

old.close();
fresh.close();
await redis.close();
