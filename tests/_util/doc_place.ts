/** A folder in which the commands of documents run as they stand there: videos, lists, weights and recipes of those names, all tiny. */
import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { main } from "../../cli/main.ts";
import { TINY_RECIPE } from "../cli/_tiny.ts";
import { writeFrames } from "./frame_folders.ts";
import { writeTinyClip } from "./tiny_clip.ts";
import { writeVideo } from "./video_files.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const SIDE = 32, SECONDS = 4, CLASSES = ["grows", "moves left", "moves right"];
/** No weights of this machine are found, and none are fetched. */
const SEALED = { SIDENET_WEIGHTS: "", HTTPS_PROXY: "http://127.0.0.1:9" };

/** What a command did. */
export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

/** The folder. Its commands run in this process, one at a time. */
export class DocPlace {
  private constructor(readonly path: string) {}

  static async create(): Promise<DocPlace> {
    const place = new DocPlace(await Deno.makeTempDir({ prefix: "sidenet-docs-" }));
    for (const folder of ["configs", "tests"]) await symlink(ROOT + folder, place.file(folder));
    await place.#writeVideos();
    await place.#writeCaptions();
    await writeTinyClip(place.file("clip.safetensors"));
    await place.#write("tiny.yaml", TINY_RECIPE);
    return place;
  }

  file(name: string): string {
    return join(this.path, name);
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true });
  }

  /** Paths that a pattern such as `runs/*` stands for. */
  expand(pattern: string): string[] {
    if (!/\/\*$/.test(pattern)) return [pattern];
    const folder = pattern.slice(0, -2);
    return [...Deno.readDirSync(this.file(folder))].map(({ name }) => `${folder}/${name}`).sort();
  }

  /** Runs the tool here, as `denow` does it. */
  async sidenet(args: readonly string[]): Promise<Ran> {
    const here = Deno.cwd(), sealed = { ...SEALED, SIDENET_CACHE: this.file("cache") };
    const before = Object.keys(sealed).map((name) => [name, Deno.env.get(name)] as const);
    let stdout = "", stderr = "";
    const streams = {
      stdout: (text: string) => void (stdout += text),
      stderr: (text: string) => void (stderr += text),
      isTerminal: false,
      columns: () => 80,
    };
    try {
      Deno.chdir(this.path);
      for (const [name, value] of Object.entries(sealed)) Deno.env.set(name, value);
      const code = await main(args, { streams, signal: new AbortController().signal });
      return { code, stdout, stderr };
    } finally {
      Deno.chdir(here);
      for (const [name, value] of before) {
        value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
      }
    }
  }

  async #write(name: string, text: string): Promise<void> {
    await mkdir(dirname(this.file(name)), { recursive: true });
    await writeFile(this.file(name), text);
  }

  async #video(name: string, { frames, shade }: { frames: number; shade: number }): Promise<void> {
    await mkdir(dirname(this.file(name)), { recursive: true });
    const pixel = (frame: number, x: number) => [shade, 5 * x, 2 * frame] as const;
    await writeVideo(this.file(name), { frames, width: SIDE, height: SIDE, pixel });
  }

  /** Class folders of videos and of frames, and two videos on their own. */
  async #writeVideos(): Promise<void> {
    for (const [k, name] of CLASSES.entries()) {
      for (let i = 0; i < 3; i++) {
        const shade = 80 * k + 20 * i, clip = `videos/${name}/clip 0${i + 1}`;
        if (i === 1) await this.#video(`${clip}.mov`, { frames: 8, shade });
        else await writeFrames(this.file(clip), { frames: 8, shade, width: SIDE, height: SIDE });
      }
    }
    for (const other of ["other_videos", "clips"]) await symlink("videos", this.file(other));
    await this.#video("match.mp4", { frames: 24 * SECONDS, shade: 90 });
    await symlink("match.mp4", this.file("clip.mp4"));
  }

  /** A folder of clips with captions beside them, and the files of a known data set. */
  async #writeCaptions(): Promise<void> {
    for (let i = 0; i < 4; i++) {
      const frames = { frames: 2, shade: 60 * i, template: "img_{:05d}.jpg" };
      await writeFrames(this.file(`my_clips/${i}`), frames);
      await writeFrames(this.file(`frames/video${i}`), frames);
      await this.#write(`my_clips/${i}.txt`, `a shade of ${i}\n`);
    }
    const sentences = [0, 1, 2].map((id) => ({ video_id: `video${id}`, caption: `a shade of ${id}` }));
    await this.#write("MSRVTT_data.json", JSON.stringify({ sentences }));
    await this.#write("MSRVTT_train.9k.csv", "video_id\nvideo0\nvideo1\n");
    await this.#write("MSRVTT_JSFUSION_test.csv", "video_id,sentence\nvideo2,a man sings\n");
  }
}
