import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { identifyFile } from "../../../data/video/identify.ts";
import { contentOf, contentOfHead, hasVideoName, kindOfFile } from "../../../data/video/kind.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";
import { ffmpeg, hasFfmpeg } from "../../_util/video_files.ts";
import { ENCODERS } from "../../_util/video_times.ts";

function head(text: string, padding = 0): Uint8Array {
  return new Uint8Array([...Array.from(text, (c) => c.charCodeAt(0)), ...new Uint8Array(padding)]);
}

Deno.test("files are told by their first bytes", () => {
  const packets = new Uint8Array(188 * 6).map((_, i) => i % 188 === 50 ? 0x47 : i % 7);
  const cases: [head: Uint8Array, content: string][] = [
    [packets, "video"], // a transport stream that begins within a packet
    [head("import x from 'y';\n"), "text"], // TypeScript has the same ending
    [head("RIFF\0\0\0\0AVI LIST"), "video"],
    [head("RIFF\0\0\0\0WAVEfmt "), "sound"],
    [head("RIFF\0\0\0\0WEBPVP8 "), "picture"],
    [head("GIF89a"), "video"],
    [head("\x89PNG\r\n\x1a\n", 30), "picture"],
    [head("\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\0acTL"), "video"],
    [head("\xff\xd8\xff\xe0"), "picture"],
    [head("\0\0\0\x18ftypisom"), "container"],
    [head("\0\0\0\x18ftypM4A "), "sound"],
    [head("\0\0\0\x18ftypheic"), "picture"],
    [head("\x1aE\xdf\xa3", 40), "container"],
    [head("OggS" + "\0".repeat(24) + "\x80theora"), "video"],
    [head("OggS" + "\0".repeat(24) + "\x01vorbis"), "sound"],
    [head("\0\0\x01\xba", 20), "container"],
    [head("\0\0\0\x01\x67\x42"), "container"],
    [head("\0\0\x01\xb3\x14"), "video"],
    [head("ID3\x04"), "sound"],
    [head("\xff\xfb\x90"), "sound"],
    [head("PK\x03\x04"), "archive"],
    [head("%PDF-1.7"), "document"],
    [head("#EXTM3U\n"), "playlist"],
    [head("\xff\xfea\0b\0"), "text"], // UTF-16
    [head("caf\xc3"), "text"], // cut within a character
    [head("\0\x02\x03\x04"), "unknown"],
    [head(""), "empty"],
  ];
  for (const [bytes, content] of cases) {
    assert.equal(
      contentOfHead(bytes),
      content,
      JSON.stringify(String.fromCharCode(...bytes.subarray(0, 12))),
    );
  }
});

Deno.test("endings that say enough are believed, others are not", async () => {
  assert.deepEqual(
    ["a.MP4", "a.3gp", "a.ogv", "a.mpg", "a.vob", "a.m2ts", "a.divx", "a.rm", "a.gif"].map(hasVideoName),
    Array(9).fill(true),
  );
  assert.deepEqual(["a.ts", "a.mts", "a.jpg", "a.txt", "a", "mp4"].map(hasVideoName), Array(6).fill(false));
  await inTempFolder(async (root) => {
    for (const name of ["a.jpg", "a.mp3", "a.mp4"]) await writeFile(join(root, name), "text");
    const kinds = await Promise.all(["a.jpg", "a.mp3", "a.mp4"].map((name) => kindOfFile(join(root, name))));
    assert.deepEqual(kinds, ["picture", "sound", "video"]);
  });
});

Deno.test({
  name: "videos of every container are recognised without an ending, and sound is told from them",
  ignore: !hasFfmpeg,
  fn: () =>
    inTempFolder(async (root) => {
      const containers: [format: string, encoder: string, ...more: string[]][] = [
        ...[["mp4", "mpeg4"], ["mov", "mjpeg"], ["3gp", "mpeg4"], ["matroska", "mpeg4"], ["webm", "libvpx"]],
        ...[["avi", "mpeg4"], ["flv", "flv"], ["asf", "wmv2"], ["mpegts", "mpeg2video"], [
          "mpeg",
          "mpeg2video",
        ]],
        ...[["vob", "mpeg2video"], ["ogg", "libtheora"], ["nut", "mpeg4"], ["ivf", "libvpx"], ["rm", "rv20"]],
        ...[["mxf", "mpeg2video"], ["wtv", "mpeg2video"], ["gif", "gif"], ["apng", "apng"], [
          "h264",
          "libx264",
        ]],
        ...[["mpeg2video", "mpeg2video"], ["m4v", "mpeg4"], ["yuv4mpegpipe", "wrapped_avframe"]],
        ["mpegts", "mpeg2video", "-mpegts_m2ts_mode", "1"],
      ] as [string, string, ...string[]][];
      const source = ["-f", "lavfi", "-i", "testsrc2=s=176x144:r=25:d=0.4"];
      await Promise.all(containers.map(async ([format, encoder, ...more], i) => {
        if (!ENCODERS.has(encoder)) return;
        const path = join(root, `${i}`);
        await ffmpeg(
          [...source, "-pix_fmt", encoder === "gif" ? "rgb8" : encoder === "apng" ? "rgb24" : "yuv420p"]
            .concat(["-c:v", encoder, ...more, "-strict", "-2", "-f", format, path]),
        );
        assert.equal((await identifyFile(path)).problem, null, `${format}: ${await contentOf(path)}`);
      }));
      for (const [format, encoder] of [["matroska", "aac"], ["mp4", "aac"], ["asf", "wmav2"]]) {
        const path = join(root, format);
        await ffmpeg(["-f", "lavfi", "-i", "sine=duration=0.2", "-c:a", encoder, "-f", format, path]);
        assert.equal((await identifyFile(path)).problem, "it has no video stream", format);
      }
    }),
});

Deno.test({
  name: "a pipe is not opened to see what it is",
  ignore: Deno.build.os === "windows",
  fn: () =>
    inTempFolder(async (root) => {
      assert.equal(spawnSync("mkfifo", [join(root, "pipe.ts")]).status, 0);
      assert.equal(await contentOf(join(root, "pipe.ts")), "unknown");
    }),
});
