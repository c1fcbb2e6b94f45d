import assert from "node:assert/strict";
import { parseConfig } from "../../../train/recipe/config.ts";
import { requireSameModel } from "../../../train/recipe/same_model.ts";

const configOf = (...overrides: string[]) =>
  parseConfig("data: {num_classes: 4}", { source: "a.yaml", overrides }).config;
/** As it lies in a state. */
const written = JSON.parse(JSON.stringify(configOf()));

Deno.test("keys that make another network are refused by name when a run goes on, others are not", () => {
  for (const [key, then, now] of [["data.num_segments", 8, 4], ["network.side_dim", 320, 64]]) {
    assert.throws(() => requireSameModel(configOf(`${key}=${now}`), written), {
      message: `Cannot go on: ${key} must be ${then}, because the run's network was made with it, ` +
        `current value is ${now}; a new run takes its weights with pretrain=RUN/best.safetensors`,
    });
  }
  for (
    const change of ["solver.lr=0.1", "data.batch_size=3", "solver.epochs=9", "memory=keep", "precision=f32"]
  ) {
    requireSameModel(configOf(change), written);
  }
});

Deno.test("a state of an earlier version, which lacks keys, is no reason to refuse", () => {
  requireSameModel(configOf(), { data: {}, solver: {} });
  const { network: _, ...rest } = written;
  requireSameModel(configOf(), rest);
});
