# Completions of adamtrain for bash, which ask the program itself.
_adamtrain() {
    local IFS=$'\n' line
    COMPREPLY=()
    while read -r line; do
        case $line in
            $'\tfiles') compopt +o nospace -o default -o filenames 2>/dev/null ;;
            $'\tfolders') compopt -o dirnames -o filenames 2>/dev/null ;;
            *) COMPREPLY+=("$line") ;;
        esac
    done < <("${1:-adamtrain}" completions bash -- "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
}
complete -o nospace -F _adamtrain adamtrain
