/** Lines of measurements: a slow exchange keeps its digits. */
import assert from "node:assert/strict";
import { showRow } from "../../../cli/rates/rows.ts";
import { createIo } from "../../../cli/shared/output.ts";

Deno.test("rates are in units that leave digits of them", () => {
  const lines: string[] = [];
  const io = createIo(
    {
      isTerminal: false,
      columns: () => 80,
      stdout: (text: string) => void lines.push(text),
      stderr: (text: string) => void lines.push(text),
    },
    { json: false, signal: new AbortController().signal },
  );
  const row = { name: "allreduce", variant: "2 ranks", shape: "4.1 kB", ms: 1, gflops: 0, adapter: "MPI" };
  const shown = [8.5, 0.1, 0.0043, 0.00000012].map((gbps) => {
    showRow({ ...row, gbps }, io);
    return /ms +(.*?) *$/m.exec(lines.at(-1)!)![1];
  });
  showRow({ ...row, gflops: 12.34, gbps: 0.5 }, io);
  assert.match(lines.at(-1)!, /ms +12\.3 GFLOP\/s +0\.50 GB\/s\s*$/);
  assert.deepEqual(shown, ["8.50 GB/s", "0.10 GB/s", "4.30 MB/s", "0.000120 MB/s"]);
});
