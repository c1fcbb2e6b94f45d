/** Ways in which clips on disk are broken, or look odd and are not, made from good clips. */
import { execFileSync } from "node:child_process";
import { mkdir, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp, { type Sharp } from "sharp";
import { ffmpeg } from "./video_files.ts";

/** What is done to a good clip, and what the run must say of it. */
export interface Damage {
  name: string;
  /** @param path the clip's folder of frames 00001.jpg … 00008.jpg, or its video file */
  make: (path: string) => Promise<void>;
  /** Number of frames that the list states, where that is what is wrong. */
  stated?: number;
  /** Expected problem, in training or evaluation; null: the clip is odd but good, and nothing may be said. */
  problem: RegExp | null;
}

const frame = (folder: string, number: number) => join(folder, `${String(number).padStart(5, "0")}.jpg`);
const numbers = [1, 2, 3, 4, 5, 6, 7, 8];

/** Replaces one frame by what `change` makes of its bytes. */
function changing(number: number, change: (bytes: Uint8Array) => Uint8Array | Promise<Uint8Array>) {
  return async (folder: string) => {
    const path = frame(folder, number);
    await writeFile(path, await change(await readFile(path)));
  };
}

/** A named pipe in place of a file; opening it for reading waits for a writer that never comes. */
async function pipe(path: string): Promise<void> {
  await rm(path);
  execFileSync("mkfifo", [path]);
}

/** Damages to folders of eight JPEG frames of 20x20 pixels. */
export const FOLDER_DAMAGES: readonly Damage[] = [
  {
    name: "another number of frames in the list",
    make: () => Promise.resolve(),
    stated: 60,
    problem: /^clip: the list states 60 frames, it has 8; its own count is used$/,
  },
  {
    name: "missing folder",
    make: (folder) => rm(folder, { recursive: true }),
    problem: /^clip: it does not exist; (black|".*" of its class is used instead)$/s,
  },
  {
    name: "empty folder",
    make: async (folder) => {
      await rm(folder, { recursive: true });
      await mkdir(folder);
    },
    problem:
      /^clip: (its folder is empty|none of its \d+ files is named like "\{:05d\}\.jpg"); (black|".*" of its class is used instead)$/s,
  },
  {
    name: "frames under other names",
    make: async (folder) => {
      for (const number of numbers) {
        await rename(frame(folder, number), join(folder, `frame ${number}\n.png`));
      }
    },
    problem:
      /^clip: none of its 8 files is named like "\{:05d\}\.jpg"; (black|".*" of its class is used instead)$/s,
  },
  {
    name: "a file in place of the folder",
    make: async (folder) => {
      await rm(folder, { recursive: true });
      await writeFile(folder, "no folder");
    },
    problem:
      /^clip: (a part of the path is not a folder|it cannot be read: Invalid data.*); (black|".*" of its class is used instead)$/s,
  },
  {
    name: "a link that leads back to itself in place of the folder",
    make: async (folder) => {
      await rm(folder, { recursive: true });
      await symlink(folder, folder);
    },
    problem: /^clip: its symbolic links lead back to themselves; (black|".*" of its class is used instead)$/s,
  },
  {
    name: "every frame empty",
    make: async (folder) => {
      for (const number of numbers) await truncate(frame(folder, number));
    },
    problem:
      /^clip: none of its 8 frames can be read; frame 1: the file is empty; (black|".*" of its class is used instead)$/s,
  },
  {
    name: "an empty frame",
    make: changing(3, () => new Uint8Array(0)),
    problem: /^frame 3: the file is empty; frame 1 is used instead$/,
  },
  {
    name: "a truncated frame",
    make: changing(1, (bytes) => bytes.subarray(0, bytes.length - 40)),
    problem: /^frame 1: its JPEG data is broken or cut short; frame 2 is used instead$/,
  },
  {
    name: "a frame cut in its header",
    make: changing(2, (bytes) => bytes.subarray(0, 30)),
    problem: /^frame 2: its JPEG data is broken or cut short; frame 1 is used instead$/,
  },
  {
    name: "a PNG under a JPEG's name",
    make: changing(4, (bytes) => sharp(bytes).png().toBuffer()),
    problem: null,
  },
  {
    name: "a PNG of 16 bits under a JPEG's name",
    make: changing(6, (bytes) => sharp(bytes).toColourspace("rgb16").png().toBuffer()),
    problem: null,
  },
  {
    name: "an error page under a JPEG's name",
    make: changing(5, () => new TextEncoder().encode("<html>404</html>")),
    problem:
      /^frame 5: it is no picture that can be read: .* it starts with bytes 3c 68 74 6d; frame 1 is used instead$/,
  },
  {
    name: "a gap in the numbers",
    make: (folder) => rm(frame(folder, 6)),
    problem: /^frame 6: it does not exist; frame 1 is used instead$/,
  },
  {
    name: "a pipe in place of a frame",
    make: (folder) => pipe(frame(folder, 1)),
    problem: /^frame 1: it is no regular file; frame 2 is used instead$/,
  },
  {
    name: "a folder in place of a frame",
    make: async (folder) => {
      await rm(frame(folder, 7));
      await mkdir(frame(folder, 7));
    },
    problem: /^frame 7: it is a folder; frame 1 is used instead$/,
  },
  {
    name: "a link that leads back to itself in place of a frame",
    make: async (folder) => {
      await rm(frame(folder, 2));
      await symlink("00002.jpg", frame(folder, 2));
    },
    problem: /^frame 2: its symbolic links lead back to themselves; frame 1 is used instead$/,
  },
  {
    name: "a frame of another size",
    make: changing(5, (bytes) => sharp(bytes).resize(31, 17, { fit: "fill" }).jpeg().toBuffer()),
    problem: /^frame 5: its size 31x17 is not the clip's 20x20; resized$/,
  },
  {
    name: "a header that states 65535x65535 pixels",
    make: changing(1, (bytes) => {
      const header = bytes.findIndex((byte, i) => byte === 0xff && bytes[i + 1] === 0xc0);
      return bytes.fill(0xff, header + 5, header + 9);
    }),
    problem: /^frame 1: its size 65535x65535 is more than 67,108,864 pixels; frame 2 is used instead$/,
  },
  { name: "grey frames", make: eachFrame((image) => image.greyscale()), problem: null },
  { name: "CMYK frames", make: eachFrame((image) => image.toColourspace("cmyk")), problem: null },
  {
    name: "progressive frames",
    make: eachFrame((image) => image.jpeg({ progressive: true })),
    problem: null,
  },
  {
    name: "foreign files beside the frames",
    make: async (folder) => {
      await writeFile(join(folder, "Thumbs.db"), "x");
      await writeFile(join(folder, "00009.jpg.part"), "x");
      await mkdir(join(folder, "@eaDir"));
    },
    problem: null,
  },
  {
    name: "a folder behind a link",
    make: async (folder) => {
      await rename(folder, `${folder} é\n目標`);
      await symlink(`${folder} é\n目標`, folder);
    },
    problem: null,
  },
];

/** A folder whose owner may not read it; the superuser may read everything. */
export const FORBIDDEN_FOLDER: Damage = {
  name: "a folder that may not be read",
  make: (folder) => Deno.chmod(folder, 0),
  problem: /^clip: permission is denied; (black|".*" of its class is used instead)$/s,
};

function eachFrame(change: (image: Sharp) => Sharp) {
  return async (folder: string) => {
    for (const number of numbers) {
      await changing(number, (bytes) => change(sharp(bytes)).jpeg().toBuffer())(folder);
    }
  };
}

/** Damages to MP4 files that hold their index behind the pictures. */
export const VIDEO_DAMAGES: readonly Damage[] = [
  {
    name: "missing video",
    make: (file) => rm(file),
    problem: /^clip: it does not exist; (black|".*" of its class is used instead)$/s,
  },
  {
    name: "empty video",
    make: (file) => truncate(file),
    problem: /^clip: the file is empty; (black|".*" of its class is used instead)$/s,
  },
  {
    name: "a video cut before its index",
    make: async (file) => await truncate(file, Math.floor((await readFile(file)).length / 2)),
    problem:
      /^clip: it cannot be read: (moov atom not found|Invalid data).*; (black|".*" of its class is used instead)$/s,
  },
  {
    name: "a video whose pictures are cut",
    make: async (file) => {
      const whole = `${file}.whole.mp4`;
      await ffmpeg(["-i", file, "-c", "copy", "-movflags", "+faststart", whole]);
      await rename(whole, file);
      const { length } = await readFile(file);
      await truncate(file, length - 400);
    },
    problem: /^clip: .*; concealed$/,
  },
  {
    name: "pictures overwritten",
    make: async (file) => {
      const bytes = await readFile(file), start = bytes.indexOf("mdat") + 1000;
      for (let at = start; at < start + 600; at++) bytes[at] = (at * 7919) % 251;
      await writeFile(file, bytes);
    },
    problem: /^clip: .*; concealed$/,
  },
  {
    name: "sound alone",
    make: (file) => ffmpeg(["-f", "lavfi", "-i", "sine=duration=0.2", "-c:a", "aac", file]),
    problem: /^clip: it has no video stream; (black|".*" of its class is used instead)$/s,
  },
  {
    name: "text under a video's name",
    make: (file) => writeFile(file, "no video\n".repeat(100)),
    problem: /^clip: it cannot be read: .*Invalid data.*; (black|".*" of its class is used instead)$/s,
  },
  {
    name: "a pipe in place of a video",
    make: pipe,
    problem: /^clip: it is no regular file; (black|".*" of its class is used instead)$/s,
  },
  {
    name: "a video link that leads back to itself",
    make: async (file) => {
      await rm(file);
      await symlink(file, file);
    },
    problem: /^clip: its symbolic links lead back to themselves; (black|".*" of its class is used instead)$/s,
  },
  {
    name: "a list of other files under a video's name",
    make: (file) => writeFile(file, "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n"),
    problem: /^clip: it is a playlist, not a video; (black|".*" of its class is used instead)$/s,
  },
];
