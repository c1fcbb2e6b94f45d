/** Opening an index that is none, or whose network is gone, is one clear error. */
import assert from "node:assert/strict";
import { DataError } from "../../../lib/errors.ts";
import { modelOfIndex, openSearch } from "../../../train/search/clip_search.ts";

Deno.test("openSearch() names the folder that holds no index", async () => {
  await assert.rejects(openSearch("/nowhere/index"), (error) => {
    assert.ok(error instanceof DataError);
    assert.match(
      error.message,
      /^Cannot search "\/nowhere\/index": it must be a folder that sidenet index wrote/,
    );
    return true;
  });
});

Deno.test("modelOfIndex() looks where the index was made, or where it is told, and says where it looked", async () => {
  const model = { target: "run", config: null, overrides: [], identity: "" };
  // deno-lint-ignore no-explicit-any -- the rest of a manifest is not looked at
  const index = { manifest: { model, started_in: "/nowhere" } as any };
  const refused = (place: string) =>
    new RegExp(`^Cannot search "index": its model must be at "${place}", nothing is there`);
  await assert.rejects(modelOfIndex("index", index), { message: refused("/nowhere/run") });
  await assert.rejects(modelOfIndex("index", index, { model: "/moved" }), { message: refused("/moved") });
  const seen: [string, boolean][] = [];
  const find = (target: string, { isRecorded }: { isRecorded: boolean }) => {
    seen.push([target, isRecorded]);
    return Promise.resolve({ target: "/found" });
  };
  await assert.rejects(modelOfIndex("index", index, { find }), { message: refused("/found") });
  assert.deepEqual(seen, [["/nowhere/run", true]]);
});
