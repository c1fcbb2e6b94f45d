/** Seeking in videos of many codecs and containers, for frames from a new seed at every run. Takes minutes. */
import { CASES, seekTest } from "../_util/video_seeks.ts";

/** A failure prints its seed. */
const seed = Date.now() & 0x7fffffff;

for (const name of Object.keys(CASES)) seekTest(name, { seed, sets: 6 });
