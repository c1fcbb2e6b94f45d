/** What the two containers of `torch.save` have in common. */
import { DTYPE_BYTES } from "./dtype.ts";
import type { PyValue } from "./pickle_values.ts";
import { gatherRows, type TensorView } from "./tensor_view.ts";

/** An open file of PyTorch's: its pickle as data, tensors read on demand. */
export interface TorchFile {
  readonly format: "torch zip" | "torchscript" | "torch stream";
  readonly root: PyValue;
  /** Texts that were written beside PyTorch's records; of files written here. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** The elements of a tensor, row by row. */
  read(view: TensorView): Promise<Uint8Array>;
}

/** Reads a tensor. @param range Bytes of its storage. */
export async function readView(
  view: TensorView,
  range: (offset: number, length: number) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  if (view.count === 0) return new Uint8Array(0);
  const size = DTYPE_BYTES[view.dtype];
  const bytes = await range((view.storage.start + view.offset) * size, view.extent * size);
  return view.isContiguous ? bytes : gatherRows(view, bytes);
}
