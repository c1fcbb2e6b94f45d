/** A video's result as a part of the page: thumbnails, the best class over time, curves, and the five best where the cursor stands. */
import { inkOn, type PageColours } from "../lib/colours.ts";
import { formatShare } from "../lib/text.ts";
import { clockDigits, formatClock, spansOf } from "../train/evaluation/timeline.ts";
import type { ClassShare } from "../train/tasks/class_shares.ts";
import { make, makeSvg } from "./dom.ts";
import type { VideoResult } from "./protocol.ts";
import { tickTimes } from "./ticks.ts";

const CHART_WIDTH = 1000, CHART_HEIGHT = 100;

/** The five best classes with bars. */
export function shareList(top: readonly ClassShare[], colours: PageColours): HTMLElement {
  return make(
    "ol",
    { class: "shares" },
    ...top.map(({ label, index, p }) =>
      make(
        "li",
        {},
        make("span", { class: "name" }, label),
        make("span", { class: "figure" }, formatShare(p)),
        make("span", {
          class: "bar",
          "aria-hidden": "true",
          style: `--share:${100 * p}%;--tone:${colours.of(index)}`,
        }),
      )
    ),
  );
}

/** Pictures of a video with their times, side by side. */
export function thumbnailStrip(
  thumbnails: VideoResult["thumbnails"],
  clock: (at: number) => string,
): HTMLElement {
  const few = Math.floor((thumbnails.length + 1) / 3);
  return make(
    "div",
    {
      class: `thumbs${thumbnails.length >= 9 ? " many" : ""}`,
      style: `--frames:${thumbnails.length};--few:${few}`,
    },
    ...thumbnails.map(({ at, picture }) => {
      const image = make("img", { src: URL.createObjectURL(picture), alt: `frame at ${clock(at)}` });
      return make("figure", {}, image, make("span", {}, clock(at)));
    }),
  );
}

/** All that is shown of a result. */
export function resultView(result: VideoResult, colours: PageColours): HTMLElement {
  const { seconds, windows, segments, thumbnails, top } = result;
  const digits = clockDigits(
    seconds,
    windows.length > 1 ? windows[1].from - windows[0].from : null,
    segments,
  );
  const clock = (at: number) => formatClock(at, digits);
  const readout = make("p", { class: "readout", "aria-live": "polite" }),
    list = make("div", { class: "top" });
  const show = (title: string, shares: readonly ClassShare[]) => {
    readout.textContent = title;
    list.replaceChildren(shareList(shares, colours));
  };
  const showWhole = () => show("Whole clip", top);
  showWhole();
  const strip = thumbnailStrip(thumbnails, clock);
  if (windows.length === 0) return make("div", {}, strip, readout, list);
  const spans = spansOf(windows), share = (at: number) => `${100 * at / seconds}%`;
  const ribbon = make(
    "div",
    { class: "ribbon" },
    ...segments.map(({ from, to, label, index, p }) => {
      const colour = colours.of(index);
      return make("span", {
        style: `left:${share(from)};width:${share(to - from)};background:${colour};color:${inkOn(colour)}`,
        title: `${clock(from)}–${clock(to)} ${label}, ${formatShare(p)} on average`,
      }, label);
    }),
  );
  // Names that do not fit are told by the cursor alone.
  new ResizeObserver(() => {
    const names = [...ribbon.children];
    for (const name of names) name.classList.remove("tight");
    const tight = names.filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth);
    for (const name of tight) name.classList.add("tight");
  }).observe(ribbon);
  const axis = ticks(seconds, clock);
  const cursor = make("i", { class: "cursor", hidden: true });
  const slider = make(
    "div",
    {
      class: "timeline",
      tabindex: 0,
      role: "slider",
      "aria-label":
        `Time in ${result.file}; arrow keys step through the windows, Escape shows the whole clip`,
      "aria-valuemin": 0,
      "aria-valuemax": windows.length - 1,
      "aria-valuenow": 0,
      "aria-valuetext": "whole clip",
    },
    ribbon,
    curves(result, spans, colours),
    cursor,
    axis,
  );
  let at: number | null = null;
  const stand = (place: number | null) => {
    at = place;
    cursor.toggleAttribute("hidden", place === null);
    if (place === null) {
      showWhole();
      slider.setAttribute("aria-valuetext", "whole clip");
      return;
    }
    const { from, to, top: shares } = windows[place], text = `${clock(from)}–${clock(to)}`;
    cursor.style.left = share((spans[place][0] + spans[place][1]) / 2);
    slider.setAttribute("aria-valuenow", String(place));
    slider.setAttribute("aria-valuetext", `${text}: ${shares[0]?.label ?? ""}`);
    show(text, shares);
  };
  const last = windows.length - 1;
  slider.addEventListener("keydown", (event) => {
    const step: Readonly<Record<string, number | null>> = {
      ArrowRight: at === null ? 0 : Math.min(last, at + 1),
      ArrowLeft: at === null ? last : Math.max(0, at - 1),
      Home: 0,
      End: last,
      Escape: null,
    };
    if (!Object.hasOwn(step, event.key)) return;
    event.preventDefault();
    stand(step[event.key]);
  });
  slider.addEventListener("pointermove", (event) => {
    const { left, width } = slider.getBoundingClientRect(), time = seconds * (event.clientX - left) / width;
    const place = spans.findIndex(([, to]) => time < to);
    stand(place < 0 ? last : place);
  });
  slider.addEventListener("pointerleave", () => stand(null));
  slider.addEventListener("blur", () => stand(null));
  return make("div", {}, strip, key(result, colours), slider, readout, list);
}

