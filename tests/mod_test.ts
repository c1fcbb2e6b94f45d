/** sidenet as a library: the page of it is true, its blocks run from another folder, and nothing is hidden in between. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { formatConfig, loadConfig } from "../train/recipe/config.ts";
import { withoutComments } from "../tools/sources.ts";
import { gpuTest } from "./_util/gpu.ts";

const ROOT = new URL("../", import.meta.url);
const at = (path: string) => fileURLToPath(new URL(path, ROOT));
const PAGE = await Deno.readTextFile(at("docs/library.md"));

/** What a process keeps between calls, by file: each changes no result of a later call. */
const KEPT: Readonly<Record<string, string>> = {
  "data/files.ts unfinished": "names of files being written",
  "data/frames/decode_pool.ts idleWorkers":
    "decode workers at rest, where the command line or the tests keep them",
  "data/frames/decode_worker.ts previous": "of a Worker: the clip under way",
  "data/frames/shared_garbage.ts collect": "the engine's collector, looked up once",
  "data/frames/shared_garbage.ts released": "bytes let go of since the last collection",
  "data/search_index/_dot_products.ts compiled": "a WebAssembly module, compiled once",
  "data/text/vocabulary.ts loaded": "tables of tokens, read once",
  "data/video/probe.ts known": "what files of videos say, for as long as they stay as they are",
  "gpu/frames/kernel.ts kernels": "pipelines by device",
  "gpu/graph.ts nextTensorId": "the counter of tensors",
  "gpu/op.ts OPS": "the registry of ops",
  "gpu/shader.ts layouts": "layouts of uniforms by the text of the shader",
  "gpu/tuning/family.ts made": "kernels by the environment that they are made for",
  "lib/half.ts scratchBits": "eight bytes to look at a number's bits in",
  "lib/half.ts scratchFloat": "the same",
  "lib/half.ts scratchHalf": "the same",
  "lib/half.ts scratchHalfBits": "the same",
  "models/registry.ts systems": "the registry of systems",
  "pages/parts/registry.ts PARTS": "the registry of page parts",
  "train/recipe/dialects/registry.ts registered": "the registry of dialects",
  "train/recipe/schema.ts remembered": "the schema of recipes for the systems there are",
  "train/runtime/device/compile.ts compiledBy": "kernels that a device has compiled",
  "train/runtime/device/remote_device.ts idleWorkers":
    "GPU Workers without a device, where the command line or the tests keep them",
  "train/tasks/registry.ts TASKS": "the registry of tasks",
};

async function deno(args: string[], cwd = fileURLToPath(ROOT)): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd }).output();
  const [text, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.equal(code, 0, errors);
  return text;
}

/** A text without what stands in templates, of which one may hold others. */
function withoutTemplates(text: string): string {
  let kept = "";
  const open: ("`" | "{" | "${")[] = [];
  for (let i = 0; i < text.length; i++) {
    const inTemplate = open.at(-1) === "`";
    if (text[i] === "\\" && inTemplate) i++;
    else if (text[i] === "`") {
      if (inTemplate) open.pop();
      else open.push("`");
    } else if (inTemplate) {
      if (text.startsWith("${", i)) open.push("${");
    } else {
      if (text[i] === "{" && open.at(-1) !== undefined) {
        if (text[i - 1] !== "$") open.push("{");
      } else if (text[i] === "}" && open.at(-1) !== undefined) open.pop();
      if (!open.includes("`")) kept += text[i];
    }
  }
  return kept;
}

/** Names at the top level of a module that are assigned or filled later. */
function stateIn(text: string): string[] {
  const code = withoutTemplates(withoutComments(text));
  const names = [...code.matchAll(/^(?:export )?let ([^;]+)/gm)]
    .flatMap(([, list]) => [...list.matchAll(/(?:^|, )(\w+)(?=:| =|,|$)/g)].map(([, name]) => name));
  for (const [, name] of code.matchAll(/^(?:export )?const (\w+)/gm)) {
    const changed =
      `\\b${name}(?:\\.(?:set|add|delete|clear|push|pop|splice|shift|unshift|sort)\\(|\\[[^\\]]+\\] = )`;
    if (new RegExp(changed).test(code)) names.push(name);
  }
  return names;
}

Deno.test("stateIn() sees variables and collections that are changed, and leaves constants alone", () => {
  const text =
    "let a = 1, b: X | null = null;\nexport const c = new Map();\nc.set(1, 2);\nconst d = new Set([1]);\n" +
    "const e = [];\ne.push(1);\nfunction f() {\n  let g = 1;\n  const h = []; h.push(g);\n}\n/* let i = 1; */\n";
  assert.deepEqual(stateIn(text), ["a", "b", "c", "e"]);
});

