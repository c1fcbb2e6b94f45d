/** ffmpeg and ffprobe as they are on this machine, and a broken one. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { tryVideoPrograms } from "../../../data/video/trial.ts";
import { hasFfmpeg } from "../../_util/video_files.ts";

Deno.test({
  name: "tryVideoPrograms() reads and writes a clip with the programs that are here",
  ignore: !hasFfmpeg,
  fn: async () => {
    const trial = await tryVideoPrograms();
    assert.match(trial.ffmpeg!, /^ffmpeg version /);
    assert.equal(trial.decodeError, null);
    assert.equal(trial.encoder, "libx264");
  },
});

Deno.test({
  name: "tryVideoPrograms() tells a program that only says its version, and one that is not there",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "sidenet-trial-" }), before = Deno.env.get("PATH")!;
    const put = (name: string, text: string) =>
      Deno.writeTextFile(join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    try {
      await put(
        "ffprobe",
        `if [ "$1" = -version ]; then echo ffprobe version 1; else echo no codec >&2; exit 1; fi`,
      );
      Deno.env.set("PATH", folder);
      const absent = await tryVideoPrograms();
      assert.deepEqual([absent.ffmpeg, absent.encoder], [null, null]);
      assert.match(absent.decodeError!, /no ffmpeg/);
      await put(
        "ffmpeg",
        `if [ "$1" = -version ]; then echo ffmpeg version 1; else echo no codec >&2; exit 1; fi`,
      );
      const broken = await tryVideoPrograms();
      assert.equal(broken.ffmpeg, "ffmpeg version 1");
      assert.match(broken.decodeError!, /no codec/);
      assert.deepEqual([broken.encoder, broken.encodeError], [null, "no codec"]);
    } finally {
      Deno.env.set("PATH", before);
      await Deno.remove(folder, { recursive: true });
    }
  },
});
