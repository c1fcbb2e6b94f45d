/**
 * Indexing: embeds the clips of a collection that an index does not hold yet, and writes it anew. Rows are kept in a journal as soon as
 * they are computed, so that an indexing that was killed goes on where it was (docs/search.md).
 */

import { resolve, sep } from "node:path";
import { stat } from "node:fs/promises";
import type { ClipRecord } from "../../data/datasets/list.ts";
import { mapConcurrently } from "../../data/datasets/walk.ts";
import { reasonOf } from "../../data/files.ts";
import { lockFolder, removeTemporary } from "../../data/folder_lock.ts";
import { type FrameTemplate, parseFrameTemplate } from "../../data/frames/frame_folder.ts";
import { readFeatures } from "../../data/search_index/features_file.ts";
import {
  type Journal,
  type JournalRow,
  JournalWriter,
  readJournal,
  removeJournal,
} from "../../data/search_index/journal.ts";
import {
  checkIndexFolder,
  type ClipSpan,
  type ClipStamp,
  type FeatureForm,
  fileOfClip,
  type IndexedClip,
  type IndexManifest,
  type IndexModel,
  type IndexWindows,
  leftovers,
  readIndexManifest,
} from "../../data/search_index/manifest.ts";
import { compareStamps, digestOfClip, stampOfClip } from "../../data/search_index/stamps.ts";
import { ConfigError, InterruptedError } from "../../lib/errors.ts";
import { formatCount } from "../../lib/text.ts";
import { writeIndex } from "./_write_index.ts";
import type { Embedder } from "./embedder.ts";
import { clipOfRows, type KnownClip, KnownClips } from "./known_clips.ts";
import { type ClipPart, partsOfClip, settleWindows } from "./parts.ts";

/** What is wrong with a clip, told in so many lines. */
const PROBLEMS_TOLD = 3;

/** How to index. */
export interface BuildIndexOptions {
  /** Folder of the index; made where it is missing. */
  out: string;
  model: IndexModel;
  /** What the user named, and the clips found there, as written from `startedIn`. */
  named: readonly string[];
  clips: readonly string[];
  /** Absolute. */
  startedIn: string;
  /** What the user said of windows; for the rest an index keeps to what it was begun with. */
  windows: Partial<IndexWindows>;
  /** How the frames of folders are named and numbered. */
  frames: { template: string; firstFrame: number | null };
  /** Opens the model; asked for only where something is to be embedded. Paths of clips are absolute. */
  open(clips: readonly ClipRecord[]): Promise<Embedder>;
  signal?: AbortSignal;
  events?: BuildIndexEvents;
}

/** What an indexing tells while it goes on. */
export interface BuildIndexEvents {
  looked?: (done: number, of: number) => void;
  planned?: (plan: IndexPlan) => void;
  opened?: (adapter: string) => void;
  progress?: (done: { rows: number; of: number; rowsPerSecond: number }) => void;
  /** A clip of which nothing can be read. */
  unreadable?: (clip: { path: string; reason: string }) => void;
  /** A remark on its own line. */
  note?: (text: string) => void;
}

/** What is to be done. */
export interface IndexPlan {
  /** Clips to embed, and the rows of them that are not there yet. */
  clips: number;
  rows: number;
  /** Clips whose features are there. */
  kept: number;
  /** Clips of the index that are no more. */
  dropped: number;
}

/** What was done. */
export interface BuildIndexResult {
  /** Of the whole index. */
  clips: number;
  rows: number;
  /** Clips of this run: with rows that were computed; whose features were there; that are no more. */
  embedded: number;
  kept: number;
  dropped: number;
  unreadable: { path: string; reason: string }[];
  /** Of the whole index: clips of which something could not be read and was replaced. */
  broken: { path: string; problems: readonly string[] }[];
  seconds: number;
  rows_per_second: number;
  /** null where nothing was to be computed. */
  adapter: string | null;
}

/** Clips whose files are looked at at once. */
const LOOKED_AT_ONCE = 8;

/** A clip of the index to come: its features are known, or not yet. */
interface Entry {
  /** As the user wrote it. */
  path: string;
  /** Absolute. */
  file: string;
  stamp: ClipStamp;
  known: KnownClip | null;
  unreadable: string | null;
  /** What is to be told once it could be read. */
  remark?: string;
}

