/** A camera's pictures of the last seconds, classified again and again while it runs. */
import { make } from "./dom.ts";

/** Pictures that are kept of a window, and their width at most. */
const KEPT = 32, WIDTH = 340;

/** Why there is no camera, by the name of a browser's error; those of pages without a secure origin have no devices at all. */
const REASONS: Readonly<Record<string, string>> = {
  NotFoundError: "this machine has none, or the browser sees none",
  NotAllowedError: "the browser does not let this page; allow it beside the address, then press Camera again",
  NotReadableError: "another program has it",
  TypeError: "browsers give one to pages from https, localhost or a file alone",
};

function reasonOf({ name, message }: Error): string {
  return REASONS[name] ?? message;
}

/** A running camera and its part of the page. */
export class Camera {
  readonly #home: HTMLElement;
  readonly #send: (frames: Uint8Array<ArrayBuffer>[], size: { width: number; height: number }) => void;
  readonly #video = make("video", { muted: true, playsinline: true, autoplay: true });
  readonly #top = make("div", { class: "top" });
  readonly #about = make("p", { class: "about" }, "starting the camera");
  #stream: MediaStream | null = null;
  #kept: { at: number; rgb: Uint8Array<ArrayBuffer> }[] = [];
  #isAsked = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param send Has a clip classified; `show` or `fail` is called with what comes of it. */
  constructor(
    home: HTMLElement,
    send: (frames: Uint8Array<ArrayBuffer>[], size: { width: number; height: number }) => void,
  ) {
    this.#home = home;
    this.#send = send;
  }

  /** Whether it has not been stopped. */
  get isRunning(): boolean {
    return this.#stream !== null;
  }

  /** @param window Seconds that the network is shown. */
  async start(window: () => number): Promise<void> {
    const stop = make("button", { click: () => this.stop() }, "Stop");
    this.#home.replaceChildren(make(
      "article",
      { class: "input live" },
      make("header", {}, make("h2", {}, "Camera"), make("span", { class: "tools" }, stop)),
      this.#about,
      make("div", { class: "pair" }, this.#video, this.#top),
    ));
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } } });
    } catch (error) {
      stop.textContent = "Close";
      this.#home.querySelector(".pair")!.remove();
      return this.fail(`Cannot use the camera: ${reasonOf(error as Error)}`);
    }
    this.#video.srcObject = this.#stream;
    await this.#video.play();
    const tick = () => {
      if (this.#stream === null) return;
      this.#look(window());
      this.#timer = setTimeout(tick, 1000 * window() / KEPT);
    };
    tick();
  }

  /** Keeps a picture; when as many seconds are there as the network is shown, asks about them. */
  #look(seconds: number): void {
    const { videoWidth, videoHeight } = this.#video;
    if (videoWidth === 0) return;
    const width = Math.min(WIDTH, videoWidth),
      height = Math.max(1, Math.round(videoHeight * width / videoWidth));
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
    context.drawImage(this.#video, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height), rgb = new Uint8Array(width * height * 3);
    for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
      rgb.set(data.subarray(from, from + 3), to);
    }
    const now = performance.now();
    this.#kept = [
      ...this.#kept.filter(({ at, rgb: { length } }) => now - at <= 1000 * seconds && length === rgb.length),
      { at: now, rgb },
    ];
    if (this.#isAsked || now - this.#kept[0].at < 900 * seconds) return;
    this.#isAsked = true;
    this.#send(this.#kept.map((one) => one.rgb.slice()), { width, height });
  }

  /** Shows what the network says. @param ms How long it took. */
  show(shares: HTMLElement, ms: number): void {
    this.#isAsked = false;
    this.#about.textContent = `${(1000 / ms).toFixed(1)} answers a second`;
    this.#top.replaceChildren(shares);
  }

  fail(message: string): void {
    this.#isAsked = false;
    this.#about.textContent = message;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
    this.#home.replaceChildren();
  }
}
