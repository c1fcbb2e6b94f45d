import assert from "node:assert/strict";
import fc from "fast-check";
import { neutralJson, neutralText } from "../../lib/neutral.ts";

/** What a terminal acts on: any of these in a line that is shown would be a fault. */
// deno-lint-ignore no-control-regex
const ACTED_ON = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/;

const anyText = fc.string({ unit: "binary" });

Deno.test("neutralText() shows control characters, line ends and overrides of direction instead of sending them", () => {
  assert.equal(neutralText("\x1b[31mred\x1b[0m"), "\\x1b[31mred\\x1b[0m");
  assert.equal(neutralText("a\nb\r\tc"), "a\\nb\\r\\tc");
  assert.equal(neutralText("clip\u202egpj.exe\u0085\x9b2J"), "clip\\u202egpj.exe\\x85\\x9b2J");
  assert.equal(neutralText("läuft weg · 走る · 👩‍🚀 · العدو"), "läuft weg · 走る · 👩‍🚀 · العدو");
  fc.assert(fc.property(anyText, (text) => !ACTED_ON.test(neutralText(text))));
});

Deno.test("neutralJson() reads back as the same value and holds none of those characters", () => {
  fc.assert(fc.property(fc.record({ name: anyText, list: fc.array(anyText) }), (value) => {
    const json = neutralJson(JSON.stringify(value));
    assert.ok(!ACTED_ON.test(json));
    assert.equal(JSON.stringify(JSON.parse(json)), JSON.stringify(value));
  }));
});
