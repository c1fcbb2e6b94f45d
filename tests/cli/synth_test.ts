import assert from "node:assert/strict";
import { join } from "node:path";
import { createIo } from "../../cli/shared/output.ts";
import { run } from "../../cli/synth.ts";
import { isSynthesized } from "../../data/synth/dataset.ts";
import { DEFAULT_SYNTH_OPTIONS, synthDefaults, type SynthOptions } from "../../data/synth/options.ts";

async function synth(args: string[], signal = new AbortController().signal) {
  let stdout = "", stderr = "";
  const streams = {
    stdout: (text: string) => void (stdout += text),
    stderr: (text: string) => void (stderr += text),
    isTerminal: false,
    columns: () => 80,
  };
  const json = args.includes("--json");
  const code = await run(args, createIo(streams, { json, signal }));
  return { code, stdout, stderr };
}

Deno.test("synth turns its flags into the data set's options and says what it wrote", async () => {
  const root = await Deno.makeTempDir();
  try {
    const folder = join(root, "set");
    const args = [
      "--train-clips",
      "4",
      "--val-clips",
      "2",
      "--motion",
      "grow",
      "--motion",
      "up",
      "--size",
      "24x20",
    ];
    const { code, stdout } = await synth([
      folder,
      ...args,
      "--frames",
      "3",
      "--frames",
      "5",
      "--max-speed",
      "2",
      "--seed",
      "5",
      "--json",
    ]);
    assert.equal(code, 0);
    const { seconds, ...result } = JSON.parse(stdout);
    assert.ok(seconds > 0);
    assert.deepEqual(result, {
      folder,
      train_clips: 4,
      val_clips: 2,
      classes: ["grows", "moves up"],
      frames: 22,
    });
    const written = await isSynthesized(folder, {
      ...DEFAULT_SYNTH_OPTIONS,
      trainClips: 4,
      valClips: 2,
      classes: ["grow", "up"],
      width: 24,
      height: 20,
      framesPerClip: [3, 5],
      speed: [DEFAULT_SYNTH_OPTIONS.speed[0], 2],
      seed: 5,
    });
    assert.ok(written);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("synth writes clips with captions and prints the tokens that these need", async () => {
  const root = await Deno.makeTempDir();
  try {
    const folder = join(root, "set"), kind = ["--kind", "captioned_clips"];
    const size = ["--train-clips", "4", "--val-clips", "3", "--size", "16x16", "--frames", "2"];
    const looks = [
      "--shape",
      "cross",
      "--colour",
      "red",
      "--colour",
      "blue",
      "--motion",
      "up",
      "--motion",
      "still",
    ];
    const { stdout } = await synth([folder, ...kind, ...size, ...looks]);
    assert.match(
      stdout,
      /^wrote 4 training and 3 validation clips with captions to .*\ntokens: \[320, [\d, ]*, 49406, 49407\] #/,
    );
    const options: SynthOptions = {
      ...synthDefaults("captioned_clips"),
      trainClips: 4,
      valClips: 3,
      width: 16,
      height: 16,
      framesPerClip: 2,
      shapes: ["cross"],
      colours: ["red", "blue"],
      classes: ["up", "still"],
    };
    assert.ok(await isSynthesized(folder, options));
    assert.match(
      await Deno.readTextFile(join(folder, "val.jsonl")),
      /"a (red|blue) cross (moves up|stands still)"/,
    );
    const { tokens, kind: told } = JSON.parse((await synth([folder, ...kind, ...size, "--json"])).stdout);
    assert.equal(told, "captioned_clips");
    assert.match(stdout, new RegExp(`tokens: \\[${tokens.join(", ")}\\]`));
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("synth refuses a size of another form, an unknown motion and a missing folder with exit code 2", async () => {
  const wrong: [string[], RegExp][] = [
    [["x", "--size", "24"], /flag "--size": expected WxH such as 64x48, current value is "24"/],
    [["x", "--motion", "sideways"], /flag "--motion": expected one of left, right/],
    [[], /Cannot run "sidenet synth": expected DIR, current value is no argument/],
    [["x", "--kind", "films"], /flag "--kind": expected one of motions, captioned_pictures, captioned_clips/],
    [["x", "--kind", "captioned_clips", "--val-clips", "109"], /validation clips must be at most 108/],
    [["x", "--motion", "up"], /classes must be at least 2 different motions/],
  ];
  for (const [args, message] of wrong) await assert.rejects(synth(args), { exitCode: 2, message });
});
