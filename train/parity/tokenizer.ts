/** Replays recorded texts: their tokens, and the rows of tokens that networks are given. */
import { clipTokenizer, frameSentence, frameStrict } from "../../data/text/tokenizer.ts";
import { DataError } from "../../lib/errors.ts";
import type { ReferenceCase } from "./reference.ts";
import { compareGroup, type GroupResult, type Pair } from "./compare.ts";

/** Ids are integers. */
const TOLERANCE = 0.5;

/** @throws {DataError} when the case holds no texts */
export async function replayTokenizerCase(reference: ReferenceCase): Promise<GroupResult[]> {
  const { case: name, strings } = reference.description;
  if (!Array.isArray(strings) || strings.length === 0) {
    throw new DataError(`Cannot replay case "${name}": "strings" must be a list of texts with their ids`);
  }
  const tokenizer = await clipTokenizer();
  const groups: [group: string, pairs: Pair[]][] = [[
    "ids",
    strings.map(({ text, ids }) => ofOneLength(JSON.stringify(text), tokenizer.encode(text), ids)),
  ]];
  for (
    const [group, framed] of Object.entries(
      { ids77: "ids", retrieval_ids: "ids", retrieval_mask: "mask" } as const,
    )
  ) {
    if (!reference.has(group)) continue;
    const [rows, length] = reference.shapeOf(group), expected = await reference.read(group);
    if (rows !== strings.length) {
      throw new DataError(
        `Cannot replay case "${name}": "${group}" must have ${strings.length} rows, current count is ${rows}`,
      );
    }
    groups.push([
      group,
      strings.map(({ text }, row) => {
        const sentence = group === "ids77"
          ? frameStrict(tokenizer, text, { context: length, truncate: true })
          : frameSentence(tokenizer, text, { words: length });
        return {
          name: JSON.stringify(text),
          actual: sentence[framed],
          expected: expected.subarray(row * length, (row + 1) * length),
        };
      }),
    ]);
  }
  return groups.map(([group, pairs]) =>
    compareGroup(name, group, pairs, { tolerance: TOLERANCE, by: "absolute" })
  );
}

/** A pair of lists, the shorter filled with what is no id: lists of two lengths differ, and are no error of the case. */
function ofOneLength(name: string, actual: readonly number[], expected: readonly number[]): Pair {
  const length = Math.max(actual.length, expected.length);
  const filled = (ids: readonly number[]) => Array.from({ length }, (_, i) => ids[i] ?? -1);
  return { name, actual: filled(actual), expected: filled(expected) };
}
