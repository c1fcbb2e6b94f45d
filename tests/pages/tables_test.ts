/** Tables of pages: their markup, and the script that sorts and filters them, on a document without a browser. */

import assert from "node:assert/strict";
import { parseHTML } from "linkedom";
import { escapeHtml } from "../../pages/html.ts";
import { dataTable } from "../../pages/tables.ts";

/** As much of an element as is asked here; no DOM types are loaded in this project. */
interface Queried {
  textContent: string;
  value: string;
  querySelector(selector: string): Queried;
  querySelectorAll(selector: string): Iterable<Queried>;
  getAttribute(name: string): string | null;
  dispatchEvent(event: unknown): void;
}

const script = await Deno.readTextFile(new URL("../../pages/_tables.js", import.meta.url));

const ROWS = Array.from(
  { length: 20 },
  (_, i) => ({ name: `class ${i}`, share: i === 7 ? null : ((i * 7) % 20) / 20 }),
);

function opened() {
  const table = dataTable(ROWS, [
    { title: "Name", kind: "heading", cell: ({ name }) => escapeHtml(name) },
    {
      title: "Share",
      kind: "tight",
      sorted: "ascending",
      key: ({ share }) => share ?? "",
      cell: ({ share }) => `${share ?? "–"}`,
    },
  ], { label: "Some <rows>", sortable: true, filter: { id: "rows", what: "name" } });
  const { document, Event } = parseHTML(`<!doctype html><html><body>${table}</body></html>`) as unknown as {
    document: Queried;
    Event: new (name: string, options: { bubbles: boolean }) => unknown;
  };
  new Function("document", script)(document);
  const texts = (selector: string) =>
    [...document.querySelectorAll(selector)].map(({ textContent }) => textContent);
  const tell = (to: Queried, what: string) => to.dispatchEvent(new Event(what, { bubbles: true }));
  return { table, document, texts, tell };
}

Deno.test("a long table is a region that the keyboard reaches, with buttons that sort it", () => {
  const { table, document, texts, tell } = opened();
  assert.match(table, /<div class="scroll long" tabindex="0" role="region" aria-label="Some &lt;rows&gt;">/);
  const [name, share] = document.querySelectorAll("thead button");
  const heading = (i: number) => [...document.querySelectorAll("thead th")][i].getAttribute("aria-sort");
  assert.deepEqual([heading(0), heading(1)], [null, "ascending"]);
  tell(share, "click"); // it was ascending
  assert.equal(heading(1), "descending");
  assert.deepEqual(texts("tbody td").slice(0, 2), ["0.95", "0.9"]);
  assert.equal(texts("tbody td").at(-1), "–", "what has no value stands at the end");
  tell(share, "click");
  assert.equal(texts("tbody td").find((text) => text !== "–"), "0");
  tell(name, "click");
  assert.deepEqual([heading(0), heading(1)], ["ascending", null]);
  assert.deepEqual(texts("tbody th").slice(0, 3), ["class 0", "class 1", "class 10"]);
});

Deno.test("the field above a long table leaves the rows that hold all its words, and counts them", () => {
  const { document, texts, tell } = opened();
  const field = document.querySelector("input");
  field.value = "1 CLASS";
  tell(field, "input");
  assert.deepEqual(texts("output"), [`${texts("tbody tr:not([hidden])").length} of 20`]);
  assert.ok(texts("tbody tr:not([hidden]) th").every((name) => name.includes("class")));
  assert.ok(texts("tbody tr[hidden]").length > 0);
  field.value = "";
  tell(field, "input");
  assert.deepEqual(texts("output"), ["20 of 20"]);
  assert.equal(texts("tbody tr[hidden]").length, 0);
});

Deno.test("a short table has no field", () => {
  const table = dataTable([1, 2], [{ title: "n", cell: String }], {
    label: "n",
    filter: { id: "n", what: "n" },
  });
  assert.doesNotMatch(table, /<input|long/);
});
