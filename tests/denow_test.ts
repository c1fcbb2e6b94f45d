/** The wrapper `denow`: which Deno it runs, with an `npm` and a `deno` made for the test. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const DENOW = fileURLToPath(new URL("../denow", import.meta.url));
const VERSION = Deno.readTextFileSync(DENOW).match(/^DENO_VERSION=(.+)$/m)![1];

/** A `deno` that says its version, and otherwise who it is and what it was given. */
const fakeDeno = (who: string, version: string) =>
  `#!/bin/sh\nif [ "$1" = --version ]; then echo "deno ${version} (stable)"; else echo "${who} $*"; fi\n`;

/** An `npm` that installs a fake binary below the folder after `--prefix`. */
const FAKE_NPM = `#!/bin/sh
mkdir -p "$3/node_modules/@deno/any"
cat > "$3/node_modules/@deno/any/deno" <<'END'
${fakeDeno("own", VERSION)}END
chmod +x "$3/node_modules/@deno/any/deno"
echo "$*" >> "$HOME/npm.log"
`;

/** What denow may take for granted on a bare machine. */
const TOOLS = "cat chmod cut find head id mkdir mktemp mv rm tail uname".split(" ");

interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs denow with nothing on PATH but `programs` and the tools it uses. Calls share a home folder. */
async function inMachine(
  programs: Record<string, string>,
  body: (denow: (...args: string[]) => Promise<Result>, home: string) => Promise<void>,
): Promise<void> {
  const home = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${home}/bin`);
    for (const tool of TOOLS) {
      await Deno.symlink(await which(tool), `${home}/bin/${tool}`);
    }
    for (const [name, text] of Object.entries(programs)) {
      await Deno.writeTextFile(`${home}/bin/${name}`, text, { mode: 0o755 });
    }
    await body(async (...args) => {
      const { code, stdout, stderr } = await new Deno.Command("/bin/sh", {
        args: [DENOW, ...args],
        clearEnv: true,
        env: { HOME: home, PATH: `${home}/bin`, SIDENET_GPU: "off" },
      }).output();
      const decoder = new TextDecoder();
      return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
    }, home);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

async function which(tool: string): Promise<string> {
  for (const folder of ["/usr/bin", "/bin", "/usr/local/bin"]) {
    if (await Deno.stat(`${folder}/${tool}`).then(() => true, () => false)) return `${folder}/${tool}`;
  }
  throw new Error(`Cannot test denow: "${tool}" must be in /usr/bin, /bin or /usr/local/bin`);
}

const ignore = Deno.build.os === "windows";

Deno.test({ name: "denow runs a deno of the pinned version that is on PATH", ignore }, async () => {
  await inMachine({ deno: fakeDeno("path", VERSION) }, async (denow) => {
    const { code, stdout } = await denow("fmt", "a b");
    assert.equal(code, 0);
    assert.equal(stdout, "path fmt a b\n");
  });
});

Deno.test(
  { name: "denow fetches its own Deno, once, when the one on PATH is another version", ignore },
  async () => {
    await inMachine({ deno: fakeDeno("path", "1.0.0"), npm: FAKE_NPM }, async (denow, home) => {
      assert.equal((await denow("fmt")).stdout, "own fmt\n");
      const second = await denow("lint");
      assert.deepEqual([second.stdout, second.stderr], ["own lint\n", ""]);
      const log = (await Deno.readTextFile(`${home}/npm.log`)).trim().split("\n");
      assert.equal(log.length, 1);
      assert.ok(log[0].endsWith(`deno@${VERSION}`), log[0]);
      const left = [...Deno.readDirSync(`${home}/.cache/sidenet`)].map(({ name }) => name);
      assert.deepEqual(left, [`deno-${VERSION}`]);
    });
  },
);

Deno.test(
  { name: "denow says what to install when there is neither the pinned Deno nor npm", ignore },
  async () => {
    await inMachine({}, async (denow) => {
      const { code, stderr } = await denow("task", "test");
      assert.equal(code, 1);
      assert.match(stderr, /Install npm .*apt-get install npm/);
    });
  },
);

Deno.test({ name: "denow shows why npm failed and leaves nothing behind", ignore }, async () => {
  await inMachine({ npm: "#!/bin/sh\necho 'no network' >&2\nexit 1\n" }, async (denow, home) => {
    const { code, stderr } = await denow("task", "test");
    assert.equal(code, 1);
    assert.match(stderr, /no network\n.*npm install deno@/);
    assert.deepEqual([...Deno.readDirSync(`${home}/.cache/sidenet`)], []);
  });
});

Deno.test({ name: "denow runs this project's tasks wherever it is called from", ignore }, async () => {
  await inMachine({ deno: fakeDeno("path", VERSION) }, async (denow) => {
    const { stdout } = await denow("task", "test", "--full");
    assert.match(stdout, /^path task --config \/.*\/deno\.json test --full\n$/);
  });
});
