/** Published files of weights: where their authors publish them, and their checksums where these are known. */

/** A file that was published. */
export interface PublishedFile {
  readonly backbone: string;
  readonly file: string;
  readonly address: string;
  /** null: its authors publish none. */
  readonly sha256: string | null;
}

/** A file that was published with its checksum (spec side4video §1.2). */
export interface KnownFile extends PublishedFile {
  readonly sha256: string;
}

/** OpenAI's addresses hold the checksum of the file. */
function ofOpenAi(backbone: string, file: string, sha256: string): KnownFile {
  const address = `https://openaipublic.azureedge.net/clip/models/${sha256}/${file}`;
  return { backbone, file, sha256, address };
}

/** OpenAI's CLIP files. */
export const KNOWN_FILES: readonly KnownFile[] = [
  ofOpenAi("ViT-B/32", "ViT-B-32.pt", "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"),
  ofOpenAi("ViT-B/16", "ViT-B-16.pt", "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"),
  ofOpenAi("ViT-L/14", "ViT-L-14.pt", "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"),
  ofOpenAi(
    "ViT-L/14-336px",
    "ViT-L-14-336px.pt",
    "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
  ),
];

/** EVA-CLIP's files, whose authors publish no checksums: what is fetched could not be checked, so they are only looked for. */
export const UNCHECKED_FILES: readonly PublishedFile[] = [
  ["EVA02-CLIP-bigE-14", "EVA02_CLIP_E_psz14_s4B.pt"],
  ["EVA02-CLIP-bigE-14-plus", "EVA02_CLIP_E_psz14_plus_s9B.pt"],
  ["EVA02-CLIP-L-14", "EVA02_CLIP_L_psz14_s4B.pt"],
  ["EVA02-CLIP-L-14-336", "EVA02_CLIP_L_336_psz14_s6B.pt"],
].map(([backbone, file]) => ({
  backbone,
  file,
  address: `https://huggingface.co/QuanSun/EVA-CLIP/resolve/main/${file}`,
  sha256: null,
}));

/** A published file's name without its ending, by which recipes ask for it. */
export function weightsName({ file }: Pick<PublishedFile, "file">): string {
  return file.replace(/\.pt$/, "");
}

/** All names, for messages. */
export function weightsNames(): string[] {
  return [...KNOWN_FILES, ...UNCHECKED_FILES].map(weightsName);
}

/** The published file of a name such as "ViT-B-16", "ViT-B-16.pt" or "ViT-B/16", whatever its case. */
export function publishedFile(name: string): PublishedFile | undefined {
  const asked = name.toLowerCase().replace(/@/g, "-");
  return [...KNOWN_FILES, ...UNCHECKED_FILES].find((known) =>
    [known.file, weightsName(known), known.backbone].some((one) => one.toLowerCase() === asked)
  );
}

/** The published file of a name, whatever folder it lies in. */
export function knownByName(path: string): KnownFile | undefined {
  const name = path.split(/[\\/]/).at(-1)!.toLowerCase();
  return KNOWN_FILES.find(({ file }) => file.toLowerCase() === name);
}

/** The published file of a checksum. */
export function knownByHash(sha256: string): KnownFile | undefined {
  return KNOWN_FILES.find((known) => known.sha256 === sha256);
}
