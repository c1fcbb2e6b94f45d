/** What the page shows of a model and of what a sentence finds. */
import { formatCount } from "../lib/text.ts";
import { formatClock } from "../train/evaluation/timeline.ts";
import { byId, make, saveButton } from "./dom.ts";
import type { Answer, ModelFacts, VideoResult } from "./protocol.ts";

/** Why nothing can be computed where the browser gives no GPU. */
export function noGpu(): string {
  return "Cannot compute: " +
    (isSecureContext
      ? "this browser offers no GPU to pages. Chrome and Edge do, Safari from version 26 and Firefox from 141 on Windows; " +
        "on Linux, start Chromium with --enable-unsafe-webgpu, and with --enable-features=Vulkan for its GPU"
      : "browsers offer a GPU to pages from https, localhost or a file alone");
}

/** Whether the browser gives this page a GPU. */
export async function hasGpu(): Promise<boolean> {
  return !!await navigator.gpu?.requestAdapter().catch(() => null);
}

/** A figure of a model. */
export type Tile = readonly [title: string, value: string, small: string];

/** Shows what a model is. @param more Figures of one that is on the GPU. */
export function describe(model: ModelFacts, more: readonly Tile[] = []): void {
  const { labels, needs, needsWords } = model;
  const tiles: Tile[] = [
    ["model", model.system, model.file],
    ["backbone", model.backbone, needs === null ? "no further file" : `in ${needs}`],
    model.searches ? ["finds", "parts of videos", "by sentences"] : [
      "classes",
      formatCount(labels.length),
      labels.slice(0, 6).join(", ") + (labels.length > 6 ? ", …" : ""),
    ],
    ["reads", `${model.frames} frames`, `of ${model.side}×${model.side} pixels`],
    ...more,
  ];
  byId("model").replaceChildren(
    make(
      "dl",
      { class: "tiles" },
      ...tiles.map(([title, value, small]) =>
        make("div", { class: "tile" }, make("dt", {}, title), make("dd", {}, value, make("small", {}, small)))
      ),
    ),
  );
  if (needs !== null && more.length === 0) {
    byId("model").append(
      make("p", { class: "wanted" }, `This model was trained beside ${needs}: drop that file too.`),
    );
  }
  if (needsWords) {
    byId("model").append(make(
      "p",
      { class: "wanted" },
      "This model reads sentences by CLIP's table of words, and its file does not hold it: drop bpe_simple_vocab_16e6.txt.gz, merges.txt or " +
        `tokenizer.json of a CLIP too, or have sidenet convert ${model.file} new.safetensors write it in.`,
    ));
  }
}

/** A video that can be searched, as it is shown. */
export interface Searched {
  readonly name: string;
  readonly thumbnails: VideoResult["thumbnails"];
}

/** The parts that a sentence finds, with the picture nearest to the middle of each. */
export function showHits(
  { sentence, hits: all, unknown }: Answer & { tell: "hits" },
  videos: ReadonlyMap<number, Searched>,
): void {
  const hits = all.filter(({ video }) => videos.has(video)); // others were taken away meanwhile
  const remarks = [
    hits.length > 0 ? `Found for “${sentence}”.` : "",
    unknown.length > 0 ? `The model has no word for ${unknown.map((word) => `"${word}"`).join(", ")}.` : "",
    hits.length === 0 ? "No video has been read yet: drop some." : "",
  ].filter((text) => text !== "");
  const found = hits.map(({ video, ...hit }) => ({ path: videos.get(video)!.name, ...hit }));
  const save = saveButton("search.json", { query: sentence, hits: found });
  const lines = hits.map(({ video, from, to, score }) => {
    const middle = (from + to) / 2, pictures = [...videos.get(video)!.thumbnails];
    const [nearest] = pictures.sort((a, b) => Math.abs(a.at - middle) - Math.abs(b.at - middle));
    const picture = nearest ? [make("img", { src: URL.createObjectURL(nearest.picture), alt: "" })] : [];
    return make(
      "li",
      {},
      ...picture,
      make("span", { class: "name" }, videos.get(video)!.name),
      make("span", { class: "span" }, `${formatClock(from, 1)}–${formatClock(to, 1)}`),
      make("span", { class: "figure" }, score.toFixed(4)),
    );
  });
  byId("hits").replaceChildren(
    make("p", { class: "remarks about" }, remarks.join(" "), hits.length > 0 ? save : ""),
    make("ol", { class: "hits" }, ...lines),
  );
}
