/** Networks for retrieval as a user meets them: trained, stopped, gone on with, evaluated, and used to find clips. */
import assert from "node:assert/strict";
import { join } from "node:path";
import * as evaluate from "../../cli/eval.ts";
import * as index from "../../cli/index.ts";
import * as predict from "../../cli/predict.ts";
import * as search from "../../cli/search.ts";
import * as train from "../../cli/train.ts";
import { packedVocabulary } from "../../data/text/vocabulary.ts";
import { ConfigError, DataError } from "../../lib/errors.ts";
import { openCheckpoint } from "../../train/files/checkpoint.ts";
import { wordsOf } from "../../train/files/run_state.ts";
import { readMetrics } from "../../train/files/run_folder.ts";
import { gpuTest } from "../_util/gpu.ts";
import { runVerb } from "../_util/run_verb.ts";
import { writeTinyClip } from "../_util/tiny_clip.ts";
import { captionedFolder } from "./_tiny_captions.ts";
import type { TinyFolder } from "./_tiny.ts";

interface Found {
  query: string;
  hits: { path: string; from: number; to: number; score: number }[];
}

const linesOf = <T>(text: string): T[] => text.trim().split("\n").map((line) => JSON.parse(line));

async function bitsOf(path: string): Promise<Map<string, Uint32Array>> {
  await using source = await openCheckpoint(path);
  const tensors = new Map<string, Uint32Array>();
  for (const name of source.names()) tensors.set(name, new Uint32Array((await source.readF32(name)).buffer));
  return tensors;
}

/** Whole lines of a file; 0 where there is none. */
function linesIn(path: string): number {
  try {
    return Deno.readTextFileSync(path).split("\n").length - 1;
  } catch {
    return 0;
  }
}

/** Runs a command and sends it a signal when it says something. */
async function stopped(
  folder: TinyFolder,
  args: string[],
  { signal, at }: { signal: Deno.Signal; at: string },
) {
  let sent = false;
  return await folder.sidenet(args, {
    onStderr: (text, child) => {
      if (sent || !text.includes(at)) return;
      sent = true;
      child.kill(signal);
    },
  });
}

