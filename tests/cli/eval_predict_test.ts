/** `eval` and `predict` on a run that `train` made, as a user calls them. */
import assert from "node:assert/strict";
import { encodeSafetensors } from "../../data/checkpoint/safetensors.ts";
import { writeFileWhole } from "../../data/files.ts";
import type { EvaluationFigures } from "../../train/evaluation/evaluation_files.ts";
import type { PredictionLine } from "../../train/tasks/classification.ts";
import { openCheckpoint } from "../../train/files/checkpoint.ts";
import { readMetrics } from "../../train/files/run_folder.ts";
import { gpuTest } from "../_util/gpu.ts";
import { lastLine, TinyFolder } from "./_tiny.ts";

interface Prediction {
  path: string;
  top: { label: string; index: number; p: number }[];
}

async function readLines(path: string): Promise<PredictionLine[]> {
  return (await Deno.readTextFile(path)).trimEnd().split("\n").map((line) => JSON.parse(line));
}

/** Rows of a CSV file without quoted fields, by column name. */
async function readCsv(path: string): Promise<Record<string, string>[]> {
  const [header, ...rows] = (await Deno.readTextFile(path)).trimEnd().split("\n").map((line) =>
    line.split(",")
  );
  return rows.map((row) => Object.fromEntries(header.map((name, i) => [name, row[i]])));
}

