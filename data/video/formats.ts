/** What ffmpeg and ffprobe may open on behalf of a video file, and what they say when it is something else. */
import { MOST_FRAME_PIXELS } from "../frames/limits.ts";

/**
 * Demuxers of containers and streams that hold the pictures themselves. Playlists, scripts and descriptions of streams, which
 * make the reader open other files or addresses (hls, dash, concat, sdp, image2, lavfi …), are on no account among them, nor are
 * pictures, sound and text.
 */
const CONTAINERS = [
  ...[
    "mov",
    "matroska",
    "avi",
    "mpegts",
    "mpeg",
    "mpegvideo",
    "flv",
    "live_flv",
    "asf",
    "asf_o",
    "ogg",
    "rm",
  ],
  ...["mxf", "gxf", "lxf", "nut", "wtv", "dv", "ivf", "obu", "av1", "yuv4mpegpipe", "gif", "apng"],
  ...[
    "h261",
    "h263",
    "h264",
    "hevc",
    "vvc",
    "evc",
    "m4v",
    "mjpeg",
    "mjpeg_2000",
    "mpjpeg",
    "smjpeg",
    "dirac",
  ],
  ...[
    "dnxhd",
    "vc1",
    "vc1test",
    "cavsvideo",
    "avs2",
    "avs3",
    "nsv",
    "nuv",
    "pva",
    "swf",
    "r3d",
    "mlv",
    "kux",
  ],
  ...["vivo", "vividas", "dhav", "flic", "smk", "bink", "moflex", "xmv", "film_cpk", "mtv", "ty"],
];

/** Arguments before the name of an input: nothing but this local file is opened, and errors alone are written. */
export const INPUT_LIMITS: readonly string[] = [
  ...["-v", "error", "-protocol_whitelist", "file", "-format_whitelist", CONTAINERS.join(",")],
  ...["-max_pixels", String(MOST_FRAME_PIXELS)],
];

/** What the programs say, among other things, of a file in a format that they may not open. */
export const REFUSED_FORMAT = /Format not on whitelist/;

/** The same of pictures that are too large; the size is the first group. */
export const REFUSED_SIZE = /Picture size (\d+x\d+) exceeds specified max pixel count/;

/** The prefix keeps names that start with "-" or look like an address what they are: files. */
export function inputName(path: string): string {
  return `file:${path}`;
}
