// Drives the client for the script that every client must pass: see docs/clients.md.
import { Client, FanfareError, type Options } from "../../src/index.ts";

/** What a driver needs of the place where it runs. */
export interface Place {
  /** Writes a line. */
  say(line: object): void;
  options: Partial<Options>;
  can: string[];
}

/** Returns what to call with each line that the driver reads. */
export function driver({ say, options, can }: Place): (line: string) => void {
  let client: Client;
  say({ e: "ready", can });

  function start({ url, systems, rooms, cursors, from, last, tokens, timeout_ms, via }: any): void {
    let next = 0;
    const token = tokens && (() => {
      const token = tokens[Math.min(next++, tokens.length - 1)];
      if (token === null) throw new Error("no token now");
      return token;
    });
    client = new Client(url, {
      EventSource: null, ...options, systems, rooms, cursors, from, last, token, timeout: timeout_ms,
      ...(via === "sse" ? { WebSocket: null, EventSource: globalThis.EventSource } : {}),
    });
    const mine = client;
    client.on("open", event => {
      const last = Object.entries(event.systems).map(([system, at]) => [system, at.last]).filter(([, at]) => at);
      say({ ...event, e: "open", last: Object.fromEntries(last) });
    });
    for (const name of ["message", "gap", "bus", "left", "joined", "presence"] as const) {
      client.on(name, event => say({ ...event, e: name }));
    }
    client.on("error", err => say({ e: "error", text: String(err) }));
    client.on("close", ({ code, reason, retry }) => {
      if (retry) say({ e: "lost", code, reason });
      else if (mine !== stopping) say({ e: "ended", code, reason });
    });
    client.connect();
  }

  let stopping: Client | undefined;
  function stop(): void {
    stopping = client;
    client.close();
    say({ e: "stopped" });
  }

  async function ask({ do: what, ref, system, room, since, users, to, type, id, data }: any): Promise<void> {
    const asked = {
      send: () => client.send(system, { to, type, id, data }),
      join: () => client.join(system, room, { since }),
      leave: () => client.leave(system, room),
      watch: () => client.presence(system, room, { users }),
      unwatch: () => client.presence(system, room, false),
      cursors: async () => undefined,
    }[what as string]!;
    try {
      const id = await asked();
      say({ did: ref, id, cursors: { ...client.cursors } });
    } catch (err) {
      say({ did: ref, error: (err as FanfareError).code ?? String(err) });
    }
  }

  return line => {
    const command = JSON.parse(line);
    if (command.do === "start") start(command);
    else if (command.do === "stop") stop();
    else void ask(command);
  };
}
