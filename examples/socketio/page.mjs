// The application's code in the page. Nothing in it changes but the socket that it is given:
// Socket.IO's before the move, the one of fanfare.mjs after it.

/** Shows what comes. */
export function show(socket, print) {
  socket.on("order.paid", order => print(`order ${order.order} is paid`));
  socket.on("chat", ({ text }) => print(`lobby: ${text}`));
  socket.on("news", ({ text }) => print(`news: ${text}`));
}
