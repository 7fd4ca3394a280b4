# bash completion for procmirror: source it, or install it as /usr/share/bash-completion/completions/procmirror

_procmirror_ask() # the views as "directory entry suffix…", one a line, "." for the root
{
    "$1" --list-views 2>/dev/null | while read -r source first second _; do
        case $first in json | ndjson) ;; *) continue ;; esac
        [ "$second" = txt ] || second=
        source=${source%/} source=./${source%.gz}
        directory=${source%/*}
        echo "${directory#./} ${source##*/} $first $second"
    done
}

_procmirror_names() # the paths of all views, with PID for the number
{
    local directory entry suffixes suffix
    while read -r directory entry suffixes; do
        for suffix in $suffixes; do
            [ "$directory" = . ] && echo "$entry.$suffix" || echo "$directory/$entry.$suffix"
        done
    done <<< "$_procmirror_views"
}

_procmirror_below() # what stands in the directory $1 of /proc ("" or "PATH/"), views among it, with the path before each name
{
    local place=${1%/} wanted directory entry suffixes suffix
    command ls -Ap "/proc/$1" 2>/dev/null | while read -r entry; do
        case $1$entry in
            [1-9]*/ | self | thread-self) [ -z "$1" ] || echo "$1$entry" ;;
            net) echo net/ ;;
            *) echo "$1$entry" ;;
        esac
    done
    case $place in self/* | thread-self/* | [1-9]*/*) place=PID/${place#*/} ;; self | thread-self | [1-9]*) place=PID ;; esac
    case $place in
        '') wanted=. ;;
        PID/net | PID/task/*/net) wanted=net ;;
        PID/task/*/*) wanted=none ;;
        PID/task/*) wanted="PID PID/task/TID" ;;
        *) wanted=$place ;;
    esac
    while read -r directory entry suffixes; do
        case " $wanted " in *" $directory "*) ;; *) continue ;; esac
        case $entry in process | processes | sockets) ;; *) [ -e "/proc/$1$entry" ] || [ "$entry" = config ] || continue ;; esac
        for suffix in $suffixes; do
            echo "$1$entry.$suffix"
        done
    done <<< "$_procmirror_views"
}

_procmirror_processes() # the numbers of processes that begin with $1; with their names where there is a choice
{
    local comm name found=()
    for comm in /proc/"$1"*/comm; do
        { read -r name < "$comm"; } 2>/dev/null || continue
        comm=${comm#/proc/} comm=${comm%/comm}
        case $comm in *[!0-9]*) ;; *) found+=("$comm/  (${name//[^[:alnum:] .:_+\/-]/?})") ;; esac
    done
    # Key bindings that insert what they show (menu-complete, insert-completions) get the number alone.
    case ${COMP_TYPE-9} in 37 | 42) found=("${found[@]%%  *}") ;; esac
    [ ${#found[@]} = 1 ] && found=("${found[0]%%  *}")
    [ ${#found[@]} = 0 ] || printf '%s\n' "${found[@]}"
}

_procmirror_options() # what can stand after -o where $1 stands now, without $2, the part of it that readline leaves alone
{
    local option kept=
    case $1 in *,*) kept=${1%,*}, ;; esac
    for option in views={txt+json,txt,json,none} hide= timeout= lsm=ignore links={text,proc} write stamp debug allow_other; do
        option=$kept$option
        case $option in "$1"*) echo "${option#"$2"}" ;; esac
    done
}

_procmirror()
{
    local cur=${COMP_WORDS[COMP_CWORD]} mode=mount words word at written= IFS=$' \t\n'
    COMPREPLY=()
    [ -n "${_procmirror_views-}" ] || _procmirror_views=$(_procmirror_ask "${1:-procmirror}")
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in --print | --watch) mode=print ;; -*) mode=mount ;; esac
    done
    case ${COMP_WORDS[COMP_CWORD - 1]} in
        --schema | --decode | --explain) mode=names ;;
        --color) mode=colors ;;
        --format) mode=forms ;;
        --timeout | --page-size | --ticks | --boot-time | --byte-order | --watch | --times) return ;;
        --diff) mode=files ;;
    esac
    # Bash takes "=" and ":" for words of their own, so that what stands after -o may be several.
    for ((at = COMP_CWORD; at > 1; at--)); do
        written=${COMP_WORDS[at]}$written
        if [ "${COMP_WORDS[at - 1]}" = -o ]; then
            mode=options
            case $cur in = | :) cur= ;; esac
            break
        fi
        [[ ${COMP_WORDS[at]} == [=:] || ${COMP_WORDS[at - 1]} == [=:] ]] || break
    done
    case $mode:$cur in
        names:*) words=$(_procmirror_names) ;;
        forms:*) words=$'text\njson\nprometheus' ;;
        colors:*) words=$'auto\nalways\nnever' ;;
        options:*) words=$(_procmirror_options "$written" "${written%"$cur"}") ;;
        *:-*)
            words=$(printf '%s\n' -f --foreground -d --debug -o --timeout --print --watch --times --diff --color --no-pager --decode --page-size --ticks --boot-time --byte-order \
                --explain --schema --list-views --status --format -h --help --version) ;;
        files:*)
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            compopt -o filenames 2>/dev/null
            return ;;
        mount:*)
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
            compopt -o filenames 2>/dev/null
            return ;;
        print:*/*) words=$(_procmirror_below "${cur%/*}/") ;;
        print:[0-9]*) words= ;;
        print:*) words=self/$'\n'$(_procmirror_below '') ;;
    esac
    # Not compgen -W, which would carry out what stands in a name.
    while read -r word; do
        [[ -n $word && $word == "$cur"* ]] || continue
        # An option begins with what has been typed, which is quoted already.
        [ "$mode" = options ] || word=$(printf %q "$word")
        COMPREPLY+=("$word")
    done <<< "$words"
    case $mode:$cur in
        print: | print:[0-9]*) case $cur in */*) ;; *) mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(_procmirror_processes "$cur") ;; esac ;;
    esac
    case ${COMPREPLY[0]-} in */ | *=) compopt -o nospace 2>/dev/null ;; esac
}

complete -F _procmirror procmirror
