import assert from "node:assert/strict";
import { parseLabels } from "../../../data/datasets/labels.ts";

const file = "labels";

Deno.test("labels are read in order of their ids, with commas and quotes", () => {
  const text = 'id,name\n0,moves left\n1,"pushing [x], slowly"\n2,a, b\n';
  assert.deepEqual(parseLabels(text, { file }), ["moves left", "pushing [x], slowly", "a, b"]);
  assert.throws(() => parseLabels("name\nx", { file }), /line 1: the header must be "id,name"/);
  assert.throws(() => parseLabels("id,name\n1,x", { file }), /line 2: the id must be 0, current value is 1/);
  const long = "x".repeat(100_000);
  assert.throws(() => parseLabels(`id,name\n0,${long}`, { file }), /line 2: a line must have at most 65536/);
  assert.throws(() => parseLabels(`{"${long}": 0}`, { file }), /the name of class 0 must have at most 65536/);
  assert.throws(() => parseLabels("id,name\nx", { file }), /line 2: a line must be "id,name"/);
  assert.throws(
    () => parseLabels("id,name\n0,x", { file, classes: 4 }),
    /must name 4 classes, current count is 1/,
  );
});

Deno.test("names are read as other projects list them: alone, numbered from 1 or 0, as JSON", () => {
  const forms: [text: string, names: string[]][] = [
    ["abseiling\r\nair drumming\r\n", ["abseiling", "air drumming"]],
    ["Holding something\nPouring something, but missing\n", [
      "Holding something",
      "Pouring something, but missing",
    ]],
    ["1 ApplyEyeMakeup\n2 Archery\n", ["ApplyEyeMakeup", "Archery"]],
    ["0\tno gesture\n1\twave\n", ["no gesture", "wave"]],
    ['{"b": 1, "a c": "0"}', ["a c", "b"]],
    ['{"0": "a c", "1": "b"}', ["a c", "b"]],
    ['{"0": "1", "1": "0"}', ["1", "0"]],
    ["3 points\n1 point\n", ["3 points", "1 point"]],
    ['tench, Tinca tinca\n"sailing, fast"\nfoo\n', ["tench, Tinca tinca", "sailing, fast", "foo"]],
    ["abseiling\n", ["abseiling"]],
    ["id,name\n0,a\n", ["a"]],
    ['id,name\n0,"a, b"\n', ["a, b"]],
  ];
  for (const [text, names] of forms) assert.deepEqual(parseLabels(text, { file }), names);
  assert.deepEqual(parseLabels('["b", "a c"]', { file: "labels.json" }), ["b", "a c"]);
  for (const text of ['"a": 0}', "a\nb\n", '["a", 3]']) {
    assert.throws(
      () => parseLabels(text, { file: "labels.json" }),
      /^DataError: Cannot read "labels\.json": it must be /,
    );
  }
  for (const head of ["label", "Name", '"class"', "index,title", "class,id"]) {
    assert.throws(
      () => parseLabels(`${head}\na\nb\n`, { file }),
      /the header must be "id,name", or each line a name/,
    );
  }
  assert.throws(() => parseLabels("x\n0,a\n1,b\n", { file }), /line 1: the header must be "id,name"/);
  assert.throws(() => parseLabels("", { file }), /it must name at least 1 classes, current count is 0/);
});
