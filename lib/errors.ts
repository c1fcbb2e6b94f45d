/**
 * The error kinds that carry an exit code. Library code throws them; `cli/main.ts` alone turns them into
 * one line and an exit status (docs/architecture.md, "Errors").
 */

/** Wrong usage or configuration: a flag, a config key or a value. Exit code 2. */
export class ConfigError extends RangeError {
  override name = "ConfigError";
  readonly exitCode = 2;
}

/** No usable GPU adapter, or the adapter cannot hold the plan. Exit code 3. */
export class AdapterError extends Error {
  override name = "AdapterError";
  readonly exitCode = 3;
}

/** Bad input data: a list, an image, a checkpoint. Exit code 4. */
export class DataError extends Error {
  override name = "DataError";
  readonly exitCode = 4;
}

/** The user asked to stop (Ctrl-C). Exit code 130. */
export class InterruptedError extends Error {
  override name = "InterruptedError";
  readonly exitCode = 130;
}

/** What was computed is NaN or infinite: a loss, weights, an evaluation. Exit code 1. */
export class NonFiniteError extends Error {
  override name = "NonFiniteError";
  readonly exitCode = 1;
}
