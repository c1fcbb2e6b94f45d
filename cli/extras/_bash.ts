/** Completion for bash. */
import type { Completed, CompletedVerb } from "./_completed.ts";

/** The script. Names in it are of our own records: letters, digits, dots and dashes. */
export function bashCompletion({ verbs, keys }: Completed): string {
  return `# Completion of sidenet for bash, written by "sidenet completions bash".
_sidenet() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} at=1 flags="" words="" keys="" found=""
  COMPREPLY=()
  # ./denow task sidenet VERB, ./denow task VERB, ./denow VERB, sidenet VERB
  while ((at < COMP_CWORD)) && [[ \${COMP_WORDS[at]} == task || \${COMP_WORDS[at]} == sidenet ]]; do
    at=$((at + 1))
  done
  if ((at == COMP_CWORD)); then
    found=$(compgen -W "${verbs.map(({ name }) => name).join(" ")} --help --version" -- "$cur")
    COMPREPLY=($found)
    return
  fi
  case "\${COMP_WORDS[at]} $prev" in
${verbs.flatMap(valueCases).join("\n")}
  esac
  case \${COMP_WORDS[at]} in
${verbs.map(verbCase).join("\n")}
    *) return ;;
  esac
  if [[ $cur == -* ]]; then
    found=$(compgen -W "$flags" -- "$cur")
    COMPREPLY=($found)
    return
  fi
  if [[ -n $words ]]; then
    ((COMP_CWORD == at + 1)) || return
    found=$(compgen -W "$words" -- "$cur")
    COMPREPLY=($found)
    return
  fi
  local key="" value=""
  [[ $cur == "=" ]] && key=$prev
  [[ $prev == "=" ]] && key=\${COMP_WORDS[COMP_CWORD-2]} value=$cur
  if [[ -n $keys && -n $key ]]; then
    case $key in
${
    keys.filter(({ values }) => values.length > 0).map(({ name, values }) =>
      `      ${name}) found="${values.join(" ")}" ;;`
    ).join("\n")
  }
    esac
    if [[ -n $found ]]; then
      found=$(compgen -W "$found" -- "$value")
      COMPREPLY=($found)
      return
    fi
  fi
  if [[ -n $keys && -n $cur && -z $key ]]; then
    found=$(compgen -W "$_sidenet_keys" -- "$cur")
  fi
  [[ $cur == "=" ]] && cur=""
  _sidenet_files "$cur"
  if [[ -n $found ]]; then
    ((\${#COMPREPLY[@]} == 0)) && compopt -o nospace +o filenames 2>/dev/null
    COMPREPLY+=($found)
  fi
}
_sidenet_files() {
  local IFS=$'\\n'
  compopt -o filenames 2>/dev/null
  COMPREPLY=($(compgen -f -- "$1"))
}
_sidenet_keys="${keys.map(({ name }) => `${name}=`).join(" ")}"
complete -F _sidenet sidenet denow ./denow
`;
}

/** What stands behind a verb's flags. */
function valueCases({ name, flags }: CompletedVerb): string[] {
  const with_ = (wanted: (value: unknown) => boolean) =>
    flags.filter(({ value }) => wanted(value)).map((flag) => `"${name} --${flag.name}"`).join("|");
  const files = with_((value) => value === "file"), any = with_((value) => value === "any");
  return [
    ...flags.flatMap(({ name: flag, value }) =>
      Array.isArray(value)
        ? [
          `    "${name} --${flag}") found=$(compgen -W "${
            value.join(" ")
          }" -- "$cur"); COMPREPLY=($found); return ;;`,
        ]
        : []
    ),
    ...files ? [`    ${files}) _sidenet_files "$cur"; return ;;`] : [],
    ...any ? [`    ${any}) return ;;`] : [],
  ];
}

function verbCase({ name, flags, words, takesKeys }: CompletedVerb): string {
  const parts = [
    `flags="${flags.map((flag) => `--${flag.name}`).join(" ")}"`,
    ...words ? [`words="${words.join(" ")}"`] : [],
    ...takesKeys ? ["keys=yes"] : [],
  ];
  return `    ${name}) ${parts.join(" ")} ;;`;
}
