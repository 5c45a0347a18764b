#compdef adamtrain
# Completions of adamtrain for zsh, which ask the program itself.
_adamtrain() {
    local line files
    local -a given spaced joined
    given=("${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}")
    for line in "${(@f)$(${(Q)words[1]} completions zsh -- $given 2>/dev/null)}"; do
        case $line in
            $'\tfiles') files=_files ;;
            $'\tfolders') files='_files -/' ;;
            '') ;;
            *)
                local value=${line%%$'\t'*} about=${line#*$'\t'}
                local entry=${value//:/\\:}${about:+:$about}
                if [[ $value == *[=/.] ]]; then joined+=("$entry"); else spaced+=("$entry"); fi
                ;;
        esac
    done
    (( $#spaced )) && _describe -V 'candidates' spaced
    (( $#joined )) && _describe -V 'candidates' joined -S ''
    if [[ -n $files ]]; then
        [[ $PREFIX == --*=* ]] && compset -P 1 '*='
        ${(z)files}
    fi
}
if [[ $funcstack[1] == _adamtrain ]]; then
    _adamtrain "$@"
else
    compdef _adamtrain adamtrain
fi
