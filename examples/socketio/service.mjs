// The service that has something to tell its users. Nothing in it changes but what it is
// given as its emitter: Socket.IO's, Fanfare's, or both while the pages move.

/** Tells alice, those in the lobby, and everybody. */
export async function work(emitter) {
  await emitter.to("user:alice").emit("order.paid", { order: 7 });
  await emitter.to("lobby").emit("chat", { text: "hi, lobby" });
  await emitter.emit("news", { text: "hi, all" });
}
