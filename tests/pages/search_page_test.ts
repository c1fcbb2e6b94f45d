import assert from "node:assert/strict";
import { parseHTML } from "linkedom";
import { PAGE_PICTURE_BYTES } from "../../pages/pictures.ts";
import { renderSearchPage, spanText } from "../../pages/search_page.ts";

/** As much of a document as is asked here. */
interface Queried {
  querySelectorAll(selector: string): Iterable<{ textContent: string }>;
}

Deno.test("the page of a search shows every hit in order, and text of files as text", () => {
  const hostile = '<img src=x onerror="alert(1)">';
  const hit = (path: string, score: number) => ({ path, from: 8, to: 16, score, thumbnails: [] });
  const jpeg = Uint8Array.of(0xff, 0xd8);
  const html = renderSearchPage([
    { query: hostile, hits: [{ ...hit(hostile, 0.5), thumbnails: [{ at: 9, jpeg }] }, hit("b.mp4", 0.25)] },
    { query: "nothing", hits: [] },
  ], { index: hostile, clips: 1200, left: 3 });
  const { document } = parseHTML(html) as unknown as { document: Queried };
  const textsOf = (selector: string) =>
    [...document.querySelectorAll(selector)].map(({ textContent }) => textContent);
  assert.deepEqual(textsOf("h3"), [hostile, "nothing"]);
  assert.deepEqual(textsOf("li.hit"), [
    `1 0.500 · 00:08–00:16${hostile}`,
    "cannot be shown2 0.250 · 00:08–00:16b.mp4",
  ]);
  assert.equal(textsOf("img").length, 1);
  assert.match(textsOf("header").join(), /1,200 clips/);
  assert.match(html, /3 more queries are not shown/);
  assert.doesNotMatch(html, /<script|https?:|<img src=x/);
});

Deno.test("a page of many hits stays small: frames end where there is no room, hits and queries are counted", () => {
  const jpeg = new Uint8Array(60_000), thumbnails = [{ at: 0, jpeg }, { at: 1, jpeg }];
  const hits = Array.from({ length: 70 }, (_, i) => ({ path: `${i}`, from: 0, to: 8, score: 1, thumbnails }));
  const queries = Array.from({ length: 4 }, (_, i) => ({ query: `${i}`, hits }));
  const html = renderSearchPage(queries, { index: "i", clips: 70, left: 0, leftHits: 20 });
  assert.ok(html.length < 1.4 * PAGE_PICTURE_BYTES, `${html.length}`);
  assert.equal(html.split('class="hit"').length - 1, 200);
  assert.equal(html.split("<img").length - 1, 2 * Math.floor(PAGE_PICTURE_BYTES / 120_000));
  assert.match(html, /Of each query the best 50 are shown, 20 more are not/);
  assert.match(html, /Later hits are without frames/);
});

Deno.test("spanText() says when, finer where that is short", () => {
  assert.equal(spanText({ from: 0, to: 16 }), "00:00–00:16");
  assert.equal(spanText({ from: 2.5, to: 4 }), "00:02.5–00:04.0");
  assert.equal(spanText({ from: 0, to: null }), "00:00–end");
  assert.equal(spanText({ from: 3600, to: 3608 }), "1:00:00–1:00:08");
});
