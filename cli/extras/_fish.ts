/** Completion for fish. */
import type { Completed, CompletedVerb } from "./_completed.ts";

/** The script. */
export function fishCompletion({ verbs, keys }: Completed): string {
  const lines = verbs.flatMap(verbLines);
  return `# Completion of sidenet for fish, written by "sidenet completions fish".
# The verb: of ./denow task sidenet VERB, ./denow task VERB, ./denow VERB, sidenet VERB
function __sidenet_verb
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]; and contains -- $words[1] task sidenet
        set -e words[1]
    end
    set -q words[1]; and echo $words[1]
end
function __sidenet_is
    set -l verb (__sidenet_verb)
    contains -- "$verb" $argv
end
function __sidenet_values
    set -l token (commandline -ct)
    string match -q '*=*' -- $token; or return
    switch (string split -m1 = -- $token)[1]
${
    keys.filter(({ values }) => values.length > 0).map(({ name, values }) =>
      `        case ${name}\n            printf '%s\\n' ${
        values.map((value) => `${name}=${value}`).join(" ")
      }`
    ).join("\n")
  }
    end
end
set -g __sidenet_keys ${keys.map(({ name }) => `${name}=`).join(" ")}
for tool in sidenet denow
${lines.map((line) => `    complete -c $tool ${line}`).join("\n")}
end
`;
}

function verbLines({ name, summary, flags, words, takesKeys }: CompletedVerb): string[] {
  const here = `-n '__sidenet_is ${name}'`;
  return [
    `-f -n '__sidenet_is ""' -a ${name} -d ${quoted(summary)}`,
    ...flags.map(({ name, help, value }) => {
      const takes = value === null
        ? ""
        : value === "file"
        ? " -r -F"
        : value === "any"
        ? " -x"
        : ` -x -a ${quoted(value.join(" "))}`;
      return `${here} -l ${name}${takes} -d ${quoted(help)}`;
    }),
    ...words ? [`${here} -f -a ${quoted(words.join(" "))}`] : [],
    ...takesKeys ? [`${here} -a '$__sidenet_keys' -d key`, `${here} -a '(__sidenet_values)' -d value`] : [],
  ];
}

function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, "\\$&")}'`;
}
