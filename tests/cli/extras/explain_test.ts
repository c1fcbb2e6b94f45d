/** `sidenet explain`: hidden parts give what a network says of a clip whose parts are hidden, and the page shows them. */

import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import type { VerbModule } from "../../../cli/_verbs.ts";
import * as evaluate from "../../../cli/eval.ts";
import * as exporting from "../../../cli/export.ts";
import * as explain from "../../../cli/extras/explain.ts";
import { exitCodeOf } from "../../../cli/main.ts";
import * as predict from "../../../cli/predict.ts";
import { explainClip } from "../../../train/evaluation/occlusion.ts";
import { findTrainedModel } from "../../../train/evaluation/trained_model.ts";
import { predictClips } from "../../../train/evaluation/evaluate_model.ts";
import { engineTest } from "../../_util/engine.ts";
import { runVerb } from "../../_util/run_verb.ts";
import { smallConfig, smallRun } from "../../train/run/_small.ts";

/** CLIP's mean colour, behind which parts are hidden. */
const MEAN = { r: 123, g: 117, b: 104 };

engineTest("what explain says of a hidden part is what predict says of a clip without it", async () => {
  // Frames of the network's own size, so that the part of a picture is the same part of the input.
  const config = await smallConfig(["solver.epochs=1"]);
  const { path: run } = await smallRun(config), folder = await Deno.makeTempDir();
  try {
    const clip = join(folder, "clip"), hidden = join(folder, "hidden"), gone = join(folder, "gone");
    const grey = (side: number) => ({
      create: { width: side, height: side, channels: 3 as const, background: MEAN },
    });
    for (const one of [clip, hidden, gone]) await Deno.mkdir(one);
    for (const frame of [1, 2]) {
      const noise = Uint8Array.from({ length: 16 * 16 * 3 }, (_, i) => (i * 37 * frame) % 251);
      const picture = () => sharp(noise, { raw: { width: 16, height: 16, channels: 3 } });
      // Frame 2 loses its right lower quarter, or everything.
      const without = async (input: ReturnType<typeof grey>, at: number) =>
        frame === 1
          ? picture()
          : sharp(await picture().png().toBuffer()).composite([{ input, left: at, top: at }]);
      const name = `${String(frame).padStart(5, "0")}.jpg`;
      await picture().png().toFile(join(clip, name));
      await (await without(grey(8), 8)).png().toFile(join(hidden, name));
      await (await without(grey(16), 0)).png().toFile(join(gone, name));
    }
    const model = await findTrainedModel(run, { overrides: ["data.resize=none"] });
    const found = await explainClip(model, clip, { grid: 2 });
    const said: Float64Array[] = [];
    for await (const one of predictClips(model, [clip, hidden, gone])) {
      assert.equal(one.bad, false, one.problems.map(({ problem }) => problem).join());
      said.push(one.said as Float64Array);
    }
    const [whole, corner, all] = said.map((shares) => shares[found.index]);
    assert.ok(Math.abs(found.p - whole) < 1e-5);
    assert.equal(found.index, said[0].indexOf(Math.max(...said[0])));
    assert.ok(
      Math.abs(found.byPatch[4 + 3] - Math.log(whole / corner)) < 5e-3,
      "the last patch of the second frame",
    );
    assert.ok(Math.abs(found.byFrame[1] - Math.log(whole / all)) < 5e-3, "the second frame");
    assert.ok(Math.abs(found.byFrame[1]) > 1e-4, "hiding a frame changes something");
    assert.deepEqual([found.byFrame.length, found.byPatch.length, found.frames.length], [2, 8, 2]);

    const page = join(folder, "why.html"), keys = ["data.resize=none"];
    const { code, stdout } = await runVerb(explain, [
      run,
      clip,
      ...keys,
      "--class",
      "right",
      "--html",
      page,
      "--json",
    ]);
    assert.equal(code, 0);
    const json = JSON.parse(stdout);
    assert.deepEqual([json.label, json.grid, json.frames.length, json.frames[0].patches.length], [
      "right",
      2,
      2,
      2,
    ]);
    const html = await Deno.readTextFile(page);
    assert.equal(html.match(/<image href="data:image\/jpeg/g)?.length, 2);
    assert.match(html, /<h1>Why right\?<\/h1>/);

    // Interrupted while the weights are read, verbs end there and leave nothing.
    const out = (name: string) => join(folder, name);
    const reading: [Pick<VerbModule, "run">, string[], string][] = [
      [explain, [run, clip, ...keys, "--html", out("stopped.html")], out("stopped.html")],
      [evaluate, [run, "--out", out("stopped_eval")], out("stopped_eval/eval.json")],
      [predict, [run, clip, ...keys, "--html", out("predicted.html")], out("predicted.html")],
      [exporting, [run, "--out", out("stopped.onnx")], out("stopped.onnx")],
    ];
    for (const [verb, args, file] of reading) {
      const ended = await runVerb(verb, args, { stopAt: "loading the weights" }).catch((error) => error);
      assert.equal(exitCodeOf(ended), 130, `${file}: ${ended.message}`);
      await assert.rejects(Deno.stat(file), Deno.errors.NotFound);
    }

    const refused = (args: string[], message: RegExp) => assert.rejects(runVerb(explain, args), message);
    await refused([run, clip, ...keys, "--grid", "9"], /--grid must be at most the 2 patches/);
    await refused(
      [run, clip, "--class", "rigth"],
      /--class must be one of the model's 2 classes, .*; the nearest is "right"/,
    );
    await refused([run, clip, clip], /there must be one clip/);
    await refused([run, join(folder, "none"), ...keys], /Cannot (explain|read|predict) /);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
