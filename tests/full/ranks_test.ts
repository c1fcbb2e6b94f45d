/**
 * Jobs of several ranks with MPICH and Open MPI, held against one process: batch norms over ranks, sentences and clips compared over
 * ranks, two kinds of drivers in one job, ranks that are killed, stuck or interrupted. Takes minutes.
 */
import assert from "node:assert/strict";
import { losses, MPICH, OPEN_MPI, rankTest, requireDone, type TestLauncher } from "../_util/ranks.ts";
import { TinyFolder } from "../cli/_tiny.ts";

const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";
const LLVMPIPE = "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json";

/** Losses of the same recipe in one process and over ranks: their largest difference. */
async function largestDifference(
  folder: TinyFolder,
  args: readonly string[],
  options: { launcher: TestLauncher; count: number; alone?: readonly string[]; env?: Record<string, string> },
): Promise<number> {
  const { launcher, count, env } = options, name = `ranks${crypto.randomUUID().slice(0, 8)}`;
  requireDone(await folder.sidenet(["train", ...args, `name=${name}a`, ...options.alone ?? []]));
  requireDone(
    await folder.sidenet(["train", ...args, `name=${name}b`], { ranks: { launcher, count }, env }),
  );
  const [alone, shared] = [await losses(folder, `${name}a`), await losses(folder, `${name}b`)];
  assert.ok(alone.length >= 4 && shared.length === alone.length);
  return Math.max(...alone.map((loss, i) => Math.abs(loss - shared[i])));
}

// Batch norms see whole batches on all ranks; batches of 8 clips, 20 steps.
const SYNCED = ["tiny.yaml", "network.sync_bn=true", "data.batch_size=8", "solver.epochs=10"];

