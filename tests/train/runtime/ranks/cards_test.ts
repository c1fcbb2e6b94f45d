/** What ranks are told of their cards: which share one, and which rank has which adapter where these differ. */
import assert from "node:assert/strict";
import { ALONE, type World } from "../../../../mpi/world.ts";
import { cardsOf } from "../../../../train/runtime/ranks/cards.ts";

/** Rank 0 of ranks on one machine that have these adapters and cards. */
function worldOf(ranks: readonly { name: string; card: string }[]): World {
  const host = "node";
  const gather = () => Promise.resolve(ranks.map((one) => ({ host, ...one })));
  return { ...ALONE, size: ranks.length, host, card: ranks[0].card, gather: gather as World["gather"] };
}

Deno.test("ranks with different adapters are told once which rank has which", async () => {
  const names = ["H100", "A100", "H100", "H100", "H100"];
  const ranks = names.map((name, i) => ({ name, card: `card ${i}` }));
  const { notes, sharing, options } = await cardsOf(worldOf(ranks), ranks[0]);
  assert.equal(sharing, 1);
  assert.deepEqual(notes(1), [
    "the ranks have different adapters (ranks 0, 2 to 4: H100; rank 1: A100): the weights of rank 0 are sent to all after " +
    "every update, so that they stay equal",
  ]);
  const own = { rank: 0, ranks: 5, batches: [5], syncNorms: false, mixed: false };
  assert.equal(options({ ranks: own }).ranks!.mixed, true);
});

Deno.test("ranks that share a card are told what all of them need there; equal adapters are not listed", async () => {
  const ranks = ["a", "a", "b"].map((card) => ({ name: "H100", card }));
  const { notes, sharing } = await cardsOf(worldOf(ranks), ranks[0]);
  assert.equal(sharing, 2);
  assert.deepEqual(notes(2 ** 30), [
    "ranks 0, 1 share one card, a of node: they take turns on it, and need 2 times 1.00 GiB, 2.00 GiB",
  ]);
});
