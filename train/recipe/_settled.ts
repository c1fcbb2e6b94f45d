/** The type of a settled recipe. */

import type { Family, OptimizerName, ScheduleName } from "../../models/system.ts";
import type { ParsedConfig } from "./schema.ts";

type Settled<T, K extends keyof T, V> = Omit<T, K> & V;

/**
 * A complete recipe: every key has its final value. Beside the keys named here `data` and `network` hold those of the systems,
 * which only the systems' records read.
 */
export type Config = Settled<ParsedConfig, "system" | "name" | "data" | "network" | "solver", {
  system: string;
  name: string;
  data: Settled<
    ParsedConfig["data"],
    | "min_frames"
    | "family"
    | "drop_last"
    | "resize"
    | "crop"
    | "flip"
    | "grey"
    | "input_size"
    | "num_classes",
    {
      min_frames: number;
      family: Family;
      drop_last: boolean;
      resize: "sth" | "kinetics" | "short" | "none" | [height: number, width: number];
      crop: "random_resized" | "random" | "centre" | "none";
      flip: "none" | "plain" | "sth";
      grey: number;
      input_size: number;
      num_classes: number;
    }
  >;
  network: Settled<ParsedConfig["network"], "arch" | "n_emb", { arch: string; n_emb: number }>;
  solver: Settled<ParsedConfig["solver"], "optimizer" | "type" | "betas", {
    optimizer: OptimizerName;
    type: ScheduleName;
    betas: [number, number];
  }>;
}>;
