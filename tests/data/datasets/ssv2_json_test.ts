import assert from "node:assert/strict";
import { isSsv2Labels, parseSsv2Labels, parseSsv2Split } from "../../../data/datasets/ssv2_json.ts";
import { DataError } from "../../../lib/errors.ts";

const classes = ["Holding something", "Putting something on something"];
const split = { file: "train.json", split: "train" as const, classes };

Deno.test("labels are placed by their id, whatever their order in the file", () => {
  const text = '{"Putting something on something": "1", "Holding something": "0"}';
  assert.ok(isSsv2Labels(text));
  assert.deepEqual(parseSsv2Labels(text, "labels.json"), classes);
});

Deno.test("a clip's label is its template without brackets, and its folder is its id", () => {
  const text = JSON.stringify([
    { id: "78687", label: "putting a cup on a box", template: "Putting [something] on [something]" },
    { id: 42326, label: "holding a pen", template: "Holding [something]" },
  ]);
  assert.ok(!isSsv2Labels(text));
  assert.deepEqual(parseSsv2Split(text, split), [
    { split: "train", label: 1, paths: ["78687"] },
    { split: "train", label: 0, paths: ["42326"] },
  ]);
});

Deno.test("clips of the test split have no template and get the dummy label of the published list", () => {
  const entries = parseSsv2Split('[{"id": "7"}]', { ...split, split: "test" });
  assert.deepEqual(entries, [{ split: "test", label: 0, paths: ["7"] }]);
});

const REFUSED: [what: string, parse: () => unknown, message: RegExp][] = [
  ["text that is no JSON", () => parseSsv2Labels("{", "l.json"), /Cannot read "l\.json": it must be JSON/],
  ["a list where labels are due", () => parseSsv2Labels("[]", "l.json"), /current value is a list$/],
  ["no labels at all", () => parseSsv2Labels("{}", "l.json"), /id 0 is missing$/],
  [
    "an id that is missing",
    () => parseSsv2Labels('{"a": "0", "b": "2"}', "l.json"),
    /0 … 2 .* id 1 is missing$/,
  ],
  [
    "an id that two labels have",
    () => parseSsv2Labels('{"a": "0", "b": "0"}', "l.json"),
    /the id of "b".*"0"$/,
  ],
  ["an id that is no number", () => parseSsv2Labels('{"a": "x"}', "l.json"), /the id of "a".*"x"$/],
  ["an object where clips are due", () => parseSsv2Split("{}", split), /must be a list of clips.*an object$/],
  [
    "a clip that is null",
    () => parseSsv2Split("[null]", split),
    /clip 1 must have an id, current value is null$/,
  ],
  [
    "an id that is no text",
    () => parseSsv2Split('[{"id": ["x"]}]', split),
    /clip 1 must have an id, current value is \["x"\]$/,
  ],
  [
    "a template that is no label",
    () => parseSsv2Split('[{"id": "1", "template": "Eating [something]"}]', split),
    /clip "1" must be one of the 2 labels, current value is "Eating \[something\]"$/,
  ],
  [
    "a training clip without a template",
    () => parseSsv2Split('[{"id": "1"}]', split),
    /current value is null$/,
  ],
];

for (const [what, parse, message] of REFUSED) {
  Deno.test(`SSv2 JSON is refused with ${what}`, () => {
    assert.throws(parse, (error) => error instanceof DataError && message.test(error.message));
  });
}