/** The colours that are drawn, with their classes. */
function key({ curves }: VideoResult, colours: PageColours): HTMLElement {
  return make(
    "div",
    { class: "key" },
    ...curves.map(({ label, index }) =>
      make("span", {}, make("i", { style: `--tone:${colours.of(index)}` }), label)
    ),
  );
}

function curves(
  { curves, seconds }: VideoResult,
  spans: readonly (readonly [number, number])[],
  colours: PageColours,
): SVGElement {
  const x = (at: number) => (CHART_WIDTH * at / seconds).toFixed(1),
    y = (p: number) => (CHART_HEIGHT * (1 - p)).toFixed(1);
  const grid = [0, 0.5, 1].map((p) =>
    makeSvg("line", {
      x1: 0,
      x2: CHART_WIDTH,
      y1: y(p),
      y2: y(p),
      class: "grid",
      "vector-effect": "non-scaling-stroke",
    })
  );
  const lines = curves.map(({ index, p }) => {
    const points = p.map((share, i) => [(spans[i][0] + spans[i][1]) / 2, share]);
    const all = [[spans[0][0], p[0]], ...points, [spans[spans.length - 1][1], p[p.length - 1]]];
    return makeSvg("polyline", {
      points: all.map(([at, share]) => `${x(at)},${y(share)}`).join(" "),
      fill: "none",
      stroke: colours.of(index),
      "stroke-width": 2,
      "vector-effect": "non-scaling-stroke",
    });
  });
  return makeSvg(
    "svg",
    {
      viewBox: `0 0 ${CHART_WIDTH} ${CHART_HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": "Probabilities of these classes over time",
    },
    ...grid,
    ...lines,
  );
}

function ticks(seconds: number, clock: (at: number) => string): HTMLElement {
  const axis = make("div", { class: "ticks", "aria-hidden": "true" }), letters = clock(seconds).length;
  new ResizeObserver(([{ contentRect: { width } }]) => {
    const labels = tickTimes(seconds, { width, letters }).map((at) => {
      // As far to its left as it stands to the right, so that no label leaves the axis.
      const share = Math.min(100, 100 * at / seconds);
      return make("span", { style: `left:${share}%;transform:translateX(-${share}%)` }, clock(at));
    });
    axis.replaceChildren(...labels);
  }).observe(axis);
  return axis;
}
