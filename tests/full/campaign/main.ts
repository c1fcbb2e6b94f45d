/**
 * Attacks the product as people, machines and hostile files do, and prints a table of what held.
 *
 *     deno task campaign [WORD …]     only attacks whose part or description holds one of the words
 *
 * Takes a while; it ends with exit code 1 where anything was lost, false or unclear.
 */
import type { Attack, Damage } from "./attack.ts";
import { HOSTILE_ATTACKS } from "./hostile.ts";
import { PROCESS_ATTACKS } from "./process.ts";
import { SEARCH_ATTACKS } from "./searching.ts";
import { VIDEO_ATTACKS } from "./videos.ts";

/** All attacks, in the order of the table. */
const ATTACKS: readonly Attack[] = [
  ...PROCESS_ATTACKS,
  ...HOSTILE_ATTACKS,
  ...VIDEO_ATTACKS,
  ...SEARCH_ATTACKS,
];

/** A row of the table. */
interface Row {
  attack: Attack;
  damages: Damage[];
}

async function tryAttack(attack: Attack): Promise<Row> {
  const damages: Damage[] = [];
  for (let number = 0; number < attack.tries; number++) {
    const folder = await Deno.makeTempDir({ prefix: "sidenet-campaign-" });
    try {
      const damage = await attack.attempt(folder, number);
      if (damage) damages.push({ ...damage, detail: `try ${number}: ${damage.detail}` });
    } finally {
      await Deno.remove(folder, { recursive: true }).catch(() => {}); // a read-only file system may be mounted there
    }
  }
  return { attack, damages };
}

function tableOf(rows: readonly Row[]): string {
  const count = (damages: readonly Damage[], kind: Damage["kind"]) =>
    String(damages.filter((damage) => damage.kind === kind).length);
  const cells = rows.map(({ attack, damages }) => [
    attack.part,
    attack.what,
    String(attack.tries),
    String(attack.tries - damages.length),
    count(damages, "lost"),
    count(damages, "wrong file"),
    count(damages, "unclear"),
  ]);
  const head = ["part", "what was done", "tries", "held", "lost", "wrong files", "unclear"];
  const all = rows.flatMap(({ damages }) => damages);
  const tries = rows.reduce((sum, { attack }) => sum + attack.tries, 0);
  const total = ["all", "", String(tries), String(tries - all.length)]
    .concat((["lost", "wrong file", "unclear"] as const).map((kind) => count(all, kind)));
  const lines = [head, ...cells, total];
  const widths = head.map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  return lines.map((line) =>
    line.map((cell, i) => i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join("  ")
  ).join("\n");
}

if (import.meta.main) {
  const words = Deno.args;
  const chosen = ATTACKS.filter(({ part, what }) =>
    words.length === 0 || words.some((word) => `${part} ${what}`.includes(word))
  );
  const rows: Row[] = [];
  for (const attack of chosen) {
    console.error(`${attack.part}: ${attack.what}, ${attack.tries} tries`);
    rows.push(await tryAttack(attack));
  }
  console.log(tableOf(rows));
  const damaged = rows.flatMap(({ attack, damages }) => damages.map((damage) => ({ attack, damage })));
  for (const { attack, damage } of damaged) {
    console.log(`${damage.kind}: ${attack.part}: ${attack.what}: ${damage.detail}`);
  }
  Deno.exit(damaged.length > 0 ? 1 : 0);
}
