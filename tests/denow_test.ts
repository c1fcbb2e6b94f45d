/** The wrapper `denow`: which Deno it runs, with an `npm` and a `deno` made for the test. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import manifest from "../deno.json" with { type: "json" };

const DENOW = fileURLToPath(new URL("../denow", import.meta.url));
const VERSION = Deno.readTextFileSync(DENOW).match(/^DENO_VERSION=(.+)$/m)![1];

/** A `deno` that says its version, and otherwise who it is and what it was given. */
const fakeDeno = (who: string, version: string) =>
  `#!/bin/sh
case $1 in
  --version) echo "deno ${version} (stable)" ;;
  install) echo install >> "$HOME/deno.log"; mkdir -p node_modules; printf 'Initialize a@1\\nInitialize b@2\\n' ;;
  *) echo "${who} $*" ;;
esac
`;

/** An `apt-get` that keeps what it was asked for, and says that there is a Debian. */
const FAKE_APT = `#!/bin/sh\necho "$*" >> "$HOME/apt.log"\n`;
/** Somebody who is not root, and root. */
const NOBODY = "#!/bin/sh\necho 1000\n", ROOT = "#!/bin/sh\necho 0\n";

/** An `npm` that installs a fake binary below the folder after `--prefix`. */
const FAKE_NPM = `#!/bin/sh
mkdir -p "$3/node_modules/@deno/any"
cat > "$3/node_modules/@deno/any/deno" <<'END'
${fakeDeno("own", VERSION)}END
chmod +x "$3/node_modules/@deno/any/deno"
echo "$*" >> "$HOME/npm.log"
`;

/** What denow may take for granted on a bare machine. */
const TOOLS = "cat chmod cut find head id mkdir mktemp mv readlink rm sh tail uname".split(" ");

interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs a copy of denow with nothing on PATH but `programs` and the tools it uses. Calls share a home folder, in which the project is.
 *
 * @param env Variables beside HOME and PATH; SIDENET_GPU is off.
 */
async function inMachine(
  programs: Record<string, string>,
  body: (denow: (...args: string[]) => Promise<Result>, home: string) => Promise<void>,
  env: Record<string, string> = {},
): Promise<void> {
  const home = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${home}/bin`);
    await Deno.mkdir(`${home}/project`);
    await Deno.copyFile(DENOW, `${home}/project/denow`);
    await Deno.writeTextFile(`${home}/project/deno.lock`, "{}");
    for (const tool of TOOLS) {
      if (!Object.hasOwn(programs, tool)) await Deno.symlink(await which(tool), `${home}/bin/${tool}`);
    }
    for (const [name, text] of Object.entries(programs)) {
      await Deno.writeTextFile(`${home}/bin/${name}`, text, { mode: 0o755 });
    }
    await body(async (...args) => {
      const { code, stdout, stderr } = await new Deno.Command("/bin/sh", {
        args: [`${home}/project/denow`, ...args],
        cwd: home,
        clearEnv: true,
        env: { HOME: home, PATH: `${home}/bin`, SIDENET_GPU: "off", ...env },
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
  { name: "denow has Deno believe the system's certificates, unless told otherwise", ignore },
  async () => {
    const deno = `#!/bin/sh\n[ "$1" = --version ] && echo "deno ${VERSION}" || echo "$DENO_TLS_CA_STORE"\n`;
    await inMachine({ deno }, async (denow) => assert.equal((await denow("fmt")).stdout, "system,mozilla\n"));
    await inMachine({ deno }, async (denow) => assert.equal((await denow("fmt")).stdout, "mozilla\n"), {
      DENO_TLS_CA_STORE: "mozilla",
    });
  },
);

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
      assert.match(stderr, /apt-get install --no-install-recommends ca-certificates npm/);
      assert.match(stderr, /Cannot fetch Deno .*: npm is not on PATH/);
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
    assert.match(stdout, /^path task -q --config \/.*\/project\/deno\.json test --full\n$/);
    for (const short of ["test", "ok"]) {
      assert.match(
        (await denow(short)).stdout,
        new RegExp(`^path task -q --config .*/deno\\.json ${short}\n$`),
      );
    }
  });
});

Deno.test(
  { name: "denow VERB runs the verb as the task does, and Deno's own words stand behind deno", ignore },
  async () => {
    const tasks = manifest.tasks as Record<string, { command: string }>;
    const flagsOf = (task: string) =>
      / deno (run .*) "\$ROOT\/cli\/main\.ts"/.exec(tasks[task].command)![1].replace("$SIDENET_RANKS", "");
    await inMachine({ deno: fakeDeno("path", VERSION) }, async (denow, home) => {
      const main = `${await Deno.realPath(home)}/project/cli/main.ts`;
      const said = async (...args: string[]) => (await denow(...args)).stdout.trimEnd();
      for (const verb of ["train", "check", "eval", "no_such_verb", "--help"]) {
        assert.equal(await said(verb, "a b"), `path ${flagsOf("sidenet")} ${main} ${verb} a b`);
      }
      assert.equal(await said(), `path ${flagsOf("sidenet")} ${main}`);
      assert.equal(await said("bench", "ops"), `path ${flagsOf("bench")} ${main} bench ops`);
      for (const word of ["fmt", "lint", "run"]) assert.equal(await said(word, "x"), `path ${word} x`);
      for (const word of ["check", "bench", "test", "eval", "doc"]) {
        assert.equal(await said("deno", word, "x"), `path ${word} x`);
      }
    });
  },
);

