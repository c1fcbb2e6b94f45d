/** Where code names a published system, over the whole project; and that the search sees each way of writing a name. */
import assert from "node:assert/strict";
import { SYSTEMS } from "../models/registry.ts";
import { ROOMS } from "../tools/layers.ts";
import { readTexts } from "../tools/sources.ts";
import { findSystemNames, systemNames } from "../tools/system_names.ts";

const root = new URL("../", import.meta.url);
/** Also the tower that only one system has, and a system of which so far only parts are there. */
const names = systemNames([...SYSTEMS.map(({ id }) => id), "eva", "dist"]);

/** Where systems are at home: their records, with the registry, and what reads their published files. */
const HOMES = ["models/", "train/recipe/dialects/"];

const KNOWN: readonly string[] = [];

Deno.test("no code outside a system's own files and dialects names a system", async () => {
  const texts = await readTexts(root, {
    folders: [...ROOMS, "tools"],
    endings: [".ts", ".js", ".wgsl"],
  });
  texts.push({ file: "mod.ts", text: await Deno.readTextFile(new URL("mod.ts", root)) });
  const outside = texts.filter(({ file }) => !HOMES.some((home) => file.startsWith(home)));
  const places = findSystemNames(outside, names).map(({ file, line, name }) => ({
    place: `${file}: ${name}`,
    line,
  }));
  assert.deepEqual(places.filter(({ place }) => !KNOWN.includes(place)), []);
});

Deno.test("systemNames() gives the words that are a system's own", () => {
  assert.deepEqual(systemNames(["side4video", "side4video-eva", "tds-clip"]), ["side4video", "eva", "tds"]);
});

for (
  const [code, found] of [
    ["const distStep = DIST_RATE;", ["dist"]],
    ["class DiSTBranch {}", ["dist"]],
    ['const title = "DiST";', ["dist"]],
    ["interface TdsClip { tdsWindow: 1 }", ["tds"]],
    ["const TDS_WINDOW = 5;", ["tds"]],
    ['import { Side4Video } from "./x.ts";', ["side4video"]],
    ['import "../models/side4video_eva.ts";', ["side4video", "eva"]],
    ["const isEva = presets.EVA02;", ["eva"]],
    ["distance(distribution, evaluate, primeval, redist); // dist", []],
    ["/* side4video\n */ const a = `${tds}`;", ["tds"]],
  ] as [string, string[]][]
) {
  Deno.test(`findSystemNames() finds ${found.join(" and ") || "nothing"} in: ${JSON.stringify(code)}`, () => {
    const places = findSystemNames([{ file: "x.ts", text: `\n${code}` }], names);
    const line = code.split("\n").length + 1;
    assert.deepEqual(places, found.map((name) => ({ file: "x.ts", line, name })));
  });
}
