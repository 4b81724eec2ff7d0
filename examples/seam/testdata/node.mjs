import { WebSocket } from "ws";
import { loads } from "./loads.mjs";

const [, , origin, count, atOnce] = process.argv;
await loads(origin, Number(count), Number(atOnce), load => console.log(JSON.stringify(load)), { WebSocket });
process.exit();
