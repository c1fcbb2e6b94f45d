/** Attacks on indexing and searching: killed, started twice, with clips that come, go and change, and with mangled files. */
import { join } from "node:path";
import { writeTinyClip } from "../../_util/tiny_clip.ts";
import { lastLine, type Outcome, TinyFolder } from "../../cli/_tiny.ts";
import { disturbed, drawsOf, lost, RUN_MS, sleep, unclear, wrong } from "./_tiny_runs.ts";
import type { Attack, Damage } from "./attack.ts";

const SYNTH = ["synth", "clips", "--train-clips", "60", "--val-clips", "20", "--size", "64x48"];
// Small batches, so that there are many moments between them.
const KEYS = ["data.num_segments=4", "data.batch_size=2", "data.workers=1"];
const INDEX = ["index", "clip.safetensors", "clips", "--out", "index", ...KEYS];
const CLIPS = 80;

/** A folder with a CLIP checkpoint and clips. */
async function collection(path: string): Promise<TinyFolder> {
  const folder = await TinyFolder.in(path);
  await writeTinyClip(folder.file("clip.safetensors"));
  const outcome = await folder.sidenet(SYNTH);
  if (outcome.code !== 0) throw new Error(`Cannot begin: ${outcome.stderr}`);
  return folder;
}

interface Manifest {
  complete: boolean;
  features: { file: string };
  clips: { path: string; sha256: string; spans: unknown; row: number }[];
}

/** What an index says, without what differs from folder to folder. */
async function contentOf(folder: TinyFolder, name = "index"): Promise<string> {
  const { complete, features, clips } = await folder.json<Manifest>(name, "index.json");
  const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(folder.file(name, features.file)));
  const rows = clips.map(({ path, sha256, spans, row }) => JSON.stringify([path, sha256, spans, row]));
  return [complete, new Uint8Array(digest).toHex(), ...rows].join("\n");
}

/** Whether an index is what a new one of the same clips is, with nothing beside it. */
async function indexDamage(folder: TinyFolder): Promise<Damage | null> {
  const left = await Array.fromAsync(Deno.readDir(folder.file("index")), ({ name }) => name);
  if (left.length !== 2) return wrong(`left behind: ${left.join(" ")}`);
  const fresh = await folder.sidenet([...INDEX.slice(0, 4), "fresh", ...KEYS]);
  if (fresh.code !== 0) return lost(`a new index: ${lastLine(fresh)}`);
  return await contentOf(folder) === await contentOf(folder, "fresh") ? null : wrong("it is another index");
}

const embeddedOf = ({ stdout }: Outcome): number => JSON.parse(stdout).embedded;

async function killedIndex(path: string, number: number): Promise<Damage | null> {
  const folder = await collection(path), draws = drawsOf("index", number);
  for (let kill = 0; kill < 3; kill++) {
    await disturbed(folder, INDEX, async (child) => {
      await sleep(draws.uniform() * RUN_MS);
      child.kill(kill === number % 3 ? "SIGINT" : "SIGKILL");
    });
  }
  const journal = await Deno.readTextFile(folder.file("index", "unfinished.jsonl")).catch(() => "");
  const inIndex = await folder.json<Manifest>("index", "index.json").then(
    ({ clips }) => clips.map(({ path }) => folder.file(path)),
    () => [],
  );
  const inJournal = journal.split("\n").slice(1, -1).map((line) => JSON.parse(line).file);
  const there = new Set([...inIndex, ...inJournal]).size;
  const last = await folder.sidenet([...INDEX, "--json"]);
  if (last.code !== 0) return lost(`exit ${last.code}: ${lastLine(last)}`);
  if (embeddedOf(last) !== CLIPS - there) {
    return wrong(`${embeddedOf(last)} of ${CLIPS} clips embedded, ${there} were there`);
  }
  return await indexDamage(folder);
}

async function twoIndexings(path: string): Promise<Damage | null> {
  const folder = await collection(path);
  const outcomes = await Promise.all([INDEX, INDEX].map((args) => folder.sidenet(args)));
  for (const outcome of outcomes) {
    const isRefused = outcome.code === 4 && /: process \d+ .*is writing to it/.test(lastLine(outcome));
    if (outcome.code !== 0 && !isRefused) return unclear(outcome);
  }
  return outcomes.some(({ code }) => code === 0) ? await indexDamage(folder) : lost("both were refused");
}

/** Clips that come, go and change, before or while an index is brought up to date. */
async function changedClips(path: string, number: number): Promise<Damage | null> {
  const folder = await collection(path), draws = drawsOf("clips", number);
  const first = await folder.sidenet(INDEX);
  if (first.code !== 0) return lost(lastLine(first));
  const clip = (n: number) => folder.file("clips", "train", String(n + 1).padStart(5, "0"));
  const change = async () => {
    for (let i = 0; i < 6; i++) {
      const one = clip(draws.integer(60)), other = clip(draws.integer(60));
      const kind = draws.integer(4);
      await (kind === 0
        ? Deno.remove(one, { recursive: true })
        : kind === 1
        ? Deno.copyFile(join(other, "00002.jpg"), join(one, "00001.jpg"))
        : kind === 2
        ? Deno.rename(one, `${one}-${number}-${i}`)
        : Deno.utime(join(one, "00003.jpg"), new Date(), new Date())).catch(() => {}); // it may be gone
    }
  };
  if (number % 2 === 0) await change();
  else {
    await Deno.remove(folder.file("index"), { recursive: true });
    const during = await disturbed(folder, INDEX, async () => {
      await sleep(draws.uniform() * RUN_MS);
      await change();
    });
    if (during.code !== 0 && during.code !== 4) return unclear(during);
  }
  const last = await folder.sidenet(INDEX);
  return last.code === 0 ? await indexDamage(folder) : unclear(last);
}

/** An index of which a file was cut, changed or taken away is refused in one line, or is as sound as before. */
async function mangledIndex(path: string, number: number): Promise<Damage | null> {
  const folder = await collection(path), draws = drawsOf("mangle", number);
  const first = await folder.sidenet(INDEX);
  if (first.code !== 0) return lost(lastLine(first));
  const query = ["search", "index", "something moves", "--json"], sound = await folder.sidenet(query);
  const { features } = await folder.json<Manifest>("index", "index.json");
  const file = folder.file("index", number % 3 === 0 ? "index.json" : features.file);
  const bytes = await Deno.readFile(file);
  if (number % 3 === 2) bytes[draws.integer(bytes.length)] ^= 1 << draws.integer(8);
  await Deno.writeFile(file, number % 3 === 2 ? bytes : bytes.subarray(0, draws.integer(bytes.length)));
  const found = await folder.sidenet(query);
  if (found.code === 0) return found.stdout === sound.stdout ? null : wrong("other hits, and no word of it");
  const isTold = found.code === 4 && /^sidenet: Cannot read ".*": .* and index again$/.test(lastLine(found));
  return isTold ? null : unclear(found);
}

export const SEARCH_ATTACKS: readonly Attack[] = [
  {
    part: "search",
    what: "an indexing stopped three times at random moments, then finished",
    tries: 20,
    attempt: killedIndex,
  },
  { part: "search", what: "the same index made twice at once", tries: 6, attempt: twoIndexings },
  { part: "search", what: "clips replaced, removed, renamed, touched", tries: 12, attempt: changedClips },
  { part: "search", what: "files of an index cut or changed", tries: 12, attempt: mangledIndex },
];
