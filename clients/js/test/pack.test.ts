// The package as users get it: packed, installed in a project of its own, and imported.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const here = process.env.CLIENT_JS!;
const pack = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));

function run(cwd: string, command: string, ...args: string[]): string {
  try {
    return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (err: any) {
    return assert.fail(`${command} ${args.join(" ")}:\n${err.stdout}\n${err.stderr}`);
  }
}

const program = `
import { Client, FanfareError, type Message, type Options } from "@fanfare/client";

const options: Options = { systems: ["orders"], token: async () => "a.b.c" };
const client = new Client("http://127.0.0.1:1", options);
const seen: string[] = [];
client.on("message:orders", (m: Message<{ n: number }>) => seen.push(m.id, m.data.n.toFixed()));
client.on("gap", gap => seen.push(gap.reason));
// @ts-expect-error a name that is no event's
client.on("nonsense", () => {});
client.send("orders", { data: 1 }).catch((err: FanfareError) => console.log(err.code, client.state));
`;

test("the package can be packed, installed, imported, and type-checked", t => {
  const dir = mkdtempSync(join(tmpdir(), "fanfare-pack-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const [{ filename, files }] = JSON.parse(run(here, "npm", "pack", "--json", "--pack-destination", dir));
  const names = files.map((f: { path: string }) => f.path).sort();
  for (const name of ["LICENSE", "README.md", "dist/index.d.ts", "dist/index.js", "dist/index.js.map", "package.json"]) {
    assert.ok(names.includes(name), `${name} is missing in ${names}`);
  }
  assert.deepEqual(names.filter((name: string) => !/^(dist\/\w+(\.d\.ts|\.js|\.js\.map)|LICENSE|README\.md|package\.json)$/.test(name)), []);

  const project = join(dir, "project");
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), '{ "name": "user", "private": true, "type": "module" }');
  run(project, "npm", "install", "--offline", "--no-audit", "--no-fund", join(dir, filename));
  const script = 'import { Client } from "@fanfare/client"; import meta from "@fanfare/client/package.json" with { type: "json" };'
    + 'const c = new Client("http://127.0.0.1:1", { systems: ["orders"] }); console.log(c.state, meta.version)';
  assert.equal(run(project, process.execPath, "--no-warnings", "--input-type=module", "-e", script), `closed ${pack.version}\n`);

  writeFileSync(join(project, "program.ts"), program);
  for (const resolution of [["--module", "nodenext"], ["--module", "esnext", "--moduleResolution", "bundler"]]) {
    run(project, join(here, "node_modules/.bin/tsc"), ...resolution, "--strict", "--target", "es2022", "--lib", "es2022,dom", "--types", "", "--outDir", "out", "program.ts");
    assert.equal(run(project, process.execPath, "out/program.js"), "closed closed\n");
  }
});

test("the package says where it is from, and is public", () => {
  assert.equal(pack.private, undefined);
  assert.deepEqual(pack.publishConfig, { access: "public", provenance: true });
  assert.equal(pack.repository.url, "git+https://github.com/fanfarebus/fanfare.git");
  assert.equal(pack.repository.directory, "clients/js");
  assert.equal(pack.dependencies, undefined);
  assert.equal(readFileSync(join(here, "LICENSE"), "utf8"), readFileSync(join(here, "../../LICENSE"), "utf8"));
});
