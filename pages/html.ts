/** Small helpers that write HTML: escaping, images as data URIs, bars and sections. */

import { shorten } from "../lib/text.ts";
import { jpegSize } from "../data/frames/jpeg.ts";

const ENTITIES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text made safe for HTML content and attribute values. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]);
}

/** Characters of a name, at most: lists may hold whole paragraphs. */
const MOST_NAME = 200;

/** Names short enough to stand on a page hundreds of times. */
export function shortened(names: readonly string[]): string[] {
  return names.map((name) => shorten(name, MOST_NAME));
}

/** A picture file as a data URI; JPEG unless it starts like a PNG. */
export function pictureUri(bytes: Uint8Array): string {
  const isPng = bytes[0] === 0x89 && bytes[1] === 0x50;
  return `data:image/${isPng ? "png" : "jpeg"};base64,${base64(bytes)}`;
}

/** A picture file as an image that takes its place before it is decoded, so that nothing moves. */
export function pictureTag(bytes: Uint8Array, alt: string): string {
  const size = sizeOf(bytes);
  return `<img src="${pictureUri(bytes)}" alt="${escapeHtml(alt)}"${
    size === null ? "" : ` width="${size.width}" height="${size.height}"`
  } loading="lazy">`;
}

/** The size of a JPEG; null of other files, and of those that do not tell. */
function sizeOf(bytes: Uint8Array): { width: number; height: number } | null {
  try {
    return jpegSize(bytes);
  } catch {
    return null;
  }
}

function base64(bytes: Uint8Array): string {
  let binary = "";
  const chunk = 0x8000; // String.fromCharCode takes a bounded number of arguments
  for (let at = 0; at < bytes.length; at += chunk) {
    binary += String.fromCharCode(...bytes.subarray(at, at + chunk));
  }
  return btoa(binary);
}

/**
 * A horizontal bar filled to a share; its figure must stand beside it as text.
 *
 * @param tone Name of a colour of the sheet, or a colour `#rrggbb`.
 */
export function shareBar(share: number, tone?: string): string {
  const width = `--share:${(100 * Math.min(1, Math.max(0, share))).toFixed(1)}%`;
  const colour = tone === undefined ? "" : `;--tone:${tone.startsWith("#") ? tone : `var(--${tone})`}`;
  return `<span class="bar" aria-hidden="true" style="${width}${colour}"></span>`;
}

/** A section with a heading; empty when there is nothing to show. */
export function section(title: string, about: string, content: string): string {
  if (content === "") return "";
  const intro = about === "" ? "" : `<p>${about}</p>`;
  return `<section><h2>${escapeHtml(title)}</h2>${intro}${content}</section>`;
}
