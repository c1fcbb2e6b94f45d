/** Completion for zsh. */
import type { Completed, CompletedFlag, CompletedVerb } from "./_completed.ts";

/** The script: to be sourced, or a file `_sidenet` in a folder of `fpath`. */
export function zshCompletion({ verbs, keys }: Completed): string {
  return `#compdef sidenet denow
# Completion of sidenet for zsh, written by "sidenet completions zsh".
_sidenet_arguments() {
  local -a keys=(${keys.map(({ name }) => `${name}=`).join(" ")})
  if [[ $PREFIX == *=* ]]; then
    local key=\${PREFIX%%=*}
    compset -P '*='
    case $key in
${
    keys.filter(({ values }) => values.length > 0).map(({ name, values }) =>
      `      ${name}) compadd ${values.join(" ")}; return ;;`
    ).join("\n")
  }
    esac
    _files
    return
  fi
  _alternative 'files:file:_files' "keys:key:compadd -S '' -a keys"
}
_sidenet() {
  local at=2
  # ./denow task sidenet VERB, ./denow task VERB, ./denow VERB, sidenet VERB
  while (( at < CURRENT )) && [[ $words[at] == (task|sidenet) ]]; do (( at++ )); done
  if (( CURRENT == at )); then
    local -a verbs=(
${verbs.map(({ name, summary }) => `      ${quoted(`${name}:${summary.replaceAll(":", "\\:")}`)}`).join("\n")}
    )
    _describe 'verb' verbs
    return
  fi
  local verb=$words[at]
  shift $(( at - 1 )) words
  (( CURRENT -= at - 1 ))
  case $verb in
${verbs.map(verbCase).join("\n")}
  esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _sidenet "$@"; else compdef _sidenet sidenet denow; fi
`;
}

function verbCase({ name, flags, words, takesKeys }: CompletedVerb): string {
  const rest = words
    ? `1:word:(${words.join(" ")})`
    : takesKeys
    ? "*:argument:_sidenet_arguments"
    : "*:file:_files";
  return `    ${name}) _arguments ${[...flags.map(flagText), rest].map(quoted).join(" ")} ;;`;
}

function flagText({ name, help, value }: CompletedFlag): string {
  const text = `--${name}[${help.replace(/[[\]\\]/g, "\\$&")}]`;
  if (value === null) return text;
  const action = value === "file" ? "_files" : value === "any" ? " " : `(${value.join(" ")})`;
  return `*${text}:value:${action}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
