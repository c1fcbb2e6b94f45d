/** The task of retrieval without a GPU: what batches bring, and how scores in blocks become ranks. */

import assert from "node:assert/strict";
import { clipTokenizer, tokensOf } from "../../../data/text/tokenizer.ts";
import type { ClipRecord } from "../../../data/datasets/list.ts";
import { renderReport } from "../../../pages/report.ts";
import { RETRIEVAL_PARTS } from "../../../pages/parts/retrieval.ts";
import { RETRIEVAL } from "../../../train/tasks/retrieval.ts";
import { dualSoftmax } from "../../../train/tasks/retrieval_metrics.ts";
import type { EvaluationTools } from "../../../train/tasks/task.ts";
import { tinyRetrieval } from "../../_util/tiny_retrieval.ts";

const WORDS = ["red", "green", "blue", "square", "circle", "moves", "left", "right"];
const tokens = tokensOf(await clipTokenizer(), WORDS), place = (id: number) => tokens.indexOf(id);
const config = tinyRetrieval(`network.tokens=[${tokens}]`);

function record(index: number, captions: readonly string[]): ClipRecord {
  return { path: `clips/${index}`, label: 0, frames: null, line: index + 1, captions };
}

Deno.test("a batch brings its clips' sentences, which frames are frames, and the places of what belongs together", async () => {
  const clips = [record(0, ["red square"]), record(1, ["blue circle moves left and right"])];
  const encode = await RETRIEVAL.encoder(config, { clips, classWeights: null });
  const placed = [1, 0].map((index) => ({ index, label: 0, frameCount: index + 1 }));
  const { inputs: { ids, ends, word_mask, frame_mask, places } } = encode({
    clips: placed,
    epoch: 0,
    batch: 0,
  });
  const [start, end] = [tokens.length - 2, tokens.length - 1];
  const idsOf = async (text: string) => (await clipTokenizer()).encode(text).map(place);
  const long = (await idsOf("blue circle moves left right")).slice(0, 5), short = await idsOf("red square");
  assert.deepEqual([...ids], [start, ...long, end, start, ...short, end, 0, 0, 0]);
  assert.deepEqual([...ends], [6, 3]);
  assert.deepEqual([...word_mask], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0]);
  assert.deepEqual([...frame_mask], [1, 1, 0, 1, 0, 0]);
  assert.deepEqual([...places], [0, 1]);
});

Deno.test("of several captions each epoch draws one of the clip's own, the same for the same epoch", async () => {
  const captions = ["red", "green", "blue"], clips = [record(0, captions), record(1, ["left"])];
  const encode = await RETRIEVAL.encoder(config, { clips, classWeights: null });
  const own = await Promise.all(captions.map(async (text) => place((await clipTokenizer()).encode(text)[0])));
  const drawn = Array.from({ length: 30 }, (_, epoch) => {
    const clip = { index: 0, label: 0, frameCount: 3 };
    const [first, again] = [0, 7].map((batch) => encode({ clips: [clip], epoch, batch }).inputs.ids[1]);
    assert.equal(first, again, "whatever the batch");
    return first;
  });
  assert.deepEqual(new Set(drawn), new Set(own));
});

/** Scores that stand in for a network's: of sentence s with clip c. */
const scoreOf = (sentence: number, clip: number) =>
  Math.sin(7 * sentence + 3 * clip) + (clip === sentence >> 1 ? 0.8 : 0);

const CLIPS = 300, SENTENCES = 2 * CLIPS;

/** Answers questions as a network would that knows sentences by how often it was asked, and clips by their first feature. */
function network(): EvaluationTools["ask"] {
  let sentences = 0, block = 0;
  return (name, values) => {
    const sizes = name.split(".").slice(-1)[0].split("x").map(Number);
    if (values.ids) {
      [block, sentences] = [sentences, sentences + Math.min(64, SENTENCES - sentences)];
      return Promise.resolve({ words: new Float32Array(sizes.at(-1)! * 7 * 16) });
    }
    const frames = values.frames as Float32Array, clips = frames.length / (3 * 16), rows = 64;
    const scores = new Float32Array(rows * clips).map((_, i) =>
      scoreOf(block + Math.floor(i / clips), frames[(i % clips) * 3 * 16])
    );
    return Promise.resolve({ scores });
  };
}

