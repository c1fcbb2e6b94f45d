/** Published files whose checksums are known. */

/** A file that was published with its checksum (spec side4video §1.2). */
export interface KnownFile {
  readonly backbone: string;
  readonly file: string;
  readonly sha256: string;
}

/** OpenAI's CLIP files. */
export const KNOWN_FILES: readonly KnownFile[] = [
  {
    backbone: "ViT-B/32",
    file: "ViT-B-32.pt",
    sha256: "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
  },
  {
    backbone: "ViT-B/16",
    file: "ViT-B-16.pt",
    sha256: "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
  },
  {
    backbone: "ViT-L/14",
    file: "ViT-L-14.pt",
    sha256: "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
  },
  {
    backbone: "ViT-L/14-336px",
    file: "ViT-L-14-336px.pt",
    sha256: "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
  },
];

/** The published file of a name, whatever folder it lies in. */
export function knownByName(path: string): KnownFile | undefined {
  const name = path.split(/[\\/]/).at(-1)!.toLowerCase();
  return KNOWN_FILES.find(({ file }) => file.toLowerCase() === name);
}

/** The published file of a checksum. */
export function knownByHash(sha256: string): KnownFile | undefined {
  return KNOWN_FILES.find((known) => known.sha256 === sha256);
}
