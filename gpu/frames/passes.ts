/**
 * From a clip's transform to the kernel launches that carry it out, without any GPU object. Only what the output needs is
 * computed: a pass along x makes the columns of the wanted window and the rows that the pass along y will read.
 */
import { type ClipTransform, type ResizeStage, resizeStages } from "../../pixels/clip_transform.ts";
import { type ResampleCache, type ResampleTable, ROW_HEADER } from "../../pixels/resample.ts";

/** Where pixels lie in one of the two scratch buffers: frame t, row y, column x at `t·frame + origin + y·row + x`. */
export interface PixelView {
  /** Index of the scratch buffer. */
  buffer: 0 | 1;
  origin: number;
  row: number;
  frame: number;
}

/** One pass of a resize: reads `from`, writes the other scratch buffer without gaps. */
export interface ResamplePass {
  from: PixelView;
  /** Size of the result. */
  width: number;
  height: number;
  vertical: boolean;
  /** Sample number along the axis that `from.origin` stands for. */
  tapOrigin: number;
  table: ResampleTable;
  /** Table row of the first result. */
  tableStart: number;
}

/** Launches for one clip: resize passes in order, then the gather from `source`. */
export interface ClipPasses {
  resample: ResamplePass[];
  source: PixelView;
}

/** Input samples `[from, to)` that rows `start … start + count − 1` of a table read. */
function tapsOf(table: ResampleTable, start: number, count: number): [number, number] {
  const { rows, stride } = table;
  const last = (start + count - 1) * stride;
  return [rows[start * stride], rows[last] + rows[last + 1]];
}

/** Adds the passes of one resize and returns where its window then lies. */
function addStage(
  passes: ResamplePass[],
  view: PixelView,
  stage: ResizeStage,
  cache: ResampleCache,
): PixelView {
  const { from, to, filter, window } = stage;
  const alongX = from.width !== to.width, alongY = from.height !== to.height;
  if (!alongX && !alongY) return { ...view, origin: view.origin + window.y * view.row + window.x };

  const tableY = alongY ? cache.get(from.height, to.height, filter) : null;
  let firstRow = 0;
  if (alongX) {
    const [start, end] = tableY
      ? tapsOf(tableY, window.y, window.height)
      : [window.y, window.y + window.height];
    passes.push({
      from: { ...view, origin: view.origin + start * view.row },
      width: window.width,
      height: end - start,
      vertical: false,
      tapOrigin: 0,
      table: cache.get(from.width, to.width, filter),
      tableStart: window.x,
    });
    view = packedView(view, window.width, end - start);
    firstRow = start;
  } else {
    view = { ...view, origin: view.origin + window.x };
  }
  if (!tableY) return view;
  passes.push({
    from: view,
    width: window.width,
    height: window.height,
    vertical: true,
    tapOrigin: firstRow,
    table: tableY,
    tableStart: window.y,
  });
  return packedView(view, window.width, window.height);
}

/** A picture without gaps in the buffer that `previous` is not in. */
function packedView(previous: PixelView, width: number, height: number): PixelView {
  return { buffer: previous.buffer === 0 ? 1 : 0, origin: 0, row: width, frame: width * height };
}

/**
 * Plans the resizes of a clip whose frames, unpacked and through their pixel operations, lie at the start of a scratch
 * buffer.
 *
 * @throws {RangeError} when a region of the transform lies outside its picture.
 */
export function planClip(
  clip: { width: number; height: number; transform: ClipTransform },
  options: { size: number; cache: ResampleCache; buffer: 0 | 1 },
): ClipPasses {
  const resample: ResamplePass[] = [];
  const { buffer } = options;
  let source: PixelView = { buffer, origin: 0, row: clip.width, frame: clip.width * clip.height };
  for (const stage of resizeStages(clip, clip.transform, options.size)) {
    source = addStage(resample, source, stage, options.cache);
  }
  return { resample, source };
}

/** A table with one row for each sample of a resized axis. */
export interface PackedTable extends Pick<ResampleTable, "inSize" | "outSize" | "stride" | "rows"> {
  /** Tells the tables of two sizes apart. */
  readonly filter: string;
}

/**
 * Coefficient tables of one batch in one array. Only the rows that are read go in, each run once.
 */
export class TablePacker {
  readonly words: Int32Array;
  #used = 0;
  readonly #offsets = new Map<string, number>();

  constructor(capacityWords: number) {
    this.words = new Int32Array(capacityWords);
  }

  /** Words in use. */
  get usedWords(): number {
    return this.#used;
  }

  /** Forgets the previous batch. */
  clear(): void {
    this.#used = 0;
    this.#offsets.clear();
  }

  /** Word at which the rows from `start` on begin. */
  add(table: PackedTable, start: number, count: number): number {
    const key = `${table.inSize}>${table.outSize} ${table.filter} ${start}+${count}`;
    const known = this.#offsets.get(key);
    if (known !== undefined) return known;
    const offset = this.#used;
    this.words.set(table.rows.subarray(start * table.stride, (start + count) * table.stride), offset);
    this.#offsets.set(key, offset);
    this.#used += count * table.stride;
    return offset;
  }
}

/**
 * Most words that the rows of one pass can take when neither its input nor its window is longer than `longest`: a row is
 * the header, one tap and twice the widened support (2 for bicubic, rounded up) long.
 */
export function passTableWords(longest: number): number {
  return longest * (ROW_HEADER + 1 + 2 + 4);
}
