/** Words burnt into clips: where and when they are seen, and that no word can be more than a word. */

import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { annotate } from "../../../data/video/annotate.ts";
import { decodeFrames, probeVideo } from "../../../data/video/decode.ts";
import { ffmpeg, hasFfmpeg, writeVideo } from "../../_util/video_files.ts";

const GREY = [120, 120, 120] as const;

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Which frames of a grey clip hold something white in the upper left quarter, as one character a frame. */
async function written(path: string): Promise<string> {
  const { frames } = await probeVideo(path);
  const { rgb, width, height } = await decodeFrames(path, Array.from({ length: frames }, (_, i) => i));
  return Array.from({ length: frames }, (_, frame) => {
    for (let y = 0; y < height / 2; y++) {
      for (let x = 0; x < width / 2; x++) if (rgb[((frame * height + y) * width + x) * 3] > 200) return "x";
    }
    return "-";
  }).join("");
}

/** Everything that a shell, a filter's description or drawtext's own expansion could take for more than text. */
const HOSTILE = "'; touch pwned; $(touch pwned) %{pts} \\N {x} : , [a] \\'\n`touch pwned`|file=/etc/passwd";

Deno.test({
  name: "a video's captions are there at their times, with its sound, whatever their words are",
  ignore: !hasFfmpeg,
  fn: () =>
    withFolder(async (folder) => {
      const plain = join(folder, "plain.mp4"), clip = join(folder, "it's a clip: 100%d.mp4");
      await writeVideo(plain, { frames: 24, width: 320, height: 240, pixel: () => GREY });
      await ffmpeg([
        "-i",
        plain,
        "-f",
        "lavfi",
        "-i",
        "sine=duration=1",
        "-c:v",
        "copy",
        "-c:a",
        "aac",
        "-shortest",
        clip,
      ]);
      const out = join(folder, "out, put.mp4"), seen: number[] = [];
      const captions = [{ from: 0.25, to: 0.5, lines: [HOSTILE, "second"] }, {
        from: 0.75,
        to: Infinity,
        lines: ["left"],
      }];
      await annotate({ video: clip }, captions, out, { onProgress: (seconds) => void seen.push(seconds) });
      assert.equal(await written(out), "------xxxxxx------xxxxxx");
      const sound = await new Deno.Command("ffprobe", {
        args: ["-v", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0", `file:${out}`],
      }).output();
      assert.deepEqual(new TextDecoder().decode(sound.stdout).trim().split("\n"), ["video", "audio"]);
      assert.ok(seen.every(Number.isFinite));
      assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), [
        "it's a clip: 100%d.mp4",
        "out, put.mp4",
        "plain.mp4",
      ]);
    }),
});

Deno.test({
  name: "a folder of small frames becomes a video that can be read, and a caption for every moment fits",
  ignore: !hasFfmpeg,
  fn: () =>
    withFolder(async (folder) => {
      const frames: string[] = [];
      for (let i = 0; i < 6; i++) {
        const picture = sharp({
          create: { width: 31, height: 21, channels: 3, background: { r: 120, g: 120, b: 120 } },
        });
        frames.push(join(folder, `frame ${2 * i}.png`)); // numbers with gaps
        await picture.png().toFile(frames[i]);
      }
      const out = join(folder, "out.mp4");
      const captions = Array.from(
        { length: 400 },
        (_, i) => ({ from: i / 100, to: i / 100 + 0.005, lines: [`label ${i}`] }),
      );
      captions[50] = { from: 0.5, to: 1, lines: ["half"] };
      await annotate({ frames, frameRate: 4 }, captions.filter((_, i) => i >= 100 || i === 50), out);
      const { width, height, frames: count } = await probeVideo(out);
      assert.deepEqual([width, height, count], [372, 252, 6]);
      assert.equal(await written(out), "--xxxx");
    }),
});

Deno.test({
  name: "what cannot be read leaves nothing, and says why",
  ignore: !hasFfmpeg,
  fn: () =>
    withFolder(async (folder) => {
      const text = join(folder, "text.mp4"), out = join(folder, "out.mp4");
      await Deno.writeTextFile(text, "no video");
      await assert.rejects(annotate({ video: text }, [], out), /Invalid data found|moov atom not found/);
      const controller = new AbortController();
      controller.abort(new DOMException("stopped", "AbortError"));
      await assert.rejects(annotate({ video: text }, [], out, { signal: controller.signal }), /stopped/);
      assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["text.mp4"]);
    }),
});
