import assert from "node:assert/strict";
import { whyNoFrames } from "../../../data/frames/frame_folder.ts";
import { guessTemplate, parseFrameTemplate } from "../../../data/frames/frame_template.ts";

const named: [template: string, number: number, fileName: string][] = [
  ["{:05d}.jpg", 7, "00007.jpg"],
  ["{:06d}.jpg", 7, "000007.jpg"],
  ["{:05}.jpg", 7, "00007.jpg"],
  ["{0:05d}.jpg", 7, "00007.jpg"],
  ["{0:05}.jpg", 7, "00007.jpg"],
  ["{0}.jpg", 7, "7.jpg"],
  ["{}.jpg", 7, "7.jpg"],
  ["frame{:d}.jpg", 12, "frame12.jpg"],
  ["img_{:05d}.jpg", 123456, "img_123456.jpg"],
  ["{:0>5d}.png", 7, "00007.png"],
  ["{:0>5}.png", 7, "00007.png"],
  ["{:5d}.jpg", 7, "    7.jpg"],
  ["%05d.jpg", 7, "00007.jpg"],
  ["image-%d.png", 0, "image-0.png"],
  ["%4i.jpg", 7, "   7.jpg"],
  ["100%%_%03d.jpg", 7, "100%_007.jpg"],
  ["100%_{:03d}.jpg", 7, "100%_007.jpg"],
  ["{{a}}_{:03d}_%d.jpg", 7, "{a}_007_%d.jpg"],
  ["img.{:d}.jpg", 0, "img.0.jpg"],
];

Deno.test("templates in Python's forms give names and know their own files", () => {
  for (const [template, number, fileName] of named) {
    const names = parseFrameTemplate(template);
    assert.equal(names.name(number), fileName, template);
    assert.equal(names.number(fileName), number, template);
  }
});

Deno.test("files of other names are no frames", () => {
  const { matches } = parseFrameTemplate("{:05d}.jpg");
  for (
    const foreign of [
      "7.jpg",
      "00007.png",
      "img_00007.jpg",
      "000007.jpg",
      "Thumbs.db",
      "0000a.jpg",
      ".jpg",
      "-0001.jpg",
    ]
  ) {
    assert(!matches(foreign), foreign);
  }
  assert(matches("00000.jpg"));
  assert(!parseFrameTemplate("{:5d}.jpg").matches("00007.jpg"));
  assert(!parseFrameTemplate("a{:d}a.jpg").matches("a.jpg"), "the ends must not overlap");
});

const refused = [
  "frame.jpg",
  "",
  "{:05d}_{:05d}.jpg",
  "%05d_%d.jpg",
  "{:05x}.jpg",
  "{:05f}.jpg",
  "{:+5d}.jpg",
  "{1:05d}.jpg",
  "{frame}.jpg",
  "{:05d.jpg",
  "%s.jpg",
  "%.5d.jpg",
  "100%_%d.jpg",
  "frames/{:05d}.jpg",
  "{:9999d}.jpg",
];

for (const template of refused) {
  Deno.test(`the template "${template}" is refused with forms that are taken`, () => {
    assert.throws(() => parseFrameTemplate(template), (error: Error) => {
      assert.equal(error.name, "ConfigError");
      assert(error.message.startsWith(`Cannot use frame template ${JSON.stringify(template)}: it must `));
      assert.match(error.message, /such as "\{:05d\}\.jpg", "img_\{:05\}\.jpg"/);
      return true;
    });
  });
}

Deno.test("a template is read off the names of a folder's pictures", () => {
  const cases: [string[], string | null][] = [
    [["00001.png", "00002.png", "notes.txt"], "{:05d}.png"],
    [["img_00000.JPG", "img_00001.JPG"], "img_{:05d}.JPG"],
    [["frame1.jpg", "frame10.jpg", "frame2.jpg"], "frame{:d}.jpg"],
    [["7.webp"], "{:d}.webp"],
    [["000098.jpg", "000099.jpg", "000100.jpg"], "{:06d}.jpg"],
    [["flow_x_001.jpg", "img_001.jpg", "img_002.jpg"], "img_{:03d}.jpg"],
    [["{x}1.png"], "{{x}}{:d}.png"],
    [["00001.bmp", "00002.bmp"], null],
    [["00001.mp4", "cover.jpg", "a1.gif"], null],
    [[], null],
  ];
  for (const [fileNames, expected] of cases) {
    assert.equal(guessTemplate(fileNames), expected);
    if (expected === null) continue;
    assert(parseFrameTemplate(expected).matches(fileNames.at(-1)!) || fileNames.includes("notes.txt"));
  }
});

Deno.test("why a folder has no frames names what would help: the template, the first number, another kind of picture", () => {
  const cases: [fileNames: string[], template: string, firstFrame: number | null, why: string][] = [
    [
      ["img_00001.jpg", "img_00002.jpg"],
      "img_{:05}.jpg",
      50,
      "none of its 2 frames has the number 50 or a higher one, the last has 2 (data.first_frame)",
    ],
    [
      ["img_00001.jpg", "a.txt"],
      "{:05d}.jpg",
      50,
      'none of its 2 files is named like "{:05d}.jpg"; its pictures are named like "img_{:05d}.jpg" (data.image_tmpl, or --template)',
    ],
    [
      ["00001.bmp"],
      "{:05d}.jpg",
      null,
      'none of its 1 files is named like "{:05d}.jpg"; "00001.bmp" is BMP, which is not read: save the frames as JPEG or PNG',
    ],
  ];
  for (const [fileNames, template, firstFrame, why] of cases) {
    assert.equal(whyNoFrames(fileNames, { template, firstFrame }), why);
  }
});
