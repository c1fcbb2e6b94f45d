/** `sidenet doctor`: what works on this machine, and what to install for the rest. It believes what it has tried (`doctor/`). */
import { formatBytes } from "../lib/text.ts";
import { adapterFindings } from "./doctor/adapter_findings.ts";
import type { Finding } from "./doctor/finding.ts";
import { type FolderFacts, inspectMachine, type Machine } from "./doctor/machine.ts";
import { mpiFinding } from "./doctor/mpi.ts";
import { defineCommand, parseArguments } from "./shared/args.ts";
import { deviceLines } from "./ranks/devices.ts";
import { joinWorld, rankLines, tellCard } from "./ranks/world.ts";
import type { Io } from "./shared/output.ts";

export const command = defineCommand({
  name: "doctor",
  summary: "Say what works on this machine and what to install",
  usage: "",
  positionals: { max: 0 },
  details:
    "Every line is the outcome of a trial: drivers are loaded one by one, small kernels run and are held against plain loops, ffmpeg writes and reads a tiny clip.\n" +
    "Exit code: 0 when training can run here, 3 without a GPU adapter, 1 when something else that is needed fails.",
  options: {},
});

const NO_ADAPTER_EXIT_CODE = 3;

export async function run(args: string[], io: Io): Promise<number> {
  parseArguments(command, args);
  const world = await joinWorld(io);
  if (world.rank > 0) return await tellCard(world);
  const machine = await inspectMachine(world);
  const findings = findingsOf(machine);
  for (const line of formatFindings(findings)) io.print(line);
  for (const line of [...deviceLines(machine.devices), ...await rankLines(world)]) io.print(line);
  io.print(verdictOf(findings));
  io.printJson(jsonOf(machine, findings));
  if (machine.adapter === null) return NO_ADAPTER_EXIT_CODE;
  return findings.some(({ state }) => state === "missing") ? 1 : 0;
}

/** Judges each part of a machine. */
export function findingsOf(machine: Machine): Finding[] {
  return [
    ...adapterFindings(machine),
    denoFinding(machine),
    jpegFinding(machine),
    ...videoFindings(machine),
    mpiFinding(machine.mpi),
    ...memoryFindings(machine),
    diskFinding(machine.freeBytes),
    folderFinding("weights folder", machine.weightsFolder, {
      none: "none of your own; SIDENET_WEIGHTS=FOLDER names one with files such as ViT-B-16.pt",
      advice: "set SIDENET_WEIGHTS to the folder that has your weights, or unset it",
    }),
    folderFinding("cache folder", machine.cacheFolder, {
      none: "none: no home folder is known, so fetched weights and measured kernels cannot be kept",
      advice: "set SIDENET_CACHE to a folder that can be written",
    }),
  ];
}

/** The last line: whether training can run here, and what stands against it. */
export function verdictOf(findings: readonly Finding[]): string {
  const missing = findings.filter(({ state }) => state === "missing").map(({ topic }) => topic);
  if (missing.length > 0) return `Cannot train here: what must be mended first: ${missing.join(", ")}`;
  const worth = findings.filter(({ state }) => state === "slow" || state === "warning").length;
  return worth === 0
    ? "Training can run here."
    : `Training can run here; ${worth} line${worth === 1 ? "" : "s"} above ${
      worth === 1 ? "says" : "say"
    } what is slow or in the way.`;
}

function ok(topic: string, text: string): Finding {
  return { topic, state: "ok", text };
}

function denoFinding({ deno, pinnedDeno }: Machine): Finding {
  if (deno === pinnedDeno) return ok("Deno", `${deno}, the version that sidenet is tested with`);
  return {
    topic: "Deno",
    state: "warning",
    text: `${deno}; tested with ${pinnedDeno}`,
    advice: "start through ./denow, which fetches that version",
  };
}

function jpegFinding({ jpegError }: Machine): Finding {
  if (jpegError === null) return ok("JPEG decoder", "wrote and read a picture");
  return {
    topic: "JPEG decoder",
    state: "missing",
    text: jpegError,
    advice: "delete node_modules/ and run ./denow deno install",
  };
}

