/**
 * The scripts hold no knowledge of fanout: at each Tab they hand what was typed to `fanout complete` and offer the lines
 * that it prints. Nothing of those lines is ever evaluated. The first line says what they are: "words", or "files" and
 * "directories", which the shell itself knows better.
 */

/** Bash splits words where COMP_WORDBREAKS says so and tells no more of it, so it hands over the line itself. */
const BASH = `_fanout() {
  local line kind=
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ -z $kind ]]; then kind=$line; else COMPREPLY+=("$line"); fi
  done < <(command fanout complete bash -- "$COMP_WORDBREAKS" "\${COMP_LINE:0:COMP_POINT}" 2>/dev/null </dev/null)
  case $kind in
    files) compopt -o default ;;
    directories) compopt -o dirnames ;;
    words) [[ \${COMPREPLY-} != *= ]] || compopt -o nospace ;;
  esac
}
complete -F _fanout fanout
`;

const ZSH = `#compdef fanout
_fanout() {
  local line kind=
  local -a open openshown closed closedshown rows
  for line in "\${(@f)$(command fanout complete zsh -- "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}" 2>/dev/null </dev/null)}"; do
    if [[ -z $kind ]]; then
      kind=$line
    elif [[ \${line%%$'\\t'*} == *= ]]; then
      open+=("\${line%%$'\\t'*}"); openshown+=("\${line/$'\\t'/  -- }")
    else
      closed+=("\${line%%$'\\t'*}"); closedshown+=("\${line/$'\\t'/  -- }")
    fi
  done
  case $kind in
    files) _files ;;
    directories) _files -/ ;;
    words)
      [[ "$closedshown" == *'  -- '* ]] && rows=(-l)
      compadd -d openshown -S '' -a open
      compadd $rows -d closedshown -a closed ;;
  esac
}
if [[ $funcstack[1] == _fanout ]]; then _fanout "$@"; else compdef _fanout fanout; fi
`;

const FISH = `function __fanout_complete
  set -l words (commandline -opc)
  set -e words[1]
  set -l current (commandline -ct)
  set -l found (command fanout complete fish -- $words "$current" 2>/dev/null </dev/null)
  switch "$found[1]"
    case files
      __fish_complete_path "$current"
    case directories
      __fish_complete_directories "$current"
    case words
      set -q found[2]; and printf '%s\\n' $found[2..-1]
  end
end
complete -c fanout -f -a '(__fanout_complete)'
`;

const SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH, fish: FISH };

/** `fanout completion SHELL`. */
export function printCompletion(shell: string): number {
  process.stdout.write(SCRIPTS[shell] ?? '');
  return 0;
}
