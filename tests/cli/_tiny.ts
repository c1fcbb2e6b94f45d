/** A run so small that a spawned command takes a second or two: recipe, data set, and how to call the tool. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestLauncher } from "../_util/ranks.ts";

const MAIN = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** What the tasks of deno.json run verbs with: the tests have no more permissions than users. */
const AS_THE_TASK = ["-q", "-P=verbs", "--no-remote", "--no-prompt"];

/** 16 training and 8 validation clips of 20x20 pixels; a ViT of one block; 48 steps. */
export const TINY_RECIPE = `
name: tiny
seed: 3
memory: keep
data:
  dataset: tiny
  root: data
  train_list: data/train.txt
  val_list: data/val.txt
  label_list: data/labels.csv
  synth: { train_clips: 16, val_clips: 8, classes: [left, right], width: 20, height: 20, frames_per_clip: 8 }
  num_segments: 4
  batch_size: 4
  resize: none
  crop: random
  flip: none
  grey: 0
  workers: 1
network:
  arch: custom
  backbone: { image_size: 16, patch_size: 8, width: 32, layers: 1, heads: 1 }
  side_dim: 64
solver: { epochs: 12, lr: 1.e-3, lr_warmup_step: 0.5 }
logging: { print_freq: 1, example_clips: 2 }
`;

/** What a spawned command did. */
export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** A folder with `tiny.yaml`, in which commands run. Removed when disposed. */
export class TinyFolder implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async create(): Promise<TinyFolder> {
    return await TinyFolder.in(await Deno.makeTempDir({ prefix: "sidenet-" }));
  }

  /** The same in a folder that is there. */
  static async in(path: string): Promise<TinyFolder> {
    const folder = new TinyFolder(path);
    await folder.write("tiny.yaml", TINY_RECIPE);
    return folder;
  }

  file(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  async write(name: string, text: string | Uint8Array): Promise<void> {
    await Deno.writeFile(this.file(name), typeof text === "string" ? new TextEncoder().encode(text) : text);
  }

  async json<T>(...parts: string[]): Promise<T> {
    return JSON.parse(await Deno.readTextFile(this.file(...parts))) as T;
  }

  /** Spawns `sidenet ARGS` here. `onStderr` sees what has come so far, and may send signals. */
  async sidenet(
    args: readonly string[],
    options: {
      env?: Record<string, string>;
      /** Another working folder. */
      cwd?: string;
      /** Commands of a shell that then becomes the tool, such as limits. */
      shell?: string;
      /** As so many ranks that a launcher of MPI starts. */
      ranks?: { launcher: TestLauncher; count: number };
      onStart?: (child: Deno.ChildProcess) => void;
      onStderr?: (text: string, child: Deno.ChildProcess) => void;
    } = {},
  ): Promise<Outcome> {
    const { shell, ranks } = options;
    const command = [
      ...ranks ? [ranks.launcher.program, "-n", `${ranks.count}`] : [],
      Deno.execPath(),
      "run",
      ...AS_THE_TASK.map((flag) => ranks && flag.startsWith("-P=") ? `${flag}_of_ranks` : flag),
      "--config",
      join(ROOT, "deno.json"),
      MAIN,
      ...args,
    ];
    const [program, ...rest] = shell === undefined
      ? command
      : ["sh", "-c", `${shell}; exec "$@"`, "sh", ...command];
    const child = new Deno.Command(program, {
      args: rest,
      cwd: options.cwd ?? this.path,
      env: { NO_COLOR: "1", ...ranks?.launcher.env, ...options.env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    options.onStart?.(child);
    const collect = async (stream: ReadableStream<Uint8Array>, each?: (text: string) => void) => {
      let text = "";
      for await (const part of stream.pipeThrough(new TextDecoderStream() as ReadableWritablePair)) {
        text += part;
        each?.(text);
      }
      return text;
    };
    const [stdout, stderr, { code }] = await Promise.all([
      collect(child.stdout),
      collect(child.stderr, (text) => options.onStderr?.(text, child)),
      child.status,
    ]);
    return { code, stdout, stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/** The last line of what a command said to people. */
export function lastLine({ stderr }: Outcome): string {
  return stderr.trimEnd().split("\n").at(-1) ?? "";
}
