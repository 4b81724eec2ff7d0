import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

// It was under 5 kB (4,788 bytes) until it watched presence, which takes 350 bytes, and under 5.5 kB
// until it made the next connection before the old one ends, which takes 700. Histories, receipts
// and where to begin take 1,000 more.
test("the client is under 7.5 kB, minified and compressed", async () => {
  const { outputFiles } = await build({
    entryPoints: [join(process.env.CLIENT_JS!, "src/index.ts")], bundle: true, minify: true, format: "esm", target: "es2022", write: false,
  });
  const size = gzipSync(outputFiles[0]!.contents).length;
  assert.ok(size < 7500, `${size} bytes`);
});
