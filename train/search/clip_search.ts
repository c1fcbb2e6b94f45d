/** Searching an index as one object: the index in memory, its network on the GPU, sentences and clips to ask it with. */

import { resolve } from "node:path";
import { ConfigError, DataError } from "../../lib/errors.ts";
import type { TellStage } from "../../lib/stage.ts";
import type { LocateBackbone } from "../evaluation/trained_model.ts";
import { cannotUse, clipsOfPaths } from "../feed/named_clips.ts";
import type { TunedChoices } from "../runtime/device/tuned.ts";
import { type EmbeddingModel, findEmbeddingModel, identityOf } from "./embedding_model.ts";
import { type ModelEmbedder, openEmbedder } from "./model_embedder.ts";
import { type SearchHit, SearchIndex } from "./search_index.ts";

/** Where the network of an index is now. An index knows where it was. */
export interface IndexModelPlace {
  /** Run folder or checkpoint, where it was moved. */
  model?: string;
  /** Its recipe, where one was given with it and was moved. */
  config?: string;
  /** Finds what the index names: a path, or published weights by their name; and the backbone's file. By default it is a path. */
  find?: (
    target: string,
    from: { isRecorded: boolean },
  ) => Promise<{ target: string; locate?: LocateBackbone }>;
}

/** How to open an index for searching. */
export interface OpenSearchOptions extends IndexModelPlace {
  /** Measured kernel choices of this machine. */
  choices?: TunedChoices;
  /** Told of every stage until the first answer. */
  stage?: TellStage;
}

/** Hits that are asked for where nothing is said. */
const DEFAULT_TOP = 10;

/**
 * Opens an index that `indexClips` or `sidenet index` wrote, with its network on the GPU.
 *
 * @throws {DataError} where the folder holds no index, or its network is gone
 * @throws {ConfigError} where the network there is another one
 * @example
 * ```ts
 * await using search = await openSearch("index");
 * const [hits] = await search.find(["a red car turns left"], { top: 3 });
 * ```
 */
export async function openSearch(folder: string, options: OpenSearchOptions = {}): Promise<ClipSearch> {
  const index = await SearchIndex.open(folder), model = await modelOfIndex(folder, index, options);
  const { choices, stage } = options;
  const embedder = await openEmbedder(model, { clips: [], atOnce: 1, choices, stage });
  return new ClipSearch(index, { model, embedder });
}

/** The network that an index was made with, wherever it is now. */
export async function modelOfIndex(
  folder: string,
  { manifest }: Pick<SearchIndex, "manifest">,
  now: IndexModelPlace = {},
): Promise<EmbeddingModel> {
  const { target, config, overrides, identity } = manifest.model;
  const at = (path: string) => resolve(manifest.started_in, path);
  const find = now.find ?? ((target) => Promise.resolve({ target, locate: undefined }));
  const { target: place, locate } = await find(now.model ?? at(target), {
    isRecorded: now.model === undefined,
  });
  if (!await Deno.stat(place).then(() => true, () => false)) {
    throw new DataError(
      `Cannot search "${folder}": its model must be at "${place}", nothing is there; say where it is with --model`,
    );
  }
  const recipe = now.config ?? (config === null ? null : at(config));
  const model = await findEmbeddingModel({ target: place, config: recipe, overrides, locate });
  if (await identityOf(model) === identity) return model;
  throw new ConfigError(
    `Cannot search "${folder}" with "${place}": the model must be the one that the index was made with, it has other weights or ` +
      `settings; name that one with --model, or index again`,
  );
}

/** An index with its network on the GPU, which is given back when it is disposed of. */
export class ClipSearch implements AsyncDisposable {
  /** The index in memory. */
  readonly index: SearchIndex;
  readonly #model: EmbeddingModel;
  readonly #embedder: ModelEmbedder;

  /** See `openSearch`. */
  constructor(index: SearchIndex, of: { model: EmbeddingModel; embedder: ModelEmbedder }) {
    this.index = index;
    this.#model = of.model;
    this.#embedder = of.embedder;
  }

  /** The adapter that the network runs on. */
  get adapter(): string {
    return this.#embedder.adapter;
  }

  /**
   * The clips, or windows of long ones, that are nearest to each sentence, the nearest first.
   *
   * @param options.top Hits a sentence, 10 by default.
   */
  async find(sentences: readonly string[], options: { top?: number } = {}): Promise<SearchHit[][]> {
    const empty = sentences.findIndex((sentence) => sentence.trim() === "");
    if (empty >= 0) {
      throw new ConfigError(
        `Cannot search: a sentence must hold a word or more, sentence ${empty + 1} is empty`,
      );
    }
    if (sentences.length === 0) return [];
    return await this.index.search({ texts: sentences }, {
      top: topOf(options),
      embedder: this.#embedder,
    });
  }

  /**
   * The clips that are nearest to a clip, which need not be in the index.
   *
   * @param path Video file or folder of frames.
   * @throws {DataError} where it is no clip, or nothing of it can be read
   */
  async findLike(path: string, options: { top?: number; signal?: AbortSignal } = {}): Promise<SearchHit[]> {
    const { image_tmpl: template } = this.#model.config.data, what = "search with";
    const found = await clipsOfPaths([path], template, {
      fail: (error) => {
        throw error;
      },
      note: () => {},
      what,
    });
    if (found.length !== 1) {
      throw cannotUse(path, `it must be one clip, current count is ${found.length}`, what);
    }
    const clip = { path: found[0], label: 0, frames: null, line: 0 };
    const [said] = await Array.fromAsync(
      this.#embedder.embedClips([clip], { signal: options.signal }),
    );
    if (said.features === null) throw cannotUse(path, said.problems[0], what);
    const [hits] = await this.index.search({ clip: said.features }, { top: topOf(options), embedder: null });
    return hits;
  }

  /** What the network does not hear of sentences: words that it has no tokens for, and what is too long. One line each. */
  remarksOn(sentences: readonly string[]): Promise<string[]> {
    return this.#embedder.remarksOn(sentences);
  }

  /** Gives the GPU back. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#embedder[Symbol.asyncDispose]();
  }
}

function topOf({ top = DEFAULT_TOP }: { top?: number }): number {
  if (Number.isInteger(top) && top > 0) return top;
  throw new ConfigError(
    `Cannot search: the number of hits must be a whole number from 1, current value is ${top}`,
  );
}
