/**
 * Reader of `torch.save` files since PyTorch 1.6 and of TorchScript archives: a ZIP archive with a pickle `<top>/data.pkl`
 * that describes tensors, and their elements in `<top>/data/<key>` (PyTorch's docs/source/notes/serialization.rst).
 */
import { DataError } from "../../lib/errors.ts";
import { shorten } from "../../lib/text.ts";
import { readView, type TorchFile } from "./_torch_file.ts";
import { torchRules } from "./_torch_rules.ts";
import { DTYPE_BYTES } from "./dtype.ts";
import { MAX_PICKLE_BYTES, readPickle } from "./pickle.ts";
import type { RangeSource } from "./safetensors.ts";
import { z } from "zod";
import { parseJson } from "../schema.ts";
import { compressionRefusal, openZip } from "./zip.ts";

const METADATA = z.record(z.string(), z.string());

const PICKLE = "data.pkl";
/**
 * A record beside those of PyTorch, which `torch.load` does not look at: texts by name, as in the header of a safetensors file. Recipe and class
 * names of a model that was trained here travel in it.
 */
export const METADATA_RECORD = "extra/sidenet.json";
const MAX_METADATA_BYTES = 16 * 2 ** 20;

/**
 * Opens an archive: reads its directory and its pickle, no tensor.
 *
 * @param options.label Name for error messages, usually the path.
 * @throws {DataError} for a damaged archive, for a pickle that holds more than data, for sizes that do not fit.
 */
export async function openTorchZip(source: RangeSource, options: { label: string }): Promise<TorchFile> {
  const { label } = options;
  const fail = (what: string): never => {
    throw new DataError(`Cannot read "${label}": ${what}`);
  };
  const archive = await openZip(source, { label });
  const top = topFolder([...archive.entries.keys()], fail);
  const pickle = archive.entries.get(`${top}${PICKLE}`)!;
  if (pickle.sizeBytes > MAX_PICKLE_BYTES) {
    fail(
      `"${
        shorten(pickle.name)
      }" may have at most ${MAX_PICKLE_BYTES} bytes, current value is ${pickle.sizeBytes}`,
    );
  }
  const order = archive.entries.get(`${top}byteorder`);
  if (
    order &&
    new TextDecoder().decode(
        await archive.read(order, { offset: 0, length: Math.min(order.sizeBytes, 16) }),
      ) !== "little"
  ) {
    fail("its numbers must be little-endian, current byte order is another");
  }
  const isScript = archive.entries.has(`${top}constants.pkl`);
  const rules = torchRules({
    label,
    isScript,
    fileBytes: source.sizeBytes,
    storage: (key, { dtype, count }) => {
      const entry = archive.entries.get(`${top}data/${key}`);
      if (!entry) {
        return fail(
          `storage "${shorten(key)}" must be in the archive, there is no "${shorten(`${top}data/${key}`)}"`,
        );
      }
      const refusal = compressionRefusal(entry); // its size is only a claim
      if (refusal !== null) return fail(refusal);
      const needed = count * (dtype === null ? 1 : DTYPE_BYTES[dtype]);
      if (needed > entry.sizeBytes) {
        return fail(
          `storage "${shorten(key)}" must have ${needed} bytes, current value is ${entry.sizeBytes}`,
        );
      }
      return { key, dtype, start: 0, count };
    },
  });
  const { value } = readPickle(await archive.read(pickle), { label, rules });
  const beside = archive.entries.get(`${top}${METADATA_RECORD}`);
  if (beside && beside.sizeBytes > MAX_METADATA_BYTES) {
    fail(
      `"${METADATA_RECORD}" may have at most ${MAX_METADATA_BYTES} bytes, current value is ${beside.sizeBytes}`,
    );
  }
  const metadata = beside &&
    parseJson(new TextDecoder().decode(await archive.read(beside)), METADATA, (what) => {
      throw new DataError(`Cannot read "${label}": "${METADATA_RECORD}": ${what}; the file has been damaged`);
    });
  return {
    metadata,
    format: isScript ? "torchscript" : "torch zip",
    root: value,
    read: (view) =>
      readView(view, (offset, length) => {
        const entry = archive.entries.get(`${top}data/${view.storage.key}`)!;
        return archive.read(entry, { offset, length });
      }),
  };
}

/** The one folder that all entries share, as `name/`. */
function topFolder(names: readonly string[], fail: (what: string) => never): string {
  const tops = names.filter((name) =>
    name.endsWith(`/${PICKLE}`) && name.indexOf("/") === name.length - PICKLE.length - 1
  );
  if (tops.length === 1) return tops[0].slice(0, -PICKLE.length);
  return fail(
    `a PyTorch archive must have one "<folder>/${PICKLE}", current count is ${tops.length}` +
      (tops.length === 0 ? "; it is a ZIP archive of something else" : ""),
  );
}
