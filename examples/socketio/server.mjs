// The server before the move: Socket.IO with the Redis adapter, so that several of it can
// run. It prints the port on which it listens, and ends when its input does.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const users = { "token-of-alice": "alice", "token-of-bob": "bob" }; // the login of a real application
const redis = createClient({ url: process.env.REDIS_URL });
const sub = redis.duplicate();
await Promise.all([redis.connect(), sub.connect()]);

const http = createServer();
const io = new Server(http, { adapter: createAdapter(redis, sub) });
io.use((socket, next) => {
  socket.data.user = users[socket.handshake.auth.token];
  next(socket.data.user ? undefined : new Error("not logged in"));
});
io.on("connection", async socket => {
  await socket.join([`user:${socket.data.user}`, "lobby"]);
  socket.emit("welcome", socket.data.user);
});
http.listen(0, "127.0.0.1", () => console.log(http.address().port));
process.stdin.resume().on("end", () => process.exit());
