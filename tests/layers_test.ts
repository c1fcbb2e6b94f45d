/** Who may import whom, over the whole project; and that the checker sees each kind of violation. */
import assert from "node:assert/strict";
import { SYSTEMS } from "../models/registry.ts";
import { findViolations, ROOMS, ROOT_MODULE, TRAIN_ROOMS } from "../tools/layers.ts";
import { readSources, type SourceFile } from "../tools/sources.ts";

const root = new URL("../", import.meta.url);
/** Those that stand beside a tower: a tower that is a system of its own is shared by all. */
const sideNetworks = SYSTEMS.map(({ id }) => id.replaceAll("-", "_")).filter((id) => id !== "clip");
const options = { sideNetworks: [...sideNetworks, "dist"] };
const sources = await readSources(root, { folders: ROOMS, files: [ROOT_MODULE] });

const KNOWN: readonly string[] = [];

Deno.test("imports point one way and in no circle, folders are small, the outside world is touched only in cli/", () => {
  const violations = findViolations(sources, options).map(({ file, rule }) => `${file}: ${rule}`);
  assert.deepEqual(violations.filter((violation) => !KNOWN.includes(violation)), []);
});

Deno.test("the sources read for the check cover every room and know their imports", () => {
  for (const room of ROOMS) {
    assert.ok(sources.some(({ file }) => file.startsWith(`${room}/`)), `no file of ${room}/`);
  }
  const imports = (file: string) => sources.find((source) => source.file === file)?.imports ?? [];
  assert.ok(imports("gpu/device.ts").includes("lib/errors.ts"), "a plain import");
  assert.ok(imports("gpu/device.ts").includes("gpu/op.ts"), "an import of types");
  assert.ok(imports("cli/_verbs.ts").includes("cli/doctor.ts"), "a dynamic import");
  assert.ok(imports("cli/shared/args.ts").includes("node:util"), "a module of Node.js");
  assert.ok(imports("gpu/ops/add.ts").includes("gpu/ops/add.wgsl"), "a shader");
  const pool = sources.find(({ file }) => file === "data/frames/decode_pool.ts");
  assert.deepEqual(pool?.workers, ["data/frames/decode_worker.ts"], "a worker");
});

/** A file that breaks one rule, and how the rule is reported. */
const PLANTED: readonly { source: Partial<SourceFile> & { file: string }; rule: string }[] = [
  {
    source: { file: "gpu/x.ts", imports: ["models/params.ts"] },
    rule: "gpu must not import models/params.ts",
  },
  { source: { file: "gpu/ops/x.ts", imports: ["data/files.ts"] }, rule: "gpu must not import data/files.ts" },
  { source: { file: "data/x.ts", imports: ["gpu/device.ts"] }, rule: "data must not import gpu/device.ts" },
  {
    source: { file: "data/x.ts", imports: ["models/params.ts"] },
    rule: "data must not import models/params.ts",
  },
  { source: { file: "lib/x.ts", imports: ["gpu/device.ts"] }, rule: "lib must not import gpu/device.ts" },
  {
    source: { file: "models/x.ts", imports: ["train/trainer.ts"] },
    rule: "models must not import train/trainer.ts",
  },
  {
    source: { file: "models/x.ts", imports: ["data/files.ts"] },
    rule: "models must not import data/files.ts",
  },
  { source: { file: "train/x.ts", imports: ["cli/main.ts"] }, rule: "train must not import cli/main.ts" },
  {
    source: { file: "cli/x.ts", imports: ["tests/_util/gpu.ts"] },
    rule: "cli must not import tests/_util/gpu.ts",
  },
  { source: { file: "mod.ts", imports: ["tools/ok.ts"] }, rule: "mod.ts must not import tools/ok.ts" },
  {
    source: { file: "models/dist.ts", imports: ["models/side4video.ts"] },
    rule: "the side network dist must not import another, side4video",
  },
  {
    source: { file: "models/tds_clip_block.ts", imports: ["models/dist/branch.ts"] },
    rule: "the side network tds_clip must not import another, dist",
  },
  {
    source: { file: "train/recipe/x.ts", imports: ["train/run/a.ts"] },
    rule: "train/recipe comes before train/run/a.ts",
  },
  {
    source: { file: "train/runtime/x.ts", workers: ["train/parity/a.ts"] },
    rule: "train/runtime comes before train/parity/a.ts",
  },
  { source: { file: "train/other/x.ts" }, rule: "train/ has no such room" },
  { source: { file: "train/run/x.ts", imports: ["pages/a.ts"] }, rule: "train must not import pages/a.ts" },
  {
    source: { file: "gpu/x.ts", imports: ["gpu/ops/_tile.ts"] },
    rule: "gpu/ops/_tile.ts is private to its folder",
  },
  { source: { file: "models/x.ts", imports: ["node:path"] }, rule: 'models/ must not import "node:path"' },
  { source: { file: "gpu/x.ts", text: "Deno.readFileSync(path);" }, rule: "gpu/ must not use Deno" },
  { source: { file: "lib/x.ts", text: "await Deno.stat(path);" }, rule: "lib/ must not use Deno" },
  { source: { file: "train/x.ts", text: "console.log(1);" }, rule: "console belongs in cli/" },
  { source: { file: "data/x.ts", text: 'const a = "//"; Deno.exit(1);' }, rule: "Deno.exit belongs in cli/" },
  { source: { file: "train/x.ts", text: 'Deno\n  .env.get("HOME")' }, rule: "Deno.env belongs in cli/" },
  { source: { file: "train/x.ts", text: "`${process.env.HOME}`" }, rule: "process.env belongs in cli/" },
  { source: { file: "models/mod.ts", text: "export const a = 1;" }, rule: "mod.ts must only re-export" },
  {
    source: { file: "gpu/mod.ts", text: 'export * from "./op.ts";\nimport "./device.ts";' },
    rule: "mod.ts must only re-export",
  },
];

