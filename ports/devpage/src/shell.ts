/** A message, as the HTTP API takes it. */
export interface Publication {
  to: string;
  type?: string;
  data: unknown;
}

/** What the page knows about its node. */
export interface Site {
  origin: string;
  topic: string; // template
  bus: string; // scheme of the transport
  server: string; // host and port of the bus
}

/** Returns commands that publish the same message, by the tool that they use. */
export const shells: Record<string, (p: Publication, system: string, site: Site) => { command: string; hint?: string }> = {
  curl: (p, system, { origin }) => ({
    command: `curl -H 'Content-Type: application/json' \\\n  -d ${quote(JSON.stringify(p))} \\\n  ${origin}/v1/systems/${system}/messages`,
  }),

  fanfare: (p, system, { origin }) => ({
    command: [
      `fanfare publish --url ${origin}`, `--system ${system} --to ${quote(p.to)}`,
      ...(p.type ? [`--type ${quote(p.type)}`] : []), `--data ${quote(JSON.stringify(p.data))}`,
    ].join(" \\\n  "),
  }),

  redis: (p, system, site) => {
    const topic = site.topic.replace("{system}", system);
    const cli = "redis-cli" + address(site);
    const stream = site.bus.startsWith("redis-streams");
    const type = p.type ? ` type ${quote(p.type)}` : "";
    const command = stream
      ? `${cli} XADD ${quote(topic)} '*' \\\n  to ${quote(p.to)}${type} data ${quote(JSON.stringify(p.data))}`
      : `${cli} PUBLISH ${quote(topic)} \\\n  ${quote(JSON.stringify(p))}`;
    const hint = site.bus.startsWith("redis") ? undefined
      : `The bus of this node is ${site.bus === "memory" ? "its own memory" : site.bus}: this works with fanfare dev --transport redis://localhost:6379/0`;
    return { command, hint };
  },
};

function address({ bus, server }: Site): string {
  const at = /^(.*?)(?::(\d+))?$/.exec(bus.startsWith("redis") ? server : "")!;
  const host = at[1] && at[1] !== "localhost" && at[1] !== "127.0.0.1" ? ` -h ${at[1]}` : "";
  return host + (at[2] && at[2] !== "6379" ? ` -p ${at[2]}` : "");
}

/** Quotes a text as one word of a POSIX shell. */
export function quote(text: string): string {
  return /^[\w.:/@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
