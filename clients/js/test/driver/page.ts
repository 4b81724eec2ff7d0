// The driver in a browser. Whenever the test asks for another driver, by a word on the
// socket of the page, a frame is made, which holds it and has a socket of its own.
import { driver } from "./driver.ts";

const at = new URL("lines" + location.search, location.href.replace(/^http/, "ws"));
const socket = new WebSocket(at);
if (location.search) {
  const say = (line: object) => socket.send(JSON.stringify(line));
  socket.onopen = () => {
    const read = driver({ say, options: {}, can: ["send", "sse", "from", "last", "ack"] });
    socket.onmessage = ({ data }) => read(data);
  };
} else {
  socket.onmessage = ({ data }) => {
    const frame = document.createElement("iframe");
    frame.src = "?driver=" + data;
    document.body.append(frame);
  };
}