Deno.test({ name: "denow fetches the npm packages once, with one line", ignore }, async () => {
  await inMachine({ deno: fakeDeno("path", VERSION) }, async (denow, home) => {
    const first = await denow("train");
    assert.equal(first.stderr, "denow: fetching the npm packages of this project, once\n");
    assert.match(first.stdout, /^path run .*main\.ts train\n$/);
    assert.equal((await denow("train")).stderr, "");
    assert.equal((await denow("fmt")).stderr, "");
    assert.equal(await Deno.readTextFile(`${home}/deno.log`), "install\n");
    // Other packages: a newer deno.lock.
    const later = new Date(Date.now() + 5000);
    await Deno.utime(`${home}/project/deno.lock`, later, later);
    await denow("train");
    assert.equal(await Deno.readTextFile(`${home}/deno.log`), "install\ninstall\n");
  });
});

Deno.test({ name: "denow says why npm packages could not be fetched", ignore }, async () => {
  const deno = fakeDeno("path", VERSION).replace(
    "  install)",
    "  install) echo 'no network'; exit 3 ;;\n  never)",
  );
  await inMachine({ deno }, async (denow) => {
    const { code, stdout, stderr } = await denow("train");
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /no network\n(.*\n)*denow: Cannot fetch the npm packages of this project/);
  });
});

const notLinux = Deno.build.os !== "linux";
const GPU = { SIDENET_GPU: "auto", XDG_DATA_HOME: "/nowhere" };

Deno.test(
  { name: "denow names everything that is missing at once, in one command", ignore: notLinux },
  async () => {
    // Whether this machine has a driver and a loader, the copy sees as well.
    const vulkan = await hasVulkanDriver() ? "" : "mesa-vulkan-drivers ";
    await inMachine({ "apt-get": FAKE_APT, id: NOBODY }, async (denow, home) => {
      await Deno.mkdir(`${home}/videos`);
      const { code, stderr } = await denow("train", "videos");
      assert.equal(code, 1);
      const lines = stderr.trimEnd().split("\n");
      assert.equal(lines.length, 2, stderr);
      assert.match(
        lines[0],
        new RegExp(
          `^denow: missing: npm \\(.*ffmpeg \\(.*To install: sudo apt-get install --no-install-recommends ca-certificates npm ${vulkan}.*ffmpeg$`,
        ),
      );
      assert.match(lines[1], /npm is not on PATH/);
      await assert.rejects(Deno.stat(`${home}/apt.log`), Deno.errors.NotFound);
    }, GPU);
  },
);

Deno.test(
  { name: "as root, denow installs what is missing with one command", ignore: notLinux },
  async () => {
    await inMachine(
      { "apt-get": FAKE_APT, id: ROOT, deno: fakeDeno("path", VERSION) },
      async (denow, home) => {
        const log = `${home}/apt.log`;
        // A recipe alone names no video, and words need nothing.
        await denow("train", "--help");
        await denow("train");
        await assert.rejects(Deno.stat(log), Deno.errors.NotFound);
        await Deno.mkdir(`${home}/videos`);
        const { code, stdout } = await denow("train", "videos");
        assert.equal(code, 0);
        assert.match(stdout, /train videos\n$/);
        assert.match(await Deno.readTextFile(log), /^update\n.*install -y --no-install-recommends ffmpeg\n$/);
      },
    );
  },
);

Deno.test({ name: "denow tells the verb how it was called", ignore }, async () => {
  const deno = `#!/bin/sh
case $1 in --version) echo "deno ${VERSION} (stable)" ;; install) mkdir -p node_modules ;; *) echo "$SIDENET_PROGRAM" ;; esac
`;
  await inMachine({ deno }, async (denow, home) => {
    assert.equal((await denow("train")).stdout, `${home}/project/denow\n`);
    await Deno.symlink(`${home}/project/denow`, `${home}/bin/sidenet`);
    const { stdout } = await new Deno.Command(`${home}/bin/sidenet`, {
      args: ["train"],
      clearEnv: true,
      env: { HOME: home, PATH: `${home}/bin`, SIDENET_GPU: "off" },
    }).output();
    assert.equal(new TextDecoder().decode(stdout), "sidenet\n");
  });
});

async function hasVulkanDriver(): Promise<boolean> {
  for (const folder of ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"]) {
    try {
      for await (const { name } of Deno.readDir(folder)) if (name.endsWith(".json")) return true;
    } catch {
      // not there
    }
  }
  return false;
}
