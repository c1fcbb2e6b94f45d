/** Wrong arguments of the verbs and keys of the first hour: one line each that says what to do, and the exit code, before anything is opened or made. */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { main } from "../../cli/main.ts";
import { writeFrames } from "../_util/frame_folders.ts";
import { TinyFolder } from "./_tiny.ts";

/** A command, its exit code, and what it says behind "sidenet: ". FOLDER stands for the folder of the test. */
type Case = readonly [args: readonly string[], code: number, line: string];

const KEYS_OF_TRAINING: readonly (readonly [override: string, rest: string])[] = [
  ["data.frame_cache_side=0", "data.frame_cache_side must be more than 0, current value is 0"],
  ["solver.find_lr=no", 'solver.find_lr must be a number, current value is "no"'],
  ["solver.early_stop=soon", 'solver.early_stop must be a number, current value is "soon"'],
  ["solver.early_stop=-1", "solver.early_stop must be at least 0, current value is -1"],
  ["solver.early_stop_delta=-1", "solver.early_stop_delta must be at least 0, current value is -1"],
  ["solver.ema=-0.5", "solver.ema must be at least 0, current value is -0.5"],
  ["solver.ema_warmup=soon", 'solver.ema_warmup must be true or false, current value is "soon"'],
  ["logging.keep=-1", "logging.keep must be at least 0, current value is -1"],
  ["logging.tensorboard=maybe", 'logging.tensorboard must be true or false, current value is "maybe"'],
];

const CASES: readonly Case[] = [
  [["keys", "solver", "data"], 2, 'Cannot run "sidenet keys": there is no place for the argument "data"'],
  [["compare"], 2, 'Cannot run "sidenet compare": expected RUN…, current value is no argument'],
  [["compare", "none"], 4, 'Cannot read "none": it does not exist'],
  [["compare", "run", "--csv"], 2, 'Cannot parse flag "--csv": expected a value, current value is missing'],
  [["card"], 2, 'Cannot run "sidenet card": expected RUN, current value is no argument'],
  [["card", "none"], 4, 'Cannot open run "none": it must be a folder with a config.yaml'],
  [
    ["card", "run"],
    4,
    'Cannot write the card of "run": the run must have ended, there is no summary.json in it; go on with train --resume run',
  ],
  [
    ["completions"],
    2,
    'Cannot run "sidenet completions": expected bash|zsh|fish, current value is no argument',
  ],
  [
    ["completions", "bash", "zsh"],
    2,
    'Cannot run "sidenet completions": there is no place for the argument "zsh"',
  ],
  [
    ["explain", "run"],
    2,
    'Cannot run "sidenet explain": expected RUN|CHECKPOINT CLIP [key=value …], current value is "run"',
  ],
  [["explain", "run", "solver.lr=1"], 2, "Cannot explain: there must be one clip, current value is none"],
  [["explain", "run", "a", "b"], 2, 'Cannot explain: there must be one clip, current value is "b" besides'],
  [
    ["explain", "run", "a", "--grid", "0"],
    2,
    'Cannot parse flag "--grid": expected at least 1, current value is "0"',
  ],
  [
    ["predict", "run", "a", "--annotate"],
    2,
    'Cannot parse flag "--annotate": expected a value, current value is missing',
  ],
  [
    ["predict", "run", "a", "--annotate", "seen.gif"],
    2,
    'Cannot write "seen.gif": --annotate must be the name of an .mp4 file, current value is "seen.gif"',
  ],
  [
    ["predict", "run", "a", "--annotate", "old.mp4"],
    2,
    'Cannot write "old.mp4": --annotate must be the name of a new file, current value is one that is there',
  ],
  ...KEYS_OF_TRAINING.map(([override, rest]): Case => [
    ["train", "tiny.yaml", override],
    2,
    `Cannot use argument "${override}": ${rest}`,
  ]),
  [
    ["train", "tiny.yaml", "solver.ema=1"],
    2,
    'Cannot use config "tiny.yaml": solver.ema must be below 1: with 1 the average would stay what the weights were at first, current value is 1',
  ],
  [
    ["train", "--resume", "run", "solver.find_lr=50"],
    2,
    "Cannot sweep the learning rate of a run that goes on: solver.find_lr must be left out with --resume, current value is 50",
  ],
  [
    ["train", "clips", "network.weights=ViT-B-17"],
    4,
    'Cannot find the weights "ViT-B-17": it must be a file or one of ViT-B-32, ViT-B-16, ViT-L-14, ViT-L-14-336px, EVA02_CLIP_E_psz14_s4B, ' +
    "EVA02_CLIP_E_psz14_plus_s9B, EVA02_CLIP_L_psz14_s4B, EVA02_CLIP_L_336_psz14_s6B",
  ],
  [
    ["plan", "clips", "--tiny", "network.weights=ViT-L-14"],
    2,
    'Cannot use the weights "ViT-L-14": they are of ViT-L/14, and a small network of its own sizes is picked; leave out --tiny',
  ],
  [
    ["train", "clips", "network.weights=ViT-L-14"],
    2,
    'Cannot use the weights "ViT-L-14": they are of ViT-L/14, and network.arch is ViT-B/16; give network.arch=ViT-L/14 too',
  ],
  [
    ["train", "none"],
    2,
    'Cannot train on "none": it must be a recipe or a folder of class folders, there is no such file or folder',
  ],
  [
    ["plan", "none"],
    2,
    'Cannot plan "none": it must be a recipe or a folder of class folders, there is no such file or folder',
  ],
  [
    ["plan"],
    2,
    'Cannot run "sidenet plan": expected CONFIG|FOLDER|RUN [key=value …], current value is no argument',
  ],
  [["eval", "run", "none"], 4, 'Cannot open run "run": it must hold best.safetensors or last.safetensors'],
];

Deno.test("wrong arguments are one line that says what to do, and nothing is made", async () => {
  await using folder = await TinyFolder.create();
  await mkdir(folder.file("run"));
  await Deno.copyFile(folder.file("tiny.yaml"), folder.file("run", "config.yaml"));
  await folder.write("old.mp4", "somebody's");
  for (const name of ["wave", "jump"]) {
    for (const i of [1, 2]) {
      await writeFrames(folder.file("clips", name, `${i}`), { frames: 4, shade: 90 * i });
    }
  }
  const before = Deno.cwd(), made = await names(folder.path);
  Deno.chdir(folder.path);
  try {
    for (const [args, code, line] of CASES) {
      const told = await tell(args), last = told.stderr.trimEnd().split("\n").at(-1);
      assert.deepEqual([told.code, last, told.stdout], [code, `sidenet: ${line}`, ""], args.join(" "));
      assert.deepEqual(await names(folder.path), made, args.join(" "));
    }
  } finally {
    Deno.chdir(before);
  }
});

async function names(path: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(path))).map(({ name }) => name).sort();
}

/** What the tool does, in this process. */
async function tell(args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  let stdout = "", stderr = "";
  const streams = {
    stdout: (text: string) => void (stdout += text),
    stderr: (text: string) => void (stderr += text),
    isTerminal: false,
    columns: () => 80,
  };
  const code = await main(args, { streams, signal: new AbortController().signal });
  return { code, stdout, stderr };
}
