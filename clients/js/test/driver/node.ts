// The driver in Node: it reads and writes lines. With WEBSOCKET=ws it uses the package
// ws, which Node needs before version 22.
import { createInterface } from "node:readline";
import { driver } from "./driver.ts";

const options = process.env.WEBSOCKET === "ws" ? { WebSocket: (await import("ws")).WebSocket as any } : {};
const read = driver({ say: line => console.log(JSON.stringify(line)), options, can: ["send", "from", "last", "ack"] });
createInterface({ input: process.stdin }).on("line", read).on("close", () => process.exit());
