/**
 * The ONNX form of every op that a forward pass is made of, by the op's name, and why others have none. `tests/onnx/forms_test.ts` names
 * an op that is in neither table.
 */

import type { Form } from "../form.ts";
import { ELEMENTWISE_FORMS } from "./elementwise.ts";
import { LAYOUT_FORMS } from "./layout.ts";
import { NORM_FORMS } from "./norms.ts";
import { PRODUCT_FORMS } from "./products.ts";

export const FORMS: Readonly<Record<string, Form>> = {
  ...ELEMENTWISE_FORMS,
  ...LAYOUT_FORMS,
  ...NORM_FORMS,
  ...PRODUCT_FORMS,
};

const BACKWARD = "a part of the backward pass",
  LOSS = "a part of the loss",
  JOINED = "made of others in planning";
const UPDATE = "changes weights or what is kept beside them, in training",
  STORES = "writes into a tensor in place";

/** Ops that never leave, and why. */
export const NOT_EXPORTED: Readonly<Record<string, string>> = {
  addWindow: JOINED,
  geluDx: BACKWARD,
  quickGeluDx: BACKWARD,
  reluDx: BACKWARD,
  attentionBackwardQuery: BACKWARD,
  attentionBackwardKey: BACKWARD,
  batchNormTrain: "statistics of a batch; evaluation reads the running ones",
  batchNormBackward: BACKWARD,
  batchNormUpdate: UPDATE,
  sharedNormTrain: "statistics of the batches of several ranks; evaluation reads the running ones",
  sharedNormBackward: BACKWARD,
  moveAverage: UPDATE,
  exchange: UPDATE,
  joinWindows: BACKWARD,
  copyInto: STORES,
  accumulateInto: STORES,
  fill: STORES,
  clampMax: UPDATE,
  clipTensors: UPDATE,
  convolutionColumns: BACKWARD,
  oneHot: LOSS,
  crossEntropy: LOSS,
  crossEntropyDLogits: LOSS,
  embeddingDTable: BACKWARD,
  addEmbeddingDTable: BACKWARD,
  gatherRowsDx: BACKWARD,
  layerNormBackward: BACKWARD,
  layerNormBackwardWeight: BACKWARD,
  l2NormalizeDx: BACKWARD,
  adamw: UPDATE,
  bertAdam: UPDATE,
  gradNorm: UPDATE,
  clipFactor: UPDATE,
  sigmoidGateDx: BACKWARD,
  siluMultiplyDx: BACKWARD,
  maskedSoftmax: "a part of comparing clips with sentences, which is not part of the files",
  softmaxDx: BACKWARD,
  temporalConvDx: BACKWARD,
  temporalConvDWeight: BACKWARD,
  temporalDeficitDx: BACKWARD,
  tokenInteraction: "a part of comparing clips with sentences, which is not part of the files",
  tokenInteractionDRows: BACKWARD,
  unfoldDx: BACKWARD,
  countNonFinite: UPDATE,
  guardMark: UPDATE,
  guardRevert: UPDATE,
  guardSettle: UPDATE,
};