/** Videos are one of two things to train on: what fails here is told, and is no obstacle for folders of frames. */
function videoFindings({ video }: Machine): Finding[] {
  const { ffmpeg, ffprobe, decodeError, encoder, encodeError } = video;
  if (ffmpeg === null || ffprobe === null) {
    const absent = [ffmpeg === null && "ffmpeg", ffprobe === null && "ffprobe"].filter(Boolean).join(" and ");
    return [{
      topic: "ffmpeg",
      state: "optional",
      text: `${absent} not found, or not to be started; needed only to read video files, not frame folders`,
      advice: "apt-get install --no-install-recommends ffmpeg",
    }];
  }
  const version = ffmpeg.replace(/ Copyright.*$/, "").replace(/^ffmpeg version /, "") || "of no version";
  const reads: Finding = decodeError === null
    ? ok("ffmpeg", `${version}: read an H.264 clip, its pictures are right`)
    : {
      topic: "ffmpeg",
      state: "warning",
      text: `${version}: cannot read a small H.264 clip (${decodeError}); such videos cannot be trained on`,
      advice: "install an ffmpeg that has the decoder h264, 5.1 or later (apt-get install ffmpeg; Fedora: " +
        "ffmpeg-free with openh264, or RPM Fusion's ffmpeg), and look which comes first on the PATH",
    };
  if (encoder === null) {
    return [reads, {
      topic: "video encoder",
      state: "optional",
      text: `none works (${encodeError}); needed only for predict --annotate`,
      advice: "install an ffmpeg with libx264 or mpeg4",
    }];
  }
  const isH264 = encoder === "libx264";
  return [
    reads,
    ok(
      "video encoder",
      `${encoder}: wrote a clip and read it back` +
        (isH264 ? "" : `; libx264 does not work (${encodeError}), so predict --annotate writes MPEG-4`),
    ),
  ];
}

/** A demo run with its data set takes about a tenth of this. */
const LITTLE_SPACE_BYTES = 2 ** 30;
/** The demo takes half of this; a ViT-B/16 with its decoders four times as much. */
const LITTLE_MEMORY_BYTES = 2 ** 30;

function memoryFindings({ memory }: Machine): Finding[] {
  if (memory === null) return [];
  const text = `${formatBytes(memory.available)} of ${formatBytes(memory.total)} free`;
  if (memory.available >= LITTLE_MEMORY_BYTES) return [ok("memory", text)];
  return [{
    topic: "memory",
    state: "warning",
    text: `${text}: reading clips and loading a backbone may fail`,
    advice: "close other programs; plan RECIPE says what a run takes of it",
  }];
}

function diskFinding(freeBytes: number | null): Finding {
  if (freeBytes === null) return { topic: "disk", state: "optional", text: "free space unknown" };
  const text = `${formatBytes(freeBytes)} free here`;
  if (freeBytes >= LITTLE_SPACE_BYTES) return ok("disk", text);
  return {
    topic: "disk",
    state: "warning",
    text,
    advice: "free some space: runs and checkpoints are written here",
  };
}

function folderFinding(
  topic: string,
  { path, problem, weights }: FolderFacts,
  words: { none: string; advice: string },
): Finding {
  if (path === null) return { topic, state: "optional", text: words.none };
  if (problem !== null) return { topic, state: "warning", text: `${path}: ${problem}`, advice: words.advice };
  return ok(topic, `${path} (${weights.length === 0 ? "no published weights in it" : weights.join(", ")})`);
}

/** The report as aligned lines. */
export function formatFindings(findings: readonly Finding[]): string[] {
  const width = Math.max(...findings.map(({ topic }) => topic.length));
  return findings.flatMap(({ topic, state, text, advice }) => {
    const line = `${state.padEnd(8)}  ${topic.padEnd(width)}  ${text}`;
    return advice === undefined ? [line] : [line, `${" ".repeat(width + 12)}→ ${advice}`];
  });
}

/** The report as one object. */
export function jsonOf(machine: Machine, findings: readonly Finding[]): Record<string, unknown> {
  const { adapter } = machine;
  return {
    adapter: adapter?.name ?? null,
    software: adapter?.isSoftware ?? null,
    features: adapter?.features ?? [],
    limits: adapter?.limits ?? {},
    deno: machine.deno,
    tested_deno: machine.pinnedDeno,
    opengl: adapter === null || adapter.isVulkan === null ? null : !adapter.isVulkan,
    kernels: adapter?.trials ?? [],
    devices: machine.devices.map(({ number, name, ids, pci, driver, chosenBy }) => ({
      number,
      name,
      ids,
      pci,
      driver,
      chosen_by: chosenBy,
    })),
    vulkan_drivers: machine.vulkanDrivers,
    ffmpeg: machine.video.ffprobe === null ? null : machine.video.ffmpeg,
    h264: machine.video.decodeError === null,
    video_encoder: machine.video.encoder,
    mpi: machine.mpi,
    jpeg: machine.jpegError === null,
    free_bytes: machine.freeBytes,
    memory: machine.memory,
    weights_folder: machine.weightsFolder,
    cache_folder: machine.cacheFolder,
    ok: findings.every(({ state }) => state !== "missing"),
    findings,
  };
}
