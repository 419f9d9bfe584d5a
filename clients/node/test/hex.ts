// Annotated vectors: hexadecimal digits, and comments from # on.
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The repository's root, from dist/test. */
export const root = fileURLToPath(new URL("../../../../", import.meta.url));

/** The bytes of one vector. */
export function hexFile(path: string): Buffer {
  const text = readFileSync(path, "utf8").split("\n").map((line) => line.replace(/#.*/, "")).join("");
  return Buffer.from(text.replace(/\s+/g, ""), "hex");
}

/** All vectors of a folder, by name. */
export function hexFiles(folder: string): Map<string, Buffer> {
  const all = new Map<string, Buffer>();
  for (const f of readdirSync(root + folder).sort()) {
    if (f.endsWith(".hex")) all.set(f.slice(0, -4), hexFile(root + folder + "/" + f));
  }
  return all;
}
