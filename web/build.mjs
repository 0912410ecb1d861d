// `node build.mjs` writes what the package ships; with --check it builds elsewhere and compares.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { build } from "vite";

const here = dirname(fileURLToPath(import.meta.url));
const shipped = join(here, "../zerosum/export/app");

async function built(folder) {
  process.chdir(here);
  await build({ build: { outDir: folder } });
  rmSync(join(folder, "assets"), { recursive: true, force: true }); // the runtime as it is, which goes packed below
  const runtime = readFileSync(join(here, "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm"));
  writeFileSync(join(folder, "ort.wasm.gz"), gzipSync(runtime, { level: 9 }));
}

function content(folder, name) {
  const bytes = readFileSync(join(folder, name));
  return name.endsWith(".gz") ? gunzipSync(bytes) : bytes; // another zlib may pack the same bytes otherwise
}

function differences(one, other) {
  const [names, others] = [readdirSync(one).sort(), readdirSync(other).sort()];
  const lone = [...names.filter((name) => !others.includes(name)), ...others.filter((name) => !names.includes(name))];
  const both = names.filter((name) => others.includes(name));
  return [...lone, ...both.filter((name) => !content(one, name).equals(content(other, name)))];
}

if (process.argv.includes("--check")) {
  const folder = mkdtempSync(join(tmpdir(), "zerosum-page-"));
  try {
    await built(folder);
    const found = differences(folder, shipped);
    if (found.length) {
      console.error(`zerosum/export/app is not what web/ builds (${found.join(", ")}): run \`npm run build\` in web/.`);
      process.exitCode = 1;
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
} else {
  await built(shipped);
}
