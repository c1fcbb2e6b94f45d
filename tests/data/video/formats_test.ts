/** Files that are named like videos and would make a program open something else. */
import assert from "node:assert/strict";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeFrames, decodeVideoClip, probeVideo } from "../../../data/video/decode.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";
import { ffmpeg, greyOf, hasFfmpeg, writeVideo } from "../../_util/video_files.ts";

function formatTest(name: string, work: (root: string) => Promise<void>): void {
  Deno.test({ name, ignore: !hasFfmpeg, fn: () => inTempFolder(work) });
}

const GREY = { frames: 5, width: 32, height: 16, pixel: greyOf };

formatTest("playlists and scripts are refused whatever their name, and open no other file", async (root) => {
  await writeVideo(join(root, "secret.ts"), GREY);
  const lists: Record<string, string> = {
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:4,\nsecret.ts\n#EXT-X-ENDLIST\n",
    "concat.mp4": `ffconcat version 1.0\nfile 'secret.ts'\n`,
    "absolute.mkv": `ffconcat version 1.0\nfile '${join(root, "secret.ts")}'\n`,
    "dash.webm":
      '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><BaseURL>secret.ts</BaseURL></Period></MPD>',
    "sdp.avi": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "metadata.mov": ";FFMETADATA1\ntitle=x\n",
    "-hls.mp4": "#EXTM3U\n#EXTINF:4,\nfile:secret.ts\n",
  };
  for (const [name, text] of Object.entries(lists)) {
    await writeFile(join(root, name), text);
    await assert.rejects(
      probeVideo(join(root, name)),
      /^Error: it is a playlist, not a video$/,
      name,
    );
  }
  const here = Deno.cwd();
  Deno.chdir(root);
  try {
    const { bad, substitutions: [{ reason }] } = await decodeVideoClip({
      ...{ file: "-hls.mp4", path: "-hls.mp4" },
      indices: [1],
    });
    assert.deepEqual([bad, reason], [true, "it is a playlist, not a video"]);
  } finally {
    Deno.chdir(here);
  }
});

formatTest("text, pictures and sound that are named like videos are told as what they are", async (root) => {
  const picture = join(root, "picture.mp4"), sound = join(root, "sound.mkv"), text = join(root, "text.webm");
  await ffmpeg(["-f", "lavfi", "-i", "testsrc2=s=32x16:d=1:r=1", "-frames:v", "1", "-f", "image2", picture]);
  await ffmpeg(["-f", "lavfi", "-i", "sine=duration=0.2", "-f", "mp3", sound]);
  await writeFile(text, "1\n00:00:01,000 --> 00:00:02,000\nwords\n");
  await assert.rejects(probeVideo(picture), /it is a picture, not a video$/);
  await assert.rejects(probeVideo(sound), /it is sound, not a video$/);
  await assert.rejects(probeVideo(text), /it is text, not a video$/);
});

formatTest("names that programs take for options, patterns or addresses are names of files", async (root) => {
  await writeVideo(join(root, "a.mp4"), GREY);
  await writeVideo(join(root, "b.mp4"), { ...GREY, frames: 9 });
  const names = [
    "-i.mp4",
    "%d.mp4",
    "%03d.mp4",
    "concat:b.mp4",
    "concat:b.mp4|b.mp4",
    "subfile,,start,0,end,0,,:b.mp4",
  ]
    .concat([
      "pipe:0",
      "http:b.mp4",
      "file:b.mp4",
      "crypto:b.mp4",
      "data:video,b.mp4",
      "a b*?[x].mp4",
      "cache:b.mp4",
    ]);
  const here = Deno.cwd();
  Deno.chdir(root);
  try {
    for (const name of names) {
      await copyFile("a.mp4", name);
      assert.equal((await probeVideo(name)).frames, 5, name);
      assert.equal((await decodeFrames(name, [4])).count, 1, name);
    }
  } finally {
    Deno.chdir(here);
  }
});

formatTest("a video of pictures that are too large is refused before any is decoded", async (root) => {
  const file = join(root, "large.avi");
  await writeVideo(file, { ...GREY, frames: 1, encoding: ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"] });
  const bytes = await readFile(file), view = new DataView(bytes.buffer, bytes.byteOffset);
  // The size stands in the headers of the file and of the stream (AVIMAINHEADER, BITMAPINFOHEADER), and in the JPEG's.
  const main = bytes.indexOf("avih") + 8,
    stream = bytes.indexOf("strf") + 8,
    frame = bytes.indexOf("ffc0", "hex");
  for (const place of [main + 32, stream + 4]) {
    view.setUint32(place, 16000, true);
    view.setUint32(place + 4, 16000, true);
  }
  view.setUint16(frame + 5, 16000);
  view.setUint16(frame + 7, 16000);
  await writeFile(file, bytes);
  await assert.rejects(
    probeVideo(file),
    /^Error: its pictures of 16000x16000 must have at most 67,108,864 pixels$/,
  );
});
