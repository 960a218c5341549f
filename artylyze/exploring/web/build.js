// Builds dist/ from src/, strings/, index.html and app.css: `make explorer`.
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const shared = { bundle: true, minify: true, target: "es2022", charset: "utf8", format: "iife", loader: { ".woff2": "dataurl" } };

/** SHA-256 of the sources, each as its path, a zero byte, its bytes and a zero byte: a test compares it with dist/BUILD. */
function digest() {
  const inner = ["src", "strings"].flatMap((folder) => readdirSync(folder).map((name) => `${folder}/${name}`));
  const hash = createHash("sha256");
  for (const path of [...inner, "app.css", "build.js", "index.html", "package-lock.json"].sort()) {
    hash.update(path).update("\0").update(readFileSync(path)).update("\0");
  }
  return hash.digest("hex");
}

rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
await build({ ...shared, entryPoints: { app: "src/app.js" }, outdir: "dist", legalComments: "none" });
await build({ ...shared, entryPoints: { zoom: "src/zoom.js" }, outdir: "dist", legalComments: "inline" });
await build({ ...shared, entryPoints: { app: "app.css" }, outdir: "dist", legalComments: "none" });
cpSync("index.html", "dist/index.html");
cpSync("strings", "dist/strings", { recursive: true });
writeFileSync("dist/BUILD", `${digest()}\n`);
