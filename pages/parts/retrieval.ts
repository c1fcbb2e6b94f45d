/** Page parts of retrieval: curves of recall, how far down the right clips stand, and a gallery of what was found. */

import { formatCount, formatShare } from "../../lib/text.ts";
import type { RetrievalDetails, SentenceResult } from "../../train/tasks/retrieval.ts";
import type { ClipResult } from "../../train/tasks/task.ts";
import { escapeHtml, shareBar } from "../html.ts";
import { dataTable } from "../tables.ts";
import type { GalleryQuery, PageParts, PageSection } from "./parts.ts";

/** Upper ends of the rows that count ranks. */
const RANKS = [1, 2, 5, 10, 50, 100];

/** The parts. */
export const RETRIEVAL_PARTS: PageParts<ClipResult, RetrievalDetails> = {
  shareChart: () => ({ title: "Recall among the validation clips", levels: [] }),

  sections: ({ details, predictions }) => [rankSection(details, predictions.length)],

  gallery: ({ details, predictions }, { count }) =>
    pick(details.sentences, count).map(({ text, clip, rank, hits }): GalleryQuery => ({
      text,
      rank,
      hits: hits.map((hit) => ({
        path: predictions[hit.clip].path,
        score: hit.score,
        isRight: hit.clip === clip,
      })),
    })),
};

/** How many right clips stand how far down. */
function rankSection({ sentences }: RetrievalDetails, clips: number): PageSection {
  let below = 0;
  const rows = [...RANKS.filter((rank) => rank < clips), clips].map((rank) => {
    const from = below + 1, share = sentences.filter((one) => one.rank >= from && one.rank <= rank).length;
    below = rank;
    return { name: from === rank ? String(rank) : `${from} to ${formatCount(rank)}`, count: share };
  });
  const table = dataTable(rows, [
    { title: "Rank", kind: "heading", cell: ({ name }) => escapeHtml(name) },
    { title: "Sentences", kind: "number", cell: ({ count }) => formatCount(count) },
    {
      title: "Share",
      kind: "wide",
      cell: ({ count }) => formatShare(count / sentences.length) + shareBar(count / sentences.length),
    },
  ], { label: "Ranks of the right clips" });
  return {
    title: "Ranks",
    about:
      `${formatCount(sentences.length)} sentences, ${
        formatCount(clips)
      } clips: the place of the right clip in what each sentence finds. ` +
      "What scores as much as the right one does not stand before it.",
    content: sentences.length === 0 ? "" : table,
  };
}

/** Sentences spread over the list: up to half of them wrong ones, because they tell most. */
function pick(sentences: readonly SentenceResult[], count: number): SentenceResult[] {
  const spread = (list: readonly SentenceResult[], most: number) => {
    const n = Math.min(most, list.length);
    return Array.from({ length: n }, (_, i) => list[Math.floor(i * list.length / n)]);
  };
  const wrong = spread(sentences.filter(({ rank }) => rank > 1), Math.floor(count / 2));
  return [...spread(sentences.filter(({ rank }) => rank === 1), count - wrong.length), ...wrong];
}