for (const launcher of [MPICH, OPEN_MPI]) {
  const name = launcher?.name ?? "no MPI";
  rankTest(
    launcher,
    `${name}: two and three ranks with synchronised norms are one process within 1e-5`,
    async () => {
      await using folder = await TinyFolder.create();
      assert.ok(await largestDifference(folder, SYNCED, { launcher: launcher!, count: 2 }) < 1e-5);
      assert.ok(await largestDifference(folder, SYNCED, { launcher: launcher!, count: 3 }) < 1e-5);
    },
  );

  rankTest(
    launcher,
    `${name}: all that a batch may bring is the same to the bit as in parts of one process`,
    async () => {
      await using folder = await TinyFolder.create();
      const everything = [
        "tiny.yaml",
        "data.batch_size=8",
        "solver.epochs=4",
        "solver.mixup=true",
        "solver.skip_nonfinite=3",
        "solver.ema=0.9",
        "data.num_sample=2",
      ];
      const options = { launcher: launcher!, count: 2, alone: ["data.micro_batch_size=8"] };
      assert.equal(await largestDifference(folder, everything, options), 0);
      // Batches that an update sums over are summed by each rank first: another order.
      const accumulating = [...everything, "solver.grad_accumulation_steps=2"];
      assert.ok(await largestDifference(folder, accumulating, options) < 1e-6);
    },
  );

  rankTest(
    launcher,
    `${name}: a rank that is stopped at any moment is named, the job ends with code 1, and one process goes on`,
    async () => {
      await using folder = await TinyFolder.create();
      // Many exchanges a step, so that some of the moments are within a call of MPI.
      const args = [...SYNCED.slice(0, -1), "solver.epochs=100000", "logging.checkpoint_every=2"];
      for (let attempt = 0; attempt < 10; attempt++) {
        const rank = attempt % 2, run = `name=stuck${attempt}`;
        let stopped = "", isDue = false, stoppedAt = 0;
        const { code, stderr } = await folder.sidenet(["train", ...args, run], {
          ranks: { launcher: launcher!, count: 2 },
          env: { SIDENET_MPI_TIMEOUT: "3" },
          onStderr: (text) => {
            if (isDue || !/step 6\//.test(text)) return;
            isDue = true;
            setTimeout(() => {
              stopped = rankProcess(run, rank);
              stoppedAt = performance.now();
              Deno.kill(Number(stopped), "SIGSTOP");
            }, attempt === 0 ? 0 : 1500 * Math.random());
          },
        });
        const seconds = (performance.now() - stoppedAt) / 1000;
        if (stopped !== "") killIfThere(stopped);
        assert.equal(code, 1, stderr);
        assert.ok(seconds < 15, `${seconds} s`);
        const told = stderr.split("\n").filter((line) => line.includes("Cannot"));
        assert.equal(told.length, 1, stderr);
        assert.ok(
          told[0].includes(`rank ${rank} (`) && told[0].includes(`process ${stopped}) must take part in`),
          told[0],
        );
        assert.match(
          told[0],
          /within 3 seconds \(SIDENET_MPI_TIMEOUT\), and has not; its process does not answer/,
        );
      }
      await Deno.rename(folder.file("runs", "stuck0"), folder.file("runs", "stuck"));
      requireDone(await folder.sidenet(["train", "--resume", "runs/stuck", "solver.max_steps=12"]));
      assert.equal((await losses(folder, "stuck")).length, 12);
    },
  );

  rankTest(
    launcher,
    `${name}: a killed rank ends the job, and one process goes on from the last state`,
    async () => {
      await using folder = await TinyFolder.create();
      const args = ["train", "tiny.yaml", "name=killed", "solver.epochs=200", "logging.checkpoint_every=2"];
      let killed = false;
      const { code } = await folder.sidenet(args, {
        ranks: { launcher: launcher!, count: 2 },
        onStderr: (text) => {
          if (killed || !/step 6\//.test(text)) return;
          killed = true;
          Deno.kill(Number(rankProcess("name=killed", 1)), "SIGKILL");
        },
      });
      assert.notEqual(code, 0);
      requireDone(await folder.sidenet(["train", "--resume", "runs/killed", "solver.max_steps=12"]));
      assert.equal((await losses(folder, "killed")).length, 12);
    },
  );
}

// Of weights that move, AdamW makes whole steps of the rounding in biases in front of norms: docs/clusters.md.
rankTest(
  MPICH,
  "running statistics of synchronised norms are one process's: evaluations agree where weights stand still",
  async () => {
    await using folder = await TinyFolder.create();
    const still = ["tiny.yaml", "data.batch_size=8", "solver.epochs=4", "solver.lr=0"];
    const evaluated = async (name: string, args: readonly string[], count: number) => {
      const ranks = count === 1 ? undefined : { launcher: MPICH!, count };
      requireDone(await folder.sidenet(["train", ...still, `name=${name}`, ...args], { ranks }));
      const found = await losses(folder, name, "eval");
      assert.equal(found.length, 4);
      return found;
    };
    const alone = await evaluated("alone", [], 1);
    const difference = async (name: string, args: readonly string[], count: number) => {
      const found = await evaluated(name, args, count);
      return Math.max(...alone.map((loss, i) => Math.abs(loss - found[i])));
    };
    const own = await difference("own", [], 2);
    for (const count of [2, 3]) {
      const synced = await difference(`synced${count}`, ["network.sync_bn=true"], count);
      assert.ok(synced < 1e-6 && synced < own / 10, `${count} ranks: ${synced}; without: ${own}`);
    }
  },
);

rankTest(MPICH, "the contrast of a whole batch over ranks is that of one process", async () => {
  await using folder = await TinyFolder.create();
  const recipe = new URL("../../configs/demo_retrieval.yaml", import.meta.url).pathname;
  const args = [recipe, "data.synth.train_clips=192", "data.synth.val_clips=50", "network.sync_bn=true"];
  const few = [...args, "solver.epochs=1", "logging.print_freq=1", "data.batch_size=24", "run_root=runs"];
  assert.ok(await largestDifference(folder, few, { launcher: MPICH!, count: 2 }) < 1e-5);
});

const hasBoth = [SWIFTSHADER, LLVMPIPE].every((file) => {
  try {
    return Deno.statSync(file).isFile;
  } catch {
    return false;
  }
});
rankTest(
  hasBoth ? MPICH : null,
  "one rank on llvmpipe and one on SwiftShader are one process within 1e-5",
  async () => {
    await using folder = await TinyFolder.create();
    const env = { VK_DRIVER_FILES: `${LLVMPIPE}:${SWIFTSHADER}` };
    assert.ok(await largestDifference(folder, SYNCED, { launcher: MPICH!, count: 2, env }) < 1e-5);
  },
);

/** Process of a rank of the run whose arguments hold a word. */
function rankProcess(word: string, rank: number): string {
  const text = (file: string) => {
    try {
      return Deno.readTextFileSync(file);
    } catch {
      return ""; // gone meanwhile, or somebody else's
    }
  };
  const found = [...Deno.readDirSync("/proc")].map(({ name }) => name).find((name) => {
    if (!/^\d+$/.test(name) || !text(`/proc/${name}/comm`).startsWith("deno")) return false;
    const variables = text(`/proc/${name}/environ`).split("\0");
    return text(`/proc/${name}/cmdline`).includes(word) &&
      (variables.includes(`PMI_RANK=${rank}`) || variables.includes(`OMPI_COMM_WORLD_RANK=${rank}`));
  });
  assert.ok(found, `no process of rank ${rank}`);
  return found;
}

function killIfThere(process: string): void {
  try {
    Deno.kill(Number(process), "SIGKILL");
  } catch {
    // the launcher has ended it
  }
}