for (const { source, rule } of PLANTED) {
  Deno.test(`findViolations() flags: ${rule}, in ${source.file}`, () => {
    const planted = { imports: [], text: "", ...source };
    assert.deepEqual(findViolations([planted], options), [{ file: source.file, rule }]);
  });
}

const file = (name: string, ...imports: string[]): SourceFile => ({ file: name, imports, text: "" });

Deno.test("findViolations() flags circles, each by one shortest way round", () => {
  const circles = [
    file("data/a.ts", "data/b.ts", "node:path"),
    file("data/b.ts", "data/c.ts", "data/d.ts"),
    file("data/c.ts", "data/d.ts"),
    file("data/d.ts", "data/a.ts", "data/e.ts"),
    file("data/e.ts", "lib/a.ts"),
    file("lib/a.ts", "lib/a.ts"),
    file("tests/a.ts", "tests/b.ts"),
    file("tests/b.ts", "tests/a.ts"),
  ];
  assert.deepEqual(findViolations(circles, options), [
    { file: "data/a.ts", rule: "imports itself by way of data/b.ts, data/d.ts" },
    { file: "lib/a.ts", rule: "imports itself" },
  ]);
});

Deno.test("findViolations() flags a folder of more than twenty files, unless it is a list of like ones", () => {
  const files = (folder: string, count: number) =>
    Array.from({ length: count }, (_, i) => file(`${folder}/${i}.ts`));
  const folders = [files("data", 20), files("data/a", 21), files("gpu/ops", 30), files("tests", 30)].flat();
  assert.deepEqual(findViolations(folders, options), [
    { file: "data/a", rule: "holds 21 files, more than 20" },
  ]);
});

Deno.test("the rooms of train/ may import those before them", () => {
  const files = TRAIN_ROOMS.map((room, place) =>
    file(`train/${room}/x.ts`, ...TRAIN_ROOMS.slice(0, place + 1).map((earlier) => `train/${earlier}/a.ts`))
  );
  assert.deepEqual(findViolations(files, options), []);
});

Deno.test("findViolations() lets pass what is allowed", () => {
  const allowed: SourceFile[] = [
    {
      file: "cli/x.ts",
      imports: ["train/a.ts", "gpu/a.ts", "cli/shared/args.ts", "node:path"],
      text: "console.log(Deno.env);",
    },
    {
      file: "train/x.ts",
      imports: ["models/a.ts", "data/a.ts", "lib/a.ts", "npm:yaml@2.9.1"],
      text: "await Deno.stat(a);",
    },
    {
      file: "models/dist.ts",
      imports: ["models/clip/vit.ts", "models/_blocks.ts", "models/dist_branch.ts"],
      text: "",
    },
    {
      file: "gpu/x.ts",
      imports: ["gpu/ops/add.wgsl"],
      text: '// console.log and Deno.exit\nconst a = "Deno.exit";',
    },
    {
      file: "mod.ts",
      imports: ["train/a.ts"],
      text: '/** API. */\nexport { type A, b } from "./train/a.ts";\n',
    },
    { file: "tests/x_test.ts", imports: ["train/_private.ts"], text: "console.log(1);" },
  ];
  assert.deepEqual(findViolations(allowed, options), []);
});
