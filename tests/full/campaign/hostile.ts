/** Hostile and oversized input: every kind of file that sidenet reads, from somebody who means harm or from a broken disk. */
import fc from "fast-check";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import { createPrng } from "../../../lib/random.ts";
import { recipeSchema } from "../../../train/recipe/schema.ts";
import { damagedFiles, realFiles } from "../../_util/checkpoint_fuzz.ts";
import { pngOf, statedJpeg, statedPng } from "../../_util/huge_pictures.ts";
import type { Attack } from "./attack.ts";
import { tryOn } from "./_tries.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const any = [0, 1, 2, 4];

/** Files in place of a frame. Each is written by a call, so that those of no bytes of their own are possible. */
const FRAMES: Record<string, (file: string) => Promise<unknown>> = {
  "a JPEG of 60000x60000": async (file) => Deno.writeFile(file, await statedJpeg(60_000, 60_000)),
  "a PNG of 16000x16000": (file) => Deno.writeFile(file, statedPng(16_000, 16_000)),
  "a PNG that unpacks to 512 MB": (file) =>
    Deno.writeFile(
      file,
      pngOf(64_000, 64_000, { bits: 1, type: 0, data: deflateSync(new Uint8Array(64_000 * 8001)) }),
    ),
  "8 GiB of nothing": async (file) => {
    await Deno.writeFile(file, encode("\xff\xd8\xff"));
    await Deno.truncate(file, 2 ** 33);
  },
  "a pipe": (file) => new Deno.Command("mkfifo", { args: [file] }).output(),
  "a folder": (file) => Deno.mkdir(file),
  "a link to itself": (file) => Deno.symlink(file, file),
  "a link to /dev/zero": (file) => Deno.symlink("/dev/zero", file),
  "a drawing with a script": (file) =>
    Deno.writeFile(
      file,
      encode(`<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"><script>1</script></svg>`),
    ),
  "random bytes": (file) => Deno.writeFile(file, crypto.getRandomValues(new Uint8Array(9000))),
};

/** Files in place of a video. */
const VIDEOS: Record<string, string> = {
  "a playlist": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
  "a concat script": "ffconcat version 1.0\nfile '/etc/passwd'\n",
  "a session description":
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
  "a filter graph": "testsrc=size=8000x8000",
  "a dash manifest": `<?xml version="1.0"?><MPD><Period><AdaptationSet/></Period></MPD>`,
  "nothing": "",
  "random text": "moov mdat ftypisom".repeat(500),
};

