// Runs the tests in test, all of them or those whose names are given:
// `npm test`, `npm test -- reconnect`. FANFARE is the command to test; without
// it, it is built. CHROMIUM is the browser; FANFARE_SKIP=chromium does without.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, ".build");
const wanted = process.argv.slice(2);
const names = readdirSync(join(here, "test"))
  .filter(n => n.endsWith(".test.ts") && (!wanted.length || wanted.some(w => n.startsWith(w))));

const env = { CHROMIUM: "/usr/bin/chromium", ...process.env, CLIENT_JS: here };
const missing = ["page.test.ts", "console.test.ts"].some(n => names.includes(n)) && !existsSync(env.CHROMIUM);
if (missing && env.TOOLS === "no") env.FANFARE_SKIP ??= "chromium"; // `TOOLS=no make test` has said what that leaves out
if (missing && !(env.FANFARE_SKIP ?? "").split(",").includes("chromium")) {
  console.error(`${env.CHROMIUM} is missing: 'make tools' installs it, CHROMIUM names another, FANFARE_SKIP=chromium does without`);
  process.exit(1);
}

rmSync(out, { recursive: true, force: true });
await build({
  entryPoints: names.map(n => join(here, "test", n)), outdir: out, outExtension: { ".js": ".mjs" },
  bundle: true, packages: "external", platform: "node", format: "esm", target: "node20", sourcemap: "inline", logLevel: "error",
});

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
