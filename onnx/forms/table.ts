/** The ONNX form of every op that a forward pass is made of, by the op's name. `tests/onnx/forms_test.ts` names one that is missing. */

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
