import assert from "node:assert/strict";
import { parse } from "csv-parse/sync";
import { predictionLines, predictionsCsv } from "../../../train/tasks/_class_files.ts";
import type { ClassPrediction } from "../../../train/tasks/classification.ts";

const LABELS = ["a", "b", "c", "d", "e", "f", 'g "h"'];

function prediction(index: number, probabilities: number[]): ClassPrediction {
  return { index, path: `clip ${index}`, label: index % 7, probabilities: Float64Array.from(probabilities) };
}

const linesOf = (predictions: readonly ClassPrediction[], all: boolean) =>
  [...predictionLines(predictions, LABELS, { all })].map((part) => new TextDecoder().decode(part)).join("");

Deno.test("a line names the clip, its class with probability and rank, and the best five classes", () => {
  const [line] = linesOf([prediction(1, [0.1, 0.15, 0.05, 0.3, 0.2, 0.01, 0.19])], false).trimEnd().split(
    "\n",
  );
  assert.deepEqual(JSON.parse(line), {
    path: "clip 1",
    label: 1,
    label_name: "b",
    p_label: 0.15,
    rank: 4,
    top: [
      { label: "d", index: 3, p: 0.3 },
      { label: "e", index: 4, p: 0.2 },
      { label: 'g "h"', index: 6, p: 0.19 },
      { label: "b", index: 1, p: 0.15 },
      { label: "a", index: 0, p: 0.1 },
    ],
  });
});

Deno.test("probabilities of all classes come in the order of the classes, to six digits however small", () => {
  const line = JSON.parse(linesOf([prediction(0, [0.9, 1.23456789e-7, 1 / 30, 0, 0.04, 0.02, 0.006])], true));
  assert.deepEqual(line.probabilities, [0.9, 1.23457e-7, 0.0333333, 0, 0.04, 0.02, 0.006]);
});

Deno.test("every clip is one line, in order, however many there are", () => {
  const many = Array.from({ length: 1000 }, (_, i) => prediction(i, [0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]));
  const text = linesOf(many, true);
  assert.ok(text.endsWith("\n"));
  const paths = text.trimEnd().split("\n").map((line) => JSON.parse(line).path);
  assert.deepEqual(paths, many.map(({ path }) => path));
  assert.deepEqual([...predictionLines([], LABELS, { all: false })], []);
});

Deno.test("text of the table that a spreadsheet would take for a formula has a quote before it, numbers stay numbers", () => {
  const nasty = ['=HYPERLINK("http://x","a")', "+1+1", "-cmd|' /C calc'!A0", "@SUM(1)", "\tx", "\r=x", "a=b"];
  const csv = predictionsCsv([prediction(0, [0.4, 0.1, 1e-9, 0.1, 0.1, 0.1, 0.2])], nasty);
  const [header, row] = parse(csv);
  assert.deepEqual(header.slice(0, 5), ["path", "label", "label_name", "label_p", "label_rank"]);
  assert.deepEqual(row.slice(0, 8), ["clip 0", "0", `'${nasty[0]}`, "0.4", "1", "0", `'${nasty[0]}`, "0.4"]);
  const named = predictionsCsv([prediction(0, [0, 0, 0, 0, 0, 0, 1])], nasty);
  assert.equal(parse(named)[1][6], "a=b");
  const shown = (label: number) => {
    const shares = nasty.map((_, i) => i === label ? 1 : 0);
    return parse(predictionsCsv([prediction(label, shares)], nasty))[1][2];
  };
  for (let label = 1; label < 4; label++) assert.equal(shown(label), `'${nasty[label]}`);
  // What a terminal would act on is shown, and begins no formula.
  assert.deepEqual([shown(4), shown(5)], ["\\tx", "\\r=x"]);
});