const BOMB = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"].concat(
  Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(", ")}]`),
).join("\n");

/** Texts in place of a recipe. */
const RECIPES: Record<string, () => string> = {
  "aliases of aliases": () => BOMB,
  "an anchor in itself": () => "data: &a {x: *a}",
  "700,000 keys": () => Array.from({ length: 700_000 }, (_, i) => `k${i}: 1`).join("\n"),
  "a hundred levels": () => Array.from({ length: 100 }, (_, i) => " ".repeat(i) + "a:").join("\n"),
  "keys in keys": () => "? ".repeat(9000),
  "lists in lists": () => "[".repeat(30_000),
  "a hundred million layers": () =>
    "network: {backbone: {layers: 100000000, width: 64, heads: 1, image_size: 32, patch_size: 8}}",
  "a batch of a billion": () => "data: {batch_size: 1000000000, num_classes: 2}",
  "control characters": () => 'name: "\\e[2J\\nsidenet: done"\nx\u009b: 1',
};

/** Texts in place of a list of clips. */
const LISTS: Record<string, () => string> = {
  "a line of 20 MB": () => "x".repeat(20_000_000) + " 8 0\n",
  "half a million lines": () => "train/00000 8 0\n".repeat(500_000) + "train/00000 8 x\n",
  "zero bytes": () => "\0".repeat(5000),
  "a huge label": () => "train/00000 8 99999999999999999999\n",
  "a negative label": () => "train/00000 8 -1\n",
  "names with escapes": () => "train/\x1b]0;x\x07\x1b[2J 8 0\ntrain/\u202egpj 8 5\n",
  "paths that lead away": () => "../../../../etc 8 0\n/proc/self 8 1\n",
  "JSON": () => `{"a": ${"[".repeat(50_000)}`,
};

/** Names of classes. */
const NAMES = [
  "\x1b[31mred\x1b]0;title\x07",
  "<script>alert(1)</script><img src=x onerror=alert(1)>",
  '=HYPERLINK("http://x","y")',
  "a\nsidenet: Cannot read\nb",
  "x".repeat(20_000),
  "\u202ereversed\u2066",
];

/** Files of a run folder and of a folder of features, with verbs that read them. */
const MANGLED: readonly (readonly [file: string, args: readonly string[]])[] = [
  ["runs/tiny/summary.json", ["compare", "runs/tiny", "runs/tiny"]],
  ["runs/tiny/metrics.jsonl", ["compare", "runs/tiny", "runs/tiny"]],
  ["runs/tiny/metrics.jsonl", ["train", "--resume", "runs/tiny"]],
  ["runs/tiny/config.yaml", ["eval", "runs/tiny"]],
  ["runs/tiny/config.yaml", ["train", "--resume", "runs/tiny"]],
  ["runs/tiny/best.safetensors", ["eval", "runs/tiny"]],
  ["runs/tiny/state.safetensors", ["train", "--resume", "runs/tiny"]],
  ["features/features.json", ["train", "tiny.yaml", "name=f", "data.features=features", "solver.epochs=1"]],
  ["features/train-00000.safetensors", [
    "train",
    "tiny.yaml",
    "name=f",
    "data.features=features",
    "solver.epochs=1",
  ]],
];

/** A value of a table by the number of the try. */
function entry<T>(table: Record<string, T>, number: number): T {
  const values = Object.values(table);
  return values[number % values.length];
}

async function mangle(file: string, number: number): Promise<void> {
  const bytes = await Deno.readFile(file), draws = createPrng(10, number);
  const kind = number % 4, at = draws.integer(bytes.length);
  if (kind === 0) return await Deno.writeFile(file, bytes.subarray(0, at));
  if (kind === 1) {
    return await Deno.writeFile(file, encode(["{}", "null", "[]", "", '{"a": 1e999}'][draws.integer(5)]));
  }
  for (let i = 0; i < (kind === 2 ? 1 : 50); i++) bytes[draws.integer(bytes.length)] = draws.integer(256);
  await Deno.writeFile(file, bytes);
}

const part = "hostile input";

export const HOSTILE_ATTACKS: readonly Attack[] = [
  {
    part,
    what: "pictures: huge, packed, no pictures at all",
    tries: 4 * Object.keys(FRAMES).length,
    attempt: (folder, number) =>
      tryOn(folder, async (work) => {
        const verb = Math.floor(number / Object.keys(FRAMES).length) % 4;
        const clip = ["train", "val", "val", "train"][verb] + "/00001";
        for (const frame of [1, 2, 3, 4, 5, 6, 7, 8]) {
          const file = join(work, "data", clip, `0000${frame}.jpg`);
          await Deno.remove(file);
          await entry(FRAMES, number)(file);
        }
        if (verb === 0) return { args: ["train", "tiny.yaml", "name=t", "solver.epochs=1"], codes: [0] };
        if (verb === 1) return { args: ["eval", "runs/tiny"], codes: [0] };
        if (verb === 2) return { args: ["predict", "runs/tiny", `data/${clip}`], codes: [4] };
        return { args: ["check", "data/train.txt", "--root", "data"], codes: [4] };
      }),
  },
  {
    part,
    what: "videos: playlists, scripts, descriptions",
    tries: 3 * Object.keys(VIDEOS).length,
    attempt: (folder, number) =>
      tryOn(folder, async (work) => {
        const name = ["a.mp4", "-i.mkv", "concat:b.avi"][Math.floor(number / Object.keys(VIDEOS).length)];
        await Deno.writeTextFile(join(work, name), entry(VIDEOS, number));
        return { args: ["predict", "runs/tiny", `./${name}`], codes: [4] };
      }),
  },
  {
    part,
    what: "recipes: bombs, depth, numbers, by four verbs",
    tries: 4 * Object.keys(RECIPES).length,
    attempt: (folder, number) =>
      tryOn(folder, async (work) => {
        const verb = Math.floor(number / Object.keys(RECIPES).length) % 4;
        const args = [["plan", "x.yaml"], ["train", "x.yaml"], ["eval", "runs/tiny"], [
          "train",
          "--resume",
          "runs/tiny",
        ]];
        await Deno.writeTextFile(
          join(work, verb < 2 ? "x.yaml" : "runs/tiny/config.yaml"),
          entry(RECIPES, number)(),
        );
        return { args: args[verb], codes: [2], mostMs: 10_000 };
      }),
  },
  {
    part,
    what: "numbers in any key of a recipe",
    tries: 40,
    attempt: (folder, number) =>
      tryOn(folder, () => {
        const draws = createPrng(11, number), keys = recipeSchema().keys.map(({ name }) => name);
        const values = [
          "1e9",
          "-1",
          "0",
          "1e308",
          ".inf",
          ".nan",
          "99999999999999999999",
          "0.5",
          "[1e9, 1e9]",
          "[[]]",
        ];
        const set = `${keys[draws.integer(keys.length)]}=${values[draws.integer(values.length)]}`;
        return Promise.resolve({ args: ["plan", "tiny.yaml", set], codes: any });
      }),
  },
  {
    part,
    what: "lists of clips",
    tries: 2 * Object.keys(LISTS).length,
    attempt: (folder, number) =>
      tryOn(folder, async (work) => {
        await Deno.writeTextFile(join(work, "data", "train.txt"), entry(LISTS, number)());
        return number < Object.keys(LISTS).length
          ? { args: ["train", "tiny.yaml", "name=t", "solver.epochs=1"], codes: any }
          : { args: ["check", "data/train.txt", "--root", "data"], codes: any };
      }),
  },
  {
    part,
    what: "names of classes in terminal, table and pages",
    tries: NAMES.length,
    attempt: async (folder, number) => {
      const damage = await tryOn(folder, async (work) => {
        const quoted = `"${NAMES[number].replaceAll('"', '""')}"`;
        await Deno.writeTextFile(join(work, "data", "labels.csv"), `id,name\n0,${quoted}\n1,right\n`);
        return {
          args: ["eval", "runs/tiny", "data.label_list=data/labels.csv", "--per-class"],
          codes: [0, 4],
        };
      });
      if (damage !== null) return damage;
      const results = join(folder, "work", "runs", "tiny", "eval");
      const page = await Deno.readTextFile(join(results, "report.html")).catch(() => "");
      if (/<script>alert|<img src=x/.test(page)) {
        return { kind: "wrong file", detail: "a name is markup in the page" };
      }
      const table = await Deno.readTextFile(join(results, "predictions.csv")).catch(() => "");
      return /(^|,)"?=/m.test(table)
        ? { kind: "wrong file", detail: "a name is a formula in the table" }
        : null;
    },
  },
  {
    part,
    what: "damaged checkpoints",
    tries: 40,
    attempt: (folder, number) =>
      tryOn(folder, async (work) => {
        const [bytes] = fc.sample(damagedFiles(await realFiles()), { seed: number, numRuns: 1 });
        await Deno.writeFile(join(work, "x.pt"), bytes);
        const verbs = [["inspect", "x.pt"], ["convert", "x.pt", "y.safetensors"], ["eval", "x.pt"]];
        return { args: verbs[number % 3], codes: any };
      }),
  },
  {
    part,
    what: "mangled files of runs and features",
    tries: 4 * MANGLED.length,
    attempt: (folder, number) =>
      tryOn(folder, async (work) => {
        const [file, args] = MANGLED[number % MANGLED.length];
        await mangle(join(work, file), Math.floor(number / MANGLED.length) + 4 * number);
        return { args: [...args], codes: any };
      }),
  },
];