gpuTest(
  "train, interrupt, resume, eval, index, search: the same weights, and the same scores everywhere",
  async () => {
    await using folder = await captionedFolder();
    const data = `data.root=${folder.file("data")}`;
    const keys = [
      data,
      ...["train", "val"].map((split) => `data.${split}_list=${folder.file("data", `${split}.jsonl`)}`),
    ];
    const whole = ["captions.yaml", "name=whole"].map((arg, i) => i === 0 ? folder.file(arg) : arg);
    const run = await runVerb(train, [...whole, `run_root=${folder.file("runs")}`, ...keys]);
    assert.equal(run.code, 0, run.stderr);

    const cut = await stopped(folder, ["train", "captions.yaml", "name=parts", ...keys], {
      signal: "SIGINT",
      at: " step 3/",
    });
    assert.equal(cut.code, 130, cut.stderr);
    const resumed = await runVerb(train, ["--resume", folder.file("runs/parts")]);
    assert.equal(resumed.code, 0, resumed.stderr);
    for (const file of ["last.safetensors", "state.safetensors"]) {
      const bits = await bitsOf(folder.file("runs/whole", file));
      assert.ok(bits.size > 10);
      assert.deepEqual(await bitsOf(folder.file("runs/parts", file)), bits, file);
    }

    // What the untrained network found stands beside the result, once, also of a run that was stopped.
    const baselines = await Promise.all(["whole", "parts"].map(async (name) => {
      const { evals } = await readMetrics(folder.file("runs", name));
      const { baseline, best } = await folder.json<{ baseline: object; best: { step: number } }>(
        `runs/${name}/summary.json`,
      );
      assert.deepEqual(evals.map(({ step }) => step), [0, 4, 8]);
      assert.deepEqual({ kind: "eval", epoch: -1, step: 0, ...baseline }, evals[0]);
      assert.ok(best.step > 0);
      return baseline;
    }));
    assert.deepEqual(baselines[0], baselines[1]);

    const evaluated = await runVerb(evaluate, [
      folder.file("runs/parts"),
      ...["--json", "--per-class", "--probabilities"],
    ]);
    assert.match(evaluated.stderr, /^warning: --per-class has no effect: retrieval knows no classes$/m);
    assert.match(evaluated.stderr, /^warning: --probabilities has no effect: retrieval gives classes no/m);
    const metrics = JSON.parse(evaluated.stdout),
      summary = await folder.json<Record<string, number>>("runs/parts/summary.json");
    for (
      const key of [
        "t2v_r1",
        "t2v_r5",
        "t2v_r10",
        "t2v_median_rank",
        "t2v_mean_rank",
        "v2t_r1",
        "v2t_mean_rank",
      ]
    ) {
      assert.equal(typeof metrics[key], "number", key);
      assert.equal(typeof summary[key], "number", key);
    }

    // Killed in the middle, it goes on without doing anything twice.
    const out = folder.file("index"), of = 24;
    const collection = [folder.file("data/train"), folder.file("data/val")];
    const args = [folder.file("runs/parts"), ...collection, "--out", out];
    const killed = await folder.sidenet(["index", ...args, "data.batch_size=2", "data.workers=1"], {
      onStart: (child) => {
        const look = setInterval(() => {
          if (linesIn(folder.file("index/unfinished.jsonl")) < 4) return;
          clearInterval(look);
          child.kill("SIGKILL");
        }, 1);
        child.status.finally(() => clearInterval(look));
      },
    });
    assert.notEqual(killed.code, 0);
    const there = linesIn(folder.file("index/unfinished.jsonl")) - 1;
    assert.ok(there >= 2 && there < of, String(there));
    const indexed = await runVerb(index, [...args, "data.batch_size=2", "--json"]);
    assert.equal(indexed.code, 0, indexed.stderr);
    const { clips: count, embedded, kept } = JSON.parse(indexed.stdout);
    assert.deepEqual({ count, embedded, kept }, { count: of, embedded: of - there, kept: there });

    // The hits are those of the evaluation.
    const rows = linesOf<Found & { path: string }>(
      await Deno.readTextFile(folder.file("runs/parts/eval/retrieval.jsonl")),
    );
    await folder.write("queries.txt", rows.map(({ query }) => query).join("\n\n"));
    const found = await runVerb(search, [
      out,
      "--queries",
      folder.file("queries.txt"),
      "--top",
      "24",
      "--json",
    ]);
    const answers = linesOf<Found>(found.stdout);
    assert.deepEqual(answers.map(({ query }) => query), rows.map(({ query }) => query));
    for (const [i, { hits: all }] of answers.entries()) {
      const hits = all.filter(({ path }) => path.includes("/val/")).slice(0, 5);
      assert.deepEqual(
        hits.map(({ path }) => path),
        rows[i].hits.map(({ path }) => folder.file("data", path)),
      );
      hits.forEach(({ from, to, score }, k) => {
        assert.ok(Math.abs(score - rows[i].hits[k].score) < 1e-5);
        assert.deepEqual([from, to], [0, 0.667]);
      });
    }

    // Shares of classes are a softmax of the same scores, times the scale that the network was trained with.
    const flags = ["--classes", "left,right", "--templates", "something moves {}", "--json"];
    const said = await runVerb(predict, [folder.file("runs/parts"), folder.file("data/val"), ...flags]);
    const best = folder.file("runs/parts/best.safetensors");
    const [scale] = new Float32Array((await bitsOf(best)).get("clip.logit_scale")!.buffer);
    await using file = await openCheckpoint(best);
    assert.equal(wordsOf(file), await packedVocabulary(), "the file is all that a page needs");
    for (const { path, top } of linesOf<{ path: string; top: { label: string; p: number }[] }>(said.stdout)) {
      const scores = ["left", "right"].map((label) =>
        answers.find(({ query }) => query === `something moves ${label}`)!.hits.find((hit) =>
          hit.path === path
        )!.score
      );
      const expected = 1 / (1 + Math.exp(Math.exp(scale) * (scores[1] - scores[0])));
      const { p } = top.find(({ label }) => label === "left")!;
      assert.ok(Math.abs(p - expected) < 1e-4, `${p} ${expected}`);
    }
  },
);

