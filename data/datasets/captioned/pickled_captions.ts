/**
 * Captions in a pickle of Python, such as MSVD's `raw-captions.pkl`: a dict from id to a list of captions, each text or a list of words.
 * The pickle machine of checkpoints reads it, without any global: nothing in it is imported or called.
 */
import { DataError } from "../../../lib/errors.ts";
import { type PickleRules, readPickle } from "../../checkpoint/pickle.ts";
import { PyDict, PyTuple, type PyValue } from "../../checkpoint/pickle_values.ts";
import { shorten } from "../../../lib/text.ts";

/** Words of all captions: a list may be named again and again, and MSVD has half a million. */
const MOST_WORDS = 2 ** 23;

const NO_REFERENCES: Omit<PickleRules, "persistent"> = {
  global: () => undefined,
  reduce: () => undefined,
  create: () => undefined,
};

/** The captions as the text of a JSON object. @throws {DataError} for a pickle of anything else */
export function pickledCaptionsAsJson(bytes: Uint8Array, file: string): string {
  const fail = (what: string): never => {
    throw new DataError(`Cannot read "${file}": ${what}`);
  };
  const rules = {
    ...NO_REFERENCES,
    persistent: () => fail("a pickle of captions must not refer to other data"),
  };
  const { value } = readPickle(bytes, { label: file, rules });
  if (!(value instanceof PyDict)) return fail("a pickle of captions must hold a dict from id to captions");
  let words = 0;
  const itemsOf = (list: PyValue, id: unknown): readonly PyValue[] => {
    const items = list instanceof PyTuple ? list.items : list;
    if (!Array.isArray(items)) {
      return fail(`the captions of "${shorten(String(id))}" must be a list of text, or of lists of words`);
    }
    words += items.length;
    if (words > MOST_WORDS) fail(`the captions of a pickle may have at most ${MOST_WORDS} words`);
    return items;
  };
  const captions = [...value.entries].map(([id, list]) => [
    String(id),
    itemsOf(list, id).map((caption) =>
      typeof caption === "string"
        ? caption
        : itemsOf(caption, id).map((word) => textOf(word, id, fail)).join(" ")
    ),
  ]);
  return JSON.stringify(Object.fromEntries(captions));
}

function textOf(word: PyValue, id: unknown, fail: (what: string) => never): string {
  return typeof word === "string"
    ? word
    : fail(`the words of the captions of "${shorten(String(id))}" must be text`);
}
