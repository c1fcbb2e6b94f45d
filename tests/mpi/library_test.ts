/** Why MPI's library cannot be loaded is told once and as it is. */
import assert from "node:assert/strict";
import { MpiLibrary } from "../../mpi/library.ts";

const refusal = (...candidates: string[]) => {
  let text = "";
  assert.throws(() => MpiLibrary.open(candidates), (error: Error) => (text = error.message, true));
  return text;
};

Deno.test("a file that is there is not said to be missing, and what is wrong with it is said once", async () => {
  const file = await Deno.makeTempFile({ prefix: "sidenet-" });
  try {
    await Deno.writeTextFile(file, "no library");
    assert.match(
      refusal(file),
      new RegExp(
        `^Cannot load MPI: "${file}" cannot be loaded \\([^()]+\\); install .* SIDENET_MPI_LIBRARY$`,
      ),
    );
    assert.doesNotMatch(refusal(file), /Could not open library|is found/);
  } finally {
    await Deno.remove(file);
  }
  assert.match(refusal("/none/libmpi.so"), /^Cannot load MPI: "\/none\/libmpi.so" is not found; install/);
  assert.match(refusal("liba.so", "libb.so"), /: none of "liba.so", "libb.so" is found; install/);
});

Deno.test({
  name: "a library without MPI's functions is told from one that is missing",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    assert.match(
      refusal("libm.so.6", "libb.so"),
      /"libm.so.6" is a library, but not one of MPI; "libb.so" is not found/,
    ),
});
