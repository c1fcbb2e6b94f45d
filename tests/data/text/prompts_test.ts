import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  ACTION_TEMPLATES,
  classPrompts,
  parseTemplates,
  readClassNames,
  readTemplates,
} from "../../../data/text/prompts.ts";
import { ConfigError, DataError } from "../../../lib/errors.ts";
import { inTempFolder } from "../../_util/frame_folders.ts";

Deno.test("every class stands in every template as it is written", () => {
  assert.deepEqual(classPrompts(["abseiling"], ACTION_TEMPLATES), [["a video of a person abseiling."]]);
  assert.deepEqual(classPrompts(["a $& b", "{}"], ["{}!", "so: {}, {}"]), [
    ["a $& b!", "so: a $& b, a $& b"],
    ["{}!", "so: {}, {}"],
  ]);
});

Deno.test("classes are names with commas between, or a file of them; what is neither is an error", () =>
  inTempFolder(async (root) => {
    assert.deepEqual(await readClassNames("waves, walks,sits down"), ["waves", "walks", "sits down"]);
    const file = join(root, "a,b.csv");
    await writeFile(file, "id,name\n0,waves\n1,walks\n");
    assert.deepEqual(await readClassNames(file), ["waves", "walks"]);
    for (
      const [value, reason] of [["waves", /no such file/], ["a,,b", /a name is empty/], [
        "a, b, a",
        /"a" is there twice/,
      ]] as const
    ) {
      await assert.rejects(
        readClassNames(value),
        (error) => error instanceof ConfigError && reason.test(error.message),
      );
    }
    await assert.rejects(readClassNames(root), DataError);
    for (
      const [text, reason] of [
        ["", /it must name at least 1 classes, current count is 0/],
        ["waves\n", /it must name two classes or more, current count is 1/],
        ["waves\nwalks\nwaves\n", /no class may be there twice, current value is "waves"/],
      ] as const
    ) {
      await writeFile(file, text);
      await assert.rejects(
        readClassNames(file),
        (error) => error instanceof DataError && reason.test(error.message),
      );
    }
  }));

Deno.test("templates are one text or the lines of a file; a line without a place for the name is an error by its number", () =>
  inTempFolder(async (root) => {
    assert.deepEqual(await readTemplates("a photo of {}"), ["a photo of {}"]);
    const file = join(root, "templates.txt");
    await writeFile(file, "a photo of {}.\r\n\n  the {}  \n");
    assert.deepEqual(await readTemplates(file), ["a photo of {}.", "the {}"]);
    assert.throws(
      () => parseTemplates("{} a\n\nthe class", { file: "t" }),
      (error) =>
        error instanceof DataError &&
        /"t" line 3: a template must have {} .* is "the class"$/.test(error.message),
    );
    assert.throws(() => parseTemplates("\n", { file: "t" }), /it must have a template on a line or more/);
    await assert.rejects(readTemplates(join(root, "none.txt")), DataError);
  }));