/** Evaluates clips whose features tell their number. */
async function evaluation(overrides: readonly string[]) {
  const own = tinyRetrieval(`network.tokens=[${tokens}]`, ...overrides);
  const clips = Array.from({ length: CLIPS }, (_, i) => record(i, ["red square", "blue circle"]));
  const evaluator = RETRIEVAL.evaluator(own, { clips, ask: network() });
  const predictions = clips.map(({ path }, index) => {
    const frames = new Float32Array(3 * 16).fill(index), views = [{ frames }];
    return evaluator.add({ index, path, label: 0, frameCount: 3, views, problems: [], bad: false });
  });
  return { ...await evaluator.finish(), predictions, problems: [] };
}

Deno.test("scores in blocks give the ranks and the hits that a plain loop gives, with and without dual softmax", async () => {
  const plain = Float32Array.from(
    { length: SENTENCES * CLIPS },
    (_, i) => scoreOf(Math.floor(i / CLIPS), i % CLIPS),
  );
  const weighed = dualSoftmax(plain, { videos: CLIPS, over: "sentences", temperature: 0.1 });
  for (const [overrides, scores] of [[[], plain], [["network.dual_softmax=0.1"], weighed]] as const) {
    const { metrics, details } = await evaluation(overrides);
    let found = 0;
    for (let s = 0; s < SENTENCES; s++) {
      const row = [...scores.subarray(s * CLIPS, (s + 1) * CLIPS)];
      const rank = 1 + row.filter((score) => score > row[s >> 1]).length;
      assert.equal(details.sentences[s].rank, rank, `sentence ${s}`);
      if (rank === 1) found++;
    }
    assert.equal(metrics.t2v_r1, found / SENTENCES);
    assert.ok(found > 0 && found < SENTENCES);
  }
  const { details: { sentences } } = await evaluation([]);
  for (const s of [0, 63, 64, 599]) {
    const row = [...plain.subarray(s * CLIPS, (s + 1) * CLIPS)];
    const best = [...row.keys()].sort((a, b) => row[b] - row[a] || a - b).slice(0, 5);
    assert.deepEqual(sentences[s].hits, best.map((clip) => ({ clip, score: row[clip] })));
  }
});

Deno.test("the page shows what sentences find, the right clip marked, and how far down right ones stand", async () => {
  const found = await evaluation([]), queries = RETRIEVAL_PARTS.gallery!(found, { count: 6 });
  assert.equal(queries.length, 6);
  assert.ok(queries.some(({ rank }) => rank === 1) && queries.some(({ rank }) => rank > 1));
  for (const { rank, hits } of queries) {
    assert.deepEqual(hits.map(({ isRight }) => isRight), hits.map((_, i) => i + 1 === rank));
  }
  const html = renderReport({
    config,
    task: RETRIEVAL,
    summary: found.metrics,
    steps: [],
    evals: [],
    evaluation: found,
    labels: [],
    examples: { clips: [], left: 0 },
    mistakes: { clips: [], left: 0 },
    facts: [],
    gallery: { queries: [{ ...queries[0], text: "a <b>red</b> square" }], pictures: new Map() },
    problems: [],
  });
  assert.match(html, /a &lt;b&gt;red&lt;\/b&gt; square/);
  assert.equal(html.split('class="hit true"').length - 1, queries[0].rank <= 5 ? 1 : 0);
  const rows = [
    ...html.matchAll(
      /<th scope="row">[^<]*<\/th><td class="number">([\d,]+)<\/td><td class="wide">[\d.]+ %/g,
    ),
  ];
  assert.equal(rows.reduce((sum, [, count]) => sum + Number(count), 0), SENTENCES);
});