gpuTest(
  "eval repeats what training measured, predict gives what eval wrote, in every number of views",
  async () => {
    await using folder = await TinyFolder.create();
    const trained = await folder.sidenet(["train", "tiny.yaml", "solver.epochs=3"]);
    assert.equal(trained.code, 0, trained.stderr);
    const best =
      (await folder.json<{ best: { epoch: number; loss: number; top1: number } }>("runs/tiny/summary.json"))
        .best;

    // The validation rule: the figures that training wrote for the epoch of the best weights.
    const plain = await folder.sidenet(["eval", "runs/tiny", "--per-class"]);
    assert.equal(plain.code, 0, plain.stderr);
    assert.match(
      plain.stdout,
      /^runs\/tiny\/best\.safetensors on 8 clips of data\/val\.txt, one view a clip\ntop-1 /,
    );
    assert.match(plain.stdout, /\n {2}moves left +4 clips {2}top-1 /);
    assert.match(plain.stdout, /\nreport: runs\/tiny\/eval\/report\.html\n$/);
    const { evals } = await readMetrics(folder.file("runs/tiny"));
    const figures = await folder.json<ClassFigures>("runs/tiny/eval/eval.json");
    const measured = evals.find(({ epoch }) => epoch === best.epoch)!;
    assert.equal(figures.top1, measured.top1);
    assert.ok(
      Math.abs(figures.loss - (measured.loss as number)) < 1e-5,
      `${figures.loss} against ${measured.loss}`,
    );
    assert.equal(figures.views, 1);
    assert.equal(figures.confusion.classes, 2);
    assert.equal(figures.confusion.cells.reduce((sum, [, , count]) => sum + count, 0), 8);
    assert.match(
      await Deno.readTextFile(folder.file("runs/tiny/eval/report.html")),
      /Confusion matrix of 2 classes/,
    );

    // Six views, from the checkpoint alone, on a list of its own with a clip that training would leave out.
    const lines = (await Deno.readTextFile(folder.file("data/val.txt"))).split("\n").slice(0, 3);
    lines[2] = lines[2].replace(" 8 ", " 7 ");
    await folder.write("short.txt", lines.join("\n"));
    const flags = ["--test-crops", "3", "--test-clips", "2"];
    const views = await folder.sidenet([
      "eval",
      "runs/tiny/best.safetensors",
      ...flags,
      "--list",
      "short.txt",
      "--json",
    ]);
    assert.equal(views.code, 0, views.stderr);
    const six: ClassFigures = JSON.parse(views.stdout);
    assert.deepEqual([six.clips, six.views, six.test_crops, six.test_clips], [3, 6, 3, 2]);
    assert.equal(six.weights, "runs/tiny/best.safetensors");
    const rows = await readCsv(folder.file("runs/tiny/best_eval_3x2_short/predictions.csv"));
    assert.deepEqual(rows.map(({ path }) => path), ["val/00001", "val/00002", "val/00003"]);
    const loss = rows.reduce((sum, { label_p: p }) => sum - Math.log(Number(p)) / 3, 0);
    assert.ok(Math.abs(loss - six.loss) < 1e-9);

    // One JSON object a clip, with the same figures.
    const lines3 = await readLines(folder.file("runs/tiny/best_eval_3x2_short/predictions.jsonl"));
    assert.deepEqual(
      lines3.map(({ path, label, label_name: name, p_label: p, rank, top }) =>
        [
          ...[path, label, name, p, rank],
          ...top.flatMap(({ index, label, p }) => [index, label, p]),
        ].map(String)
      ),
      rows.map((row) => Object.values(row)),
    );
    assert.ok(lines3.every((line) => !("probabilities" in line)));

    // predict on the same clips, with paths that cannot be used among them.
    await folder.write("clip.txt", "not looked into");
    const paths = ["data/val/00001", "clip.txt", "data/val/00002", "nowhere", "bare", "data/val/00003"];
    await Deno.mkdir(folder.file("bare"));
    const predicted = await folder.sidenet(["predict", "runs/tiny", ...paths, ...flags, "--json"]);
    assert.equal(predicted.code, 4);
    assert.match(
      predicted.stderr,
      /^sidenet: Cannot predict "clip\.txt": it must be a video file or a folder of frames, /m,
    );
    assert.match(predicted.stderr, /^sidenet: Cannot predict "nowhere": it does not exist$/m);
    assert.match(
      predicted.stderr,
      /^sidenet: Cannot predict "bare": its frames must be named "\{:05d\}\.jpg" \(data\.image_tmpl\), or it must hold clips, current count is 0$/m,
    );
    // Frames of another published form: the key that reads them is given.
    await Deno.mkdir(folder.file("named", "deep"), { recursive: true });
    await Deno.copyFile(folder.file("data/val/00001/00001.jpg"), folder.file("named/deep/img_00001.jpg"));
    const named = await folder.sidenet(["predict", "runs/tiny", "named"]);
    assert.equal(
      lastLine(named),
      'sidenet: Cannot predict "named": its frames must be named "{:05d}.jpg", current names are of the form ' +
        '"img_{:05d}.jpg"; give data.image_tmpl=img_{:05d}.jpg',
    );
    const found: Prediction[] = predicted.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(found.map(({ path }) => path), rows.map(({ path }) => `data/${path}`));
    found.forEach(({ top }, i) => {
      assert.deepEqual(top.map(({ index }) => String(index)), [rows[i].top1, rows[i].top2]);
      assert.deepEqual(top.map(({ label }) => label), [rows[i].top1_name, rows[i].top2_name]);
      assert.deepEqual(top, lines3[i].top); // to the last digit
    });

    const text = await folder.sidenet([
      "predict",
      "runs/tiny/last.safetensors",
      "data/val/00001",
      "--top",
      "1",
    ]);
    assert.equal(text.code, 0, text.stderr);
    assert.match(text.stdout, /^data\/val\/00001\n {2}moves (left|right) {2}\S+ *[\d.]+ %\n$/);

    // A file without a recipe takes one from --config; a full checkpoint brings its own backbone.
    const tensors = [];
    {
      await using source = await openCheckpoint(folder.file("runs/tiny/best.safetensors"));
      for (const name of source.names()) {
        if (name.endsWith("num_batches_tracked")) continue;
        tensors.push({
          name,
          dtype: "F32" as const,
          shape: [...source.shapeOf(name)!],
          data: await source.readF32(name),
        });
      }
    }
    await writeFileWhole(folder.file("bare.safetensors"), encodeSafetensors(tensors, {}));
    const bare = await folder.sidenet(["eval", "bare.safetensors"]);
    assert.equal(bare.code, 2);
    assert.match(
      lastLine(bare),
      /^sidenet: Cannot open "bare\.safetensors": a checkpoint that holds no recipe must come with one, give it with --config$/,
    );
    const given = await folder.sidenet([
      "eval",
      "bare.safetensors",
      "--config",
      "tiny.yaml",
      "--out",
      "result",
      "--json",
    ]);
    assert.equal(given.code, 0, given.stderr);
    assert.equal(JSON.parse(given.stdout).loss, figures.loss);
    assert.equal((await folder.json<ClassFigures>("result/eval.json")).top1, figures.top1);
  },
);
/** `eval.json` of a classification. */
type ClassFigures = EvaluationFigures & {
  top1: number;
  loss: number;
  confusion: { classes: number; cells: [number, number, number][] };
};