/** A row to compute, of so many of its clip. */
interface PlannedPart extends ClipPart {
  entry: Entry;
  count: number;
}

/** Embeds what is missing and writes the index. @throws {InterruptedError} once what is done is in the index */
export async function buildIndex(options: BuildIndexOptions): Promise<BuildIndexResult> {
  using lock = await lockFolder(options.out, "index");
  if (lock.warning !== null) options.events?.note?.(lock.warning);
  const names = await checkIndexFolder(options.out), before = await readIndexManifest(options.out);
  requireSameModel(options, before);
  if (before !== null) await readFeatures(options.out, before); // what is lost or damaged is told before anything is added to it
  const windows = settleWindows(options.windows, before?.windows ?? null);
  await removeTemporary(options.out, leftovers(names, before));
  const settings = JSON.stringify([options.model.identity, windows]),
    journal = await readJournal(options.out);
  if (journal !== null && journal.settings !== settings) throw otherBeginning(options.out);
  return await new Indexing(options, { before, windows, settings, journal }).run();
}

class Indexing {
  readonly #options: BuildIndexOptions;
  readonly #template: FrameTemplate;
  readonly #before: IndexManifest | null;
  readonly #windows: IndexWindows;
  readonly #settings: string;
  readonly #known: KnownClips;
  readonly #journal: readonly JournalRow[];
  /** Rows of clips under way that are to be kept for the next time, by file. */
  readonly #begun = new Map<string, JournalRow[]>();
  /** Of a row's features; null until something tells. */
  #form: FeatureForm | null;
  #speed = { seconds: 0, rows: 0, adapter: null as string | null };

  constructor(
    options: BuildIndexOptions,
    from: {
      before: IndexManifest | null;
      windows: IndexWindows;
      settings: string;
      journal: Journal | null;
    },
  ) {
    this.#options = options;
    this.#template = parseFrameTemplate(options.frames.template);
    this.#before = from.before;
    this.#windows = from.windows;
    this.#settings = from.settings;
    this.#journal = from.journal?.rows ?? [];
    this.#known = new KnownClips(from.before, this.#journal);
    this.#form = from.journal?.form ?? from.before?.features ?? null;
  }

  async run(): Promise<BuildIndexResult> {
    const { signal, events } = this.#options;
    const entries = [...await this.#elsewhere(), ...await this.#named()];
    for (const { path, unreadable } of entries) {
      if (unreadable !== null) events?.unreadable?.({ path, reason: unreadable });
    }
    const missing = entries.filter(({ known, unreadable }) => known === null && unreadable === null);
    const kept = entries.filter(({ known }) => known !== null).length;
    const files = new Set(entries.map(({ file }) => file));
    const dropped = this.#known.files.filter((file) => !files.has(file)).length;
    const parts = await this.#partsOf(missing);
    events?.planned?.({ clips: missing.length, rows: parts.length, kept, dropped });
    try {
      if (parts.length > 0) await this.#embed(parts);
    } catch (error) {
      if (!signal?.aborted) throw error;
      const clips = await this.#write(entries, { complete: false });
      const of = formatCount(entries.length);
      throw new InterruptedError(
        `Interrupted: ${formatCount(clips.length)} of ${of} clips are in the index; the same command goes on`,
      );
    }
    const clips = await this.#write(entries, { complete: true });
    const { seconds, rows, adapter } = this.#speed;
    return {
      clips: clips.length,
      rows: clips.reduce((sum, { spans }) => sum + spans.length, 0),
      embedded: missing.filter(({ known }) => known !== null).length,
      kept,
      dropped,
      unreadable: entries.flatMap(({ path, unreadable }) =>
        unreadable === null ? [] : [{ path, reason: unreadable }]
      ),
      broken: clips.flatMap(({ path, problems }) => problems.length === 0 ? [] : [{ path, problems }]),
      seconds,
      rows_per_second: seconds > 0 ? rows / seconds : 0,
      adapter,
    };
  }

  /** Clips of the index that lie elsewhere than this run was to look: they stay, as long as they are there. */
  async #elsewhere(): Promise<Entry[]> {
    const { startedIn, named } = this.#options, roots = named.map((path) => resolve(startedIn, path));
    const isNamed = (file: string) =>
      roots.some((root) => file === root || file.startsWith(root.endsWith(sep) ? root : root + sep));
    const entries: Entry[] = [];
    const before = this.#before?.started_in === startedIn ? this.#before : null;
    const written = new Map(before?.clips.map(({ path }) => [fileOfClip(before, path), path]));
    for (const file of this.#known.files) {
      if (isNamed(file) || !await isThere(file)) continue;
      const known = this.#known.get(file)!;
      entries.push({ path: written.get(file) ?? file, file, stamp: known.stamp, known, unreadable: null });
    }
    return entries;
  }

