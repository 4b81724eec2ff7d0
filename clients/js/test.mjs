// Runs the tests in test, all of them or those whose names are given:
// `npm test`, `npm test -- reconnect`. FANFARE is the command to test; without
// it, it is built.
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, ".build");
const wanted = process.argv.slice(2);
const names = readdirSync(join(here, "test"))
  .filter(n => n.endsWith(".test.ts") && (!wanted.length || wanted.some(w => n.startsWith(w))));

rmSync(out, { recursive: true, force: true });
await build({
  entryPoints: names.map(n => join(here, "test", n)), outdir: out, outExtension: { ".js": ".mjs" },
  bundle: true, packages: "external", platform: "node", format: "esm", target: "node20", sourcemap: "inline", logLevel: "error",
});

const env = { ...process.env, CLIENT_JS: here };
if (!env.FANFARE) {
  env.FANFARE = join(out, "fanfare");
  run("go", ["build", "-o", env.FANFARE, "./cmd/fanfare"], join(here, "../.."));
}
run(process.execPath, ["--enable-source-maps", "--test", ...names.map(n => join(out, n.replace(/ts$/, "mjs")))], here);

function run(command, args, cwd) {
  const { status, error } = spawnSync(command, args, { cwd, env, stdio: "inherit" });
  if (error) console.error(`${command}: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}
