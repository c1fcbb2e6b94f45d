/** Runs a verb as `cli/main.ts` does, and keeps what it prints. */
import { createIo } from "../../cli/shared/output.ts";
import { InterruptedError } from "../../lib/errors.ts";
import type { VerbModule } from "../../cli/_verbs.ts";

/** Runs a verb. Throws what it throws. @param options.stopAt Told on its terminal, it is interrupted. */
export async function runVerb(
  verb: Pick<VerbModule, "run">,
  args: string[],
  { stopAt }: { stopAt?: string } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  let stdout = "", stderr = "";
  const controller = new AbortController();
  const streams = {
    stdout: (text: string) => void (stdout += text),
    stderr: (text: string) => {
      stderr += text;
      if (stopAt !== undefined && text.includes(stopAt)) {
        controller.abort(new InterruptedError("Interrupted"));
      }
    },
    isTerminal: stopAt !== undefined,
    columns: () => 80,
  };
  const io = createIo(streams, { json: args.includes("--json"), signal: controller.signal });
  const code = await verb.run(args, io);
  return { code, stdout, stderr };
}