Deno.test("nothing that mod.ts reaches keeps state but what is known, prints, reads the environment or exits", async () => {
  const { modules } = JSON.parse(await deno(["info", "--json", "mod.ts"]));
  const files = modules.map(({ specifier }: { specifier: string }) => specifier)
    .filter((specifier: string) => specifier.startsWith(ROOT.href) && specifier.endsWith(".ts"))
    .map((specifier: string) => specifier.slice(ROOT.href.length));
  assert.ok(files.includes("train/run/trainer.ts"));
  assert.deepEqual(files.filter((file: string) => /^(?:cli|bench|tests|tools)\//.test(file)), []);
  const kept: string[] = [];
  for (const file of files) {
    const text = await Deno.readTextFile(at(file)), code = withoutComments(text);
    kept.push(...stateIn(text).map((name) => `${file} ${name}`));
    const touched = /\bconsole\.\w|\bDeno\.(?:env|exit)\b|\bprocess\.(?:env|exit|stdout|stderr)\b/.exec(code);
    assert.equal(touched, null, `${file}: ${touched?.[0]}`);
  }
  assert.deepEqual(kept.sort(), Object.keys(KEPT).sort());
});

Deno.test("docs/library.md lists what mod.ts exports, and each of it has a docstring", async () => {
  const { nodes } = JSON.parse(await deno(["doc", "--json", "mod.ts"]));
  const [{ symbols }] = Object.values(nodes) as {
    symbols: { name: string; declarations: { jsDoc?: { doc?: string } }[] }[];
  }[];
  const bare = symbols.filter(({ declarations }) => !declarations.some(({ jsDoc }) => jsDoc?.doc));
  assert.deepEqual(bare.map(({ name }) => name), [], "without a docstring");
  const list = PAGE.slice(PAGE.indexOf("## What there is"));
  const listed = [...list.matchAll(/`(\w+)`/g)].map(([, name]) => name);
  assert.deepEqual(listed.sort(), symbols.map(({ name }) => name).sort());
});

/** The same recipes on so little that a block takes seconds: it is the page that is tested, not the demos. */
const TINY = [
  ["configs/demo.yaml", ["data.synth.train_clips=16", "data.synth.val_clips=8", "data.batch_size=8"]],
  ["configs/demo_retrieval.yaml", [
    "data.synth.train_clips=16",
    "data.synth.val_clips=8",
    "data.batch_size=8",
  ]],
] as const;

/** The code of the first example in a module's documentation. */
function exampleIn(text: string): string {
  const [, code] = /@example\n \* ```ts\n([^]*?) \* ```/.exec(text) ?? [];
  return code.replaceAll(/^ \* ?/gm, "");
}

gpuTest(
  "every block of docs/library.md and of mod.ts runs, in a folder whose import map is one line",
  async () => {
    const example = exampleIn(await Deno.readTextFile(at("mod.ts")));
    assert.ok(example.trim().split("\n").length <= 20, example);
    const blocks = [...PAGE.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code]) => code);
    assert.ok(blocks.length >= 6);
    blocks.push(example.replace("./mod.ts", "sidenet"));
    const folder = await Deno.makeTempDir({ prefix: "sidenet-library-" });
    try {
      await Deno.mkdir(join(folder, "configs"));
      for (const [path, overrides] of TINY) {
        const quick = [...overrides, "data.workers=1", "data.num_segments=4", "network.backbone.layers=1"];
        await Deno.writeTextFile(
          join(folder, path),
          formatConfig((await loadConfig(at(path), quick)).config),
        );
      }
      const [, map] = /^```json\n([^]*?)^```$/m.exec(PAGE)!;
      await Deno.writeTextFile(join(folder, "deno.json"), map.replace("../sidenet/mod.ts", at("mod.ts")));
      for (const [i, code] of blocks.entries()) await Deno.writeTextFile(join(folder, `${i}.ts`), code);
      const steps = blocks.map((_, i) => `console.log("# ${i}");\nawait import("./${i}.ts");\n`).join("");
      await Deno.writeTextFile(join(folder, "all.ts"), steps);
      const text = await deno(["run", "-A", "--quiet", "--no-check", "all.ts"], folder);
      const said = text.split(/^# \d+\n/m).slice(1);
      assert.match(said[0], /^(?:\d+ \d[\d.]*\n){2,}.+ [01](\.\d+)?\n$/, "training");
      assert.match(said[1], /^\d{6,} \d+ \[ 8 \] \d+\n\d+\n[\d.e-]+\n$/, "the plan");
      assert.match(said[2], /^[01](\.\d+)? 8\n$/, "the evaluation");
      assert.match(said[3], /^demo_data\/\S+ .*% .* 0\n$/, "predictions");
      assert.match(said[4], /^demo\.onnx \d+ \[ "frames" \]\n$/, "the export");
      assert.match(said[5], /^24 0\n(demo_retrieval_data\/\S+ 0 [\d.]+ -?[\d.e-]+\n){3}\S+\n$/, "the search");
      const found = said[5].trim().split("\n");
      assert.equal(found.at(-1), found[1].split(" ")[0], "a clip is most like itself");
      assert.match(said[6], /^2 Cannot .*lr/, "errors");
      assert.match(
        said[7],
        /^(?:\d+ \d[\d.]*\n)+\d+ .+\n[01](\.\d+)?\n {1,8}[\d.]+ % {2}(left|right|up|down)\n$/,
        "the example of mod.ts",
      );
      const written = [...Deno.readDirSync(join(folder, "evaluated"))].map(({ name }) => name);
      for (const name of ["eval.json", "predictions.csv", "report.html"]) {
        assert.ok(written.includes(name), name);
      }
      assert.ok((await Deno.stat(join(folder, "runs/demo/report.html"))).isFile);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);