gpuTest("a CLIP checkpoint as it is finds clips and names classes", async () => {
  await using folder = await captionedFolder();
  const file = folder.file("clip.safetensors"), val = folder.file("data/val"), out = folder.file("index");
  await writeTinyClip(file);
  await Deno.mkdir(folder.file("data/val/broken"));
  await folder.write("data/val/broken/00001.jpg", "no picture");
  await Deno.symlink("nowhere", folder.file("data/val/dangling"));
  const indexed = await runVerb(index, [file, val, "--out", out, "data.num_segments=4", "--json"]);
  assert.equal(indexed.code, 4, indexed.stderr);
  assert.match(indexed.stderr, /^sidenet: Cannot index ".*\/broken": /m);
  const { clips, unreadable } = JSON.parse(indexed.stdout);
  assert.deepEqual(
    [clips, unreadable.map(({ path }: { path: string }) => path)],
    [8, [`${val}/dangling`, `${val}/broken`]],
  );

  const page = folder.file("page.html");
  const [{ hits }] = linesOf<Found>(
    (await runVerb(search, [out, "--video", join(val, "00003"), "--html", page, "--json"])).stdout,
  );
  assert.equal(hits.length, 8);
  assert.equal(hits[0].path, join(val, "00003"));
  assert.ok(Math.abs(hits[0].score - 1) < 1e-6);
  assert.deepEqual(hits.map(({ score }) => score), hits.map(({ score }) => score).sort((a, b) => b - a));
  const html = await Deno.readTextFile(page);
  assert.equal(html.split('<li class="hit">').length - 1, 8);
  assert.equal(html.split("data:image/jpeg;base64,").length - 1, 8 * 3);
  assert.doesNotMatch(html, /cannot be shown|https?:|<script/);

  // Shares follow from the scores of the classes' sentences: a softmax of 100 times the cosine.
  const classes = ["left <b>", "right", "up"],
    sentences = classes.map((name) => `a video of a person ${name}.`);
  await folder.write("sentences.txt", sentences.join("\n"));
  const answers = linesOf<Found>(
    (await runVerb(search, [out, "--queries", folder.file("sentences.txt"), "--json"])).stdout,
  );
  const predicted = await runVerb(predict, [
    file,
    val,
    "--classes",
    classes.join(","),
    "data.num_segments=4",
    "--json",
  ]);
  assert.equal(predicted.code, 4);
  const lines = linesOf<{ path: string; top: { label: string; index: number; p: number }[] }>(
    predicted.stdout,
  );
  assert.equal(lines.length, 8);
  for (const { path, top } of lines) {
    const logits = answers.map(({ hits }) => 100 * hits.find((hit) => hit.path === path)!.score);
    const sum = logits.reduce((all, logit) => all + Math.exp(logit), 0);
    const expected = logits.map((logit, i) => ({ label: classes[i], index: i, p: Math.exp(logit) / sum }));
    for (const { label, index, p } of top) {
      assert.equal(label, classes[index]);
      assert.ok(Math.abs(p - expected[index].p) < 1e-4, `${p} ${expected[index].p}`);
    }
    assert.deepEqual(top.map(({ p }) => p), top.map(({ p }) => p).sort((a, b) => b - a));
  }

  await assert.rejects(
    runVerb(predict, [file, val]),
    (error) => error instanceof ConfigError && /it is a backbone alone; .* --classes/.test(error.message),
  );

  // Another model, or one that is gone.
  const other = folder.file("other.safetensors");
  await Deno.rename(file, other);
  const refused = async (args: string[], kind: typeof ConfigError | typeof DataError, message: RegExp) => {
    await assert.rejects(runVerb(search, args), (error) => {
      assert.ok(error instanceof kind, String(error));
      assert.match(error.message, message);
      return true;
    });
  };
  await refused(
    [out, "x"],
    DataError,
    /its model must be at ".*clip\.safetensors", nothing is there; say where it is with --model$/,
  );
  assert.equal((await runVerb(search, [out, "x", "--model", other])).code, 0);
  await writeTinyClip(other, { seed: 8 });
  await refused(
    [out, "x", "--model", other],
    ConfigError,
    /the model must be the one that the index was made with/,
  );
  await refused([val, "x"], DataError, /it must be a folder that sidenet index wrote/);
  await refused(
    [out],
    ConfigError,
    /one of a sentence, --video and --queries must be given, current count is 0$/,
  );
  await refused([out, " "], ConfigError, /the sentence must hold a word or more/);
});
