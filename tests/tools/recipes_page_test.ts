/** configs/README.md tells of every recipe what it says now. Its memory is planned anew for a small recipe of each kind alone: all take minutes. */
import assert from "node:assert/strict";
import {
  cellsOnPage,
  plannedCells,
  planOf,
  readRecipes,
  RECIPES_PAGE,
  recipesPage,
} from "../../tools/recipes_page.ts";

const ANEW = "run ./denow task docs:recipes, which writes the page";
const PAGE = await Deno.readTextFile(RECIPES_PAGE), ROWS = await readRecipes();

Deno.test("configs/README.md lists every recipe with what its keys and its comment say", () => {
  for (const row of ROWS) {
    const cells = cellsOnPage(PAGE, row);
    assert.ok(cells, `${row.file} is not on the page; ${ANEW}`);
    assert.match(cells.memory, /^[\d.]+ [MG]iB$/, `${row.file}; ${ANEW}`);
    assert.match(cells.trainable, /^[\d,]+$/, `${row.file}; ${ANEW}`);
  }
  const now = recipesPage(ROWS, (row) => cellsOnPage(PAGE, row)!);
  assert.ok(now === PAGE, `configs/README.md is not what the recipes say now; ${ANEW}`);
});

Deno.test("its published figures are those of the comments", () => {
  const published = (file: string) => ROWS.find((row) => row.file === `configs/${file}.yaml`)!.published;
  assert.equal(published("side4video/ssv2_vitb16_f8"), "70.6 / 92.5 % (3 crops x 2 clips)");
  assert.equal(published("dist/ssv2_vitb16_f8_16"), "68.7 / 91.1 % (1 crop x 3 clips)");
  assert.equal(published("tds_clip/k400_vitb16_f8"), "83.9 % (3 crops x 4 clips)");
  assert.equal(published("side4video_retrieval/msrvtt_vitb32"), "44.2 %");
  assert.equal(published("side4video_retrieval/msvd_vitb16"), "");
  assert.equal(ROWS.filter(({ published }) => published !== "").length, 27);
});

Deno.test("its memory is what plan finds", async () => {
  for (const file of ["demo", "demo_clip", "demo_dist"]) {
    const row = ROWS.find((one) => one.file === `configs/${file}.yaml`)!;
    assert.deepEqual(cellsOnPage(PAGE, row), plannedCells(await planOf(row)), `${file}; ${ANEW}`);
  }
});
