/** What `sidenet bench` refuses before it measures anything. */
import assert from "node:assert/strict";
import * as bench from "../../cli/bench.ts";
import { ConfigError } from "../../lib/errors.ts";
import { runVerb } from "../_util/run_verb.ts";

Deno.test("bench refuses names and counts that it does not know", async () => {
  const cases: [string[], RegExp][] = [
    [["speed"], /^Cannot bench "speed": it must be one of matmul, .*, loader, /],
    [
      ["loader", "--clips", "many"],
      /^Cannot bench "loader": clips must be a whole number from 400, current value is many$/,
    ],
    [["loader", "--clips", "399"], /current value is 399$/],
  ];
  for (const [args, message] of cases) {
    await assert.rejects(runVerb(bench, args), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, message);
      return true;
    });
  }
});
