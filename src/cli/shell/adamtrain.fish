# Completions of adamtrain for fish, which ask the program itself.
function __adamtrain_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l current (commandline --current-token --cut-at-cursor | string unescape)
    set -l value (string replace --regex -- '^--[a-z-]+=' '' "$current")
    set -l flag (string sub --length (math (string length -- "$current") - (string length -- "$value")) -- "$current")
    for line in ($words[1] completions fish -- $words "$current" 2>/dev/null)
        switch $line
            case \tfiles
                string join \n -- $flag(__fish_complete_path $value)
            case \tfolders
                string join \n -- $flag(__fish_complete_directories $value '')
            case '*'
                echo $line
        end
    end
end
complete --command adamtrain --no-files --keep-order --arguments '(__adamtrain_complete)'
