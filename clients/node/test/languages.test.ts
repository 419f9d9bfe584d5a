// docs/languages.md says who can what; what it says this member lacks is refused by that name.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { BlazeError, Channel, type Config, newClusterChannel, newGroupChannel } from "../src/index.js";
import { root } from "./hex.js";

function rows(): { what: string; node: string }[] {
  const lines = readFileSync(root + "docs/languages.md", "utf8").split("\n").filter((l) => l.startsWith("| "));
  const cells = lines.map((l) => l.split("|").slice(1, -1).map((c) => c.trim()));
  const column = cells[0]!.indexOf("Node");
  assert.ok(column > 0);
  return cells.slice(2).map((c) => ({ what: c[0]!, node: c[column]! }));
}

function ask(name: string): unknown {
  if (name.startsWith("Protocol.")) return new Channel({ protocol: name.slice(9) as Config["protocol"] & string });
  if (name.endsWith("://")) return new Channel({ broadcastURI: name + "239.1.2.3:4567" });
  if (name.startsWith("the setting ")) return new Channel({ [name.slice(12)]: 12345 } as Config);
  if (name === "GroupChannel") return newGroupChannel();
  if (name === "ClusterChannel") return newClusterChannel();
  throw new Error(`the test does not know how to ask for ${name}`);
}

test("what the table says this member lacks is refused by name", () => {
  let n = 0;
  for (const r of rows()) {
    const m = /\bno: `([^`]+)`/.exec(r.node);
    if (!m) continue;
    n++;
    assert.throws(() => ask(m[1]!), (e) => e instanceof BlazeError && e.is("ErrUnsupported") &&
      e.message === `blaze: ${m[1]} is not supported by the Node member`, r.what);
  }
  assert.ok(n >= 8, `${n} rows`);
});
