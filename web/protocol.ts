/** What the page and its Worker say to each other. Everything crosses by structured clone. */
import type { ClassShare } from "../train/tasks/class_shares.ts";

/** What is known of a model that was given. */
export interface ModelFacts {
  readonly file: string;
  readonly system: string;
  /** Finds parts of videos by sentences, and names no classes. */
  readonly searches: boolean;
  readonly backbone: string;
  readonly labels: readonly string[];
  readonly frames: number;
  readonly side: number;
  /** The file of the backbone that it was trained beside, by name; null: it needs none. */
  readonly needs: string | null;
  /** It reads sentences, and the table of words is in no file so far. */
  readonly needsWords: boolean;
}

/** A place of the window with its best classes. */
export interface WindowShares {
  readonly from: number;
  readonly to: number;
  readonly top: readonly ClassShare[];
}

/** Time in which one class is the best throughout. */
export interface SegmentShares {
  readonly from: number;
  readonly to: number;
  readonly label: string;
  readonly index: number;
  readonly p: number;
}

/** What the network said of a video. */
export interface VideoResult {
  readonly file: string;
  readonly seconds: number;
  readonly top: readonly ClassShare[];
  readonly windows: readonly WindowShares[];
  readonly segments: readonly SegmentShares[];
  /** Probabilities over time of the classes that matter most, by class. */
  readonly curves: readonly {
    readonly index: number;
    readonly label: string;
    readonly p: readonly number[];
  }[];
  readonly thumbnails: readonly { readonly at: number; readonly picture: Blob }[];
  /** What `predict --json` prints. */
  readonly json: unknown;
  readonly computeMs: number;
}

/** A video of which the network has taken note, ready to be searched. */
export type EmbeddedVideo = Pick<VideoResult, "file" | "seconds" | "thumbnails" | "computeMs"> & {
  readonly parts: number;
};

/** A part of a video that a sentence finds. */
export interface Hit {
  readonly video: number;
  readonly from: number;
  readonly to: number;
  readonly score: number;
}

/** Window and stride in seconds; null: the whole clip at once. */
export type WindowChoice = { readonly window: number; readonly stride: number } | null;

/** What a field must have at least. */
export interface ChoiceBound {
  readonly field: "window" | "stride";
  readonly seconds: number;
}

/** How far a video is. */
export interface Progress {
  readonly what: "decoding" | "computing";
  /** Windows. */
  readonly done: number;
  readonly of: number;
}

/** A file that a model is made of: weights, or the table of words. */
export interface ModelFile {
  readonly kind: "weights" | "words";
  readonly file: File;
}

/** From the page. */
export type Request =
  | { readonly do: "model"; readonly files: readonly ModelFile[] }
  | { readonly do: "predict"; readonly video: number; readonly file: File; readonly window: WindowChoice }
  | { readonly do: "remove"; readonly video: number }
  | { readonly do: "search"; readonly sentence: string }
  /** Pictures of a camera, RGB one after the other, as one clip. */
  | {
    readonly do: "frames";
    readonly video: number;
    readonly width: number;
    readonly height: number;
    readonly frames: readonly Uint8Array<ArrayBuffer>[];
  };

/** From the Worker. `video` is the number of the request it answers. */
export type Answer =
  | { readonly tell: "stage"; readonly what: string; readonly done?: number; readonly of?: number }
  | { readonly tell: "known"; readonly model: ModelFacts }
  /** A file that a model may need was taken, and there is no model yet. */
  | { readonly tell: "kept"; readonly file: string; readonly kind: "backbone" | "words" }
  /** The model is on the GPU. */
  | {
    readonly tell: "ready";
    readonly model: ModelFacts;
    readonly adapter: string;
    readonly bytes: number;
    readonly isSoftware: boolean;
    readonly compileMs: number;
  }
  /** The model that was told of cannot be used. */
  | { readonly tell: "unusable"; readonly message: string }
  | ({ readonly tell: "progress"; readonly video: number } & Progress)
  /** Window or stride are too short for a video. */
  | { readonly tell: "choice"; readonly video: number; readonly bound: ChoiceBound }
  | { readonly tell: "result"; readonly video: number; readonly result: VideoResult }
  | {
    readonly tell: "shares";
    readonly video: number;
    readonly top: readonly ClassShare[];
    readonly ms: number;
  }
  | { readonly tell: "embedded"; readonly video: number; readonly result: EmbeddedVideo }
  | {
    readonly tell: "hits";
    readonly sentence: string;
    readonly hits: readonly Hit[];
    /** Words that the network does not know. */
    readonly unknown: readonly string[];
  }
  | { readonly tell: "failed"; readonly video: number | null; readonly message: string };