  /** The clips that this run was to look at, with what is known of them. A file that is named twice is one clip. */
  async #named(): Promise<Entry[]> {
    const { clips, startedIn, signal, events } = this.#options;
    const paths = new Map(clips.toReversed().map((path) => [resolve(startedIn, path), path]));
    return await mapConcurrently([...paths].reverse(), async ([file, path]): Promise<Entry> => {
      const entry = { path, file, known: null, unreadable: null };
      try {
        const stamp = await stampOfClip(file, this.#template);
        const found = await this.#known.find(file, stamp, this.#template);
        if (found === null) return { ...entry, stamp };
        return "clip" in found
          ? { ...entry, stamp, known: found.clip }
          : { ...entry, stamp, unreadable: found.reason };
      } catch (error) {
        const stamp = { bytes: 0, modified: 0, changed: 0 };
        return { ...entry, stamp, unreadable: reasonOf(error) };
      }
    }, { atOnce: LOOKED_AT_ONCE, signal, onProgress: events?.looked });
  }

  /** The rows that are to be computed, clip by clip. */
  async #partsOf(missing: readonly Entry[]): Promise<PlannedPart[]> {
    const { signal, events, frames: { firstFrame } } = this.#options;
    const all = await mapConcurrently(missing, async (entry) => {
      const { parts, problem } = await partsOfClip(entry.file, {
        windows: this.#windows,
        template: this.#template,
        firstFrame,
        signal,
      });
      entry.remark = problem ?? undefined;
      const begun = this.#known.begun(entry.file, entry.stamp)
        .filter(({ part, parts: count, span }) => count === parts.length && isSpan(span, parts[part].span));
      this.#begun.set(entry.file, [...begun]);
      const have = new Set(begun.map(({ part }) => part));
      return parts.filter(({ part }) => !have.has(part)).map((part) => ({
        ...part,
        entry,
        count: parts.length,
      }));
    }, { atOnce: LOOKED_AT_ONCE, signal, onProgress: events?.looked });
    return all.flat();
  }

  async #embed(parts: readonly PlannedPart[]): Promise<void> {
    const { signal, events } = this.#options;
    await using embedder = await this.#options.open(parts.map(({ record }) => record));
    signal?.throwIfAborted();
    const { kind, shape, adapter } = embedder;
    this.#form = { kind, shape: [...shape] };
    const begun = [...this.#begun.values()].flat(), files = new Set(this.#begun.keys());
    const rows = this.#journal.filter(({ file }) => !files.has(file)).concat(begun);
    await using journal = await this.#beginJournal(rows);
    this.#speed.adapter = adapter;
    events?.opened?.(adapter);
    const started = performance.now();
    let done = 0, reading: { entry: Entry; sha256: Promise<string> } | undefined;
    for await (
      const { features, problems } of embedder.embedClips(parts.map(({ record }) => record), { signal })
    ) {
      const { entry, part, count, span } = parts[done];
      if (reading?.entry !== entry) {
        reading = { entry, sha256: digestOfClip(entry.file, this.#template, { signal }) };
      }
      const row = {
        file: entry.file,
        ...entry.stamp,
        sha256: await reading.sha256.catch(() => signal?.throwIfAborted() ?? ""), // it is gone: told below
        part,
        parts: count,
        span,
        problems: [...problems],
        features,
      };
      const own = this.#begun.get(entry.file)!;
      own.push(row);
      if (own.length === count && await this.#changed(entry)) {
        entry.unreadable = "it was changed while it was read; index it again";
        this.#begun.delete(entry.file);
        events?.unreadable?.({ path: entry.path, reason: entry.unreadable });
      } else {
        await journal.add(row);
        if (own.length === count) this.#finish(entry, own);
      }
      this.#speed = { ...this.#speed, seconds: (performance.now() - started) / 1000, rows: ++done };
      events?.progress?.({ rows: done, of: parts.length, rowsPerSecond: done / this.#speed.seconds });
    }
  }

  /** All rows of a clip are there. */
  #finish(entry: Entry, rows: JournalRow[]): void {
    entry.known = clipOfRows(rows.sort((a, b) => a.part - b.part));
    this.#begun.delete(entry.file);
    const { events } = this.#options, { path, remark } = entry;
    if (entry.known === null) {
      entry.unreadable = rows[0].problems[0] ?? "nothing of it could be read";
      events?.unreadable?.({ path, reason: entry.unreadable });
      return;
    }
    if (remark !== undefined) events?.note?.(`note: ${path}: ${remark}`);
    const { problems } = entry.known, more = problems.length - PROBLEMS_TOLD;
    for (const problem of problems.slice(0, PROBLEMS_TOLD)) events?.note?.(`warning: ${path}: ${problem}`);
    if (more > 0) events?.note?.(`warning: ${path}: and ${more} more, see "problems" in the index`);
  }

  async #changed({ file, stamp }: Entry): Promise<boolean> {
    const now = await stampOfClip(file, this.#template).catch(() => null);
    return now === null || compareStamps(now, stamp) !== "same";
  }

  /** Writes the index from the clips whose features are there, and returns these. */
  async #write(entries: readonly Entry[], { complete }: { complete: boolean }): Promise<IndexedClip[]> {
    const { model, startedIn } = this.#options, before = this.#before, form = this.#form;
    const known = entries.filter((entry) => entry.known !== null) as (Entry & { known: KnownClip })[];
    if (form === null) return []; // nothing was ever computed
    const clips: IndexedClip[] = [];
    let row = 0;
    for (const { path, stamp, known: { sha256, spans, problems } } of known) {
      clips.push({ path, ...stamp, sha256, row, spans: [...spans], problems: [...problems] });
      row += spans.length;
    }
    const unreadable = entries.filter((entry) => entry.unreadable !== null)
      .map(({ path, stamp, unreadable }) => ({ path, ...stamp, reason: unreadable! }));
    const index = { model, windows: this.#windows, started_in: startedIn, complete, clips, unreadable };
    const places = known.flatMap(({ known }) => known.places);
    await writeIndex(this.#options.out, { before, index, form, places });
    await this.#keepBegun();
    return clips;
  }

  /** Leaves in the journal what is not in the index: rows of clips that are not whole. */
  async #keepBegun(): Promise<void> {
    const rows = [...this.#begun.values()].flat();
    if (rows.length === 0) await removeJournal(this.#options.out);
    else await (await this.#beginJournal(rows))[Symbol.asyncDispose]();
  }

  async #beginJournal(rows: readonly JournalRow[]): Promise<JournalWriter> {
    return await JournalWriter.create(this.#options.out, {
      settings: this.#settings,
      form: this.#form!,
      rows,
    });
  }
}

function isSpan(a: ClipSpan, b: ClipSpan): boolean {
  return a[0] === b[0] && a[1] === b[1];
}

async function isThere(file: string): Promise<boolean> {
  return await stat(file).then(() => true, () => false);
}

function requireSameModel({ out, model }: BuildIndexOptions, before: IndexManifest | null): void {
  if (before === null || before.model.identity === model.identity) return;
  throw new ConfigError(
    `Cannot add to the index "${out}": the model must be the one it was made with, "${before.model.target}" as it was then, ` +
      `current model is "${model.target}" with other weights or settings; name another --out, or remove the index`,
  );
}

function otherBeginning(out: string): ConfigError {
  return new ConfigError(
    `Cannot add to the index "${out}": it holds the beginning of an index of another model, or of other windows, that was not ` +
      `finished; name another --out, or remove it`,
  );
}
