import assert from "node:assert/strict";
import { kineticsEntries, parseKineticsCsv } from "../../../data/datasets/kinetics_csv.ts";
import { DataError } from "../../../lib/errors.ts";

const HEADER = "label,youtube_id,time_start,time_end,split";

Deno.test("rows may be quoted, end in CRLF and carry further columns in any order", () => {
  const text = `\uFEFFis_cc,split,youtube_id,label,time_start,time_end\r\n` +
    `0,validate,-0aB_c,"shaking ""hands"", twice",7,17\r\n\r\n0,train,zz,abseiling,0,10`;
  assert.deepEqual(parseKineticsCsv(text, "k.csv"), [
    { label: 'shaking "hands", twice', id: "-0aB_c", start: 7, end: 17, split: "val" },
    { label: "abseiling", id: "zz", start: 0, end: 10, split: "train" },
  ]);
});

Deno.test("without a column for it the split comes from the file's name", () => {
  const text = "label,youtube_id,time_start,time_end\nabseiling,a,1,11\n";
  assert.equal(parseKineticsCsv(text, "sets/kinetics_val.csv")[0].split, "val");
  assert.throws(() => parseKineticsCsv(text, "sets/kinetics.csv"), /its name must say which split/);
});

Deno.test("classes are the labels in code-point order, and a clip is looked for under every name in use", () => {
  const rows = parseKineticsCsv(
    `${HEADER}\nzumba,a,1,11,train\nair drumming,b,120,130,val\nZorbing,c,0,10,val\n`,
    "k",
  );
  const { classes, entries } = kineticsEntries(rows);
  assert.deepEqual(classes, ["Zorbing", "air drumming", "zumba"]);
  assert.deepEqual(entries.map(({ split, label }) => [split, label]), [["train", 2], ["val", 1], ["val", 0]]);
  assert.deepEqual(entries[1].paths, [
    "b_000120_000130",
    "b",
    "air_drumming/b_000120_000130",
    "air_drumming/b",
    "air drumming/b_000120_000130",
    "air drumming/b",
    "val/b_000120_000130",
    "val/b",
    "val/air_drumming/b_000120_000130",
    "val/air_drumming/b",
    "val/air drumming/b_000120_000130",
    "val/air drumming/b",
  ]);
});

const REFUSED: [what: string, text: string, message: RegExp][] = [
  ["no labels", "youtube_id,time_start,time_end,split\na,1,2,test\n", /header must hold "label"/],
  ["an empty file", "", /header must hold "label", current value is ""$/],
  ["an end before the start", `${HEADER}\nx,a,1,2,val\nx,b,5,4,val\n`, /"k\.csv" line 3: .*"x,b,5,4,val"$/],
  ["a short row", `${HEADER}\n"a\nb",a,1,2,val\nx,b\n`, /"k\.csv" line 4: /],
  ["a bad row after blank lines", `${HEADER}\r\n\r\n"a\r\nb",a,1,2,val\r\nx,b\r\n`, /"k\.csv" line 5: /],
  ["a quote that is not closed", `${HEADER}\n"x,a,1,2,val\n`, /"k\.csv": it must be CSV, .* at line 2$/],
  ["an id that leads out of the root", `${HEADER}\nx,../a,1,2,val\n`, /line 2: /],
];

for (const [what, text, message] of REFUSED) {
  Deno.test(`Kinetics CSV is refused with ${what}`, () => {
    assert.throws(
      () => parseKineticsCsv(text, "k.csv"),
      (error) => error instanceof DataError && message.test(error.message),
    );
  });
}
