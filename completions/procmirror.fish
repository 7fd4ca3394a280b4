# fish completion for procmirror: install it as /usr/share/fish/vendor_completions.d/procmirror.fish

function __procmirror_views # every view as "DIRECTORY<tab>NAME", "." for the root
    procmirror --list-views 2>/dev/null | string match -rg '^(\S+?)(?:\.gz)?/? +((?:json|ndjson)(?: txt)?) ' | while read -l source
        read -l suffixes
        set -l parts (string split -r -m 1 / -- ./$source)
        for suffix in (string split ' ' -- $suffixes)
            printf '%s\t%s\n' (string replace -r '^\./' '' -- $parts[1]) $parts[2].$suffix
        end
    end
end

function __procmirror_names # the paths of all views, with PID for the number
    __procmirror_views | string replace -r '^\.\t' '' | string replace \t /
end

function __procmirror_paths # what --print can print
    set -l directory (commandline -ct | string match -r '^.*/')
    set -l place (string replace -r '^(self|thread-self|[1-9][0-9]*)(/|$)' 'PID/' -- "$directory" | string trim -r -c /)
    set place (string replace -r '^PID/(task/[0-9]+/)?net$' net -- $place | string replace -r '^PID/task/[0-9]+$' PID)
    test -n "$place"; or set place .
    set -l apart '^$'
    test -n "$directory"; or set apart '^[0-9]+/$|^(thread-)?self$|^net$'
    command ls -Ap "/proc/$directory" 2>/dev/null | string match -rv $apart | string replace -r '^' "$directory"
    __procmirror_views | string match -r '^'(string escape --style=regex -- $place)'\t.*' | string replace -r '^[^\t]*\t' "$directory"
    if test -z "$directory"
        printf '%s\n' self/ net/
        # Not read, which complains on the terminal about a process that has just ended.
        command grep -asm 1 '' /proc/*/comm | string match -rg '^/proc/([0-9]+)/comm:(.*)' | while read -l process
            read -l name
            printf '%s/\t%s\n' $process (string replace -ra '[[:cntrl:]]' '?' -- $name)
        end
    end
end

function __procmirror_options # the mount option that is being written, after those before the last comma
    set -l before (commandline -ct | string replace -r '^-o' '' | string match -r '^.*,')
    printf "$before"'%s\n' views={txt+json,txt,json,none}\t'which views stand beside the entries' \
        hide=\t'entries that are not shown' timeout=\t'longest wait for the kernel, in seconds' \
        links={text,proc}\t'what the links of processes read as' write\t'let requesters write, as /proc lets them' \
        lsm=ignore\t'do not refuse requesters that a security module confines' \
        stamp\t'let records of streams begin with host, boot_id and time' debug\t'stay in the foreground and log each request' \
        allow_other\t'serve every user'
end

# What is said last of an option is asked first: its description, then its arguments, which would have the same otherwise.
complete -c procmirror -f
complete -c procmirror -n 'not __fish_contains_opt print' -a '(__fish_complete_directories)'
complete -c procmirror -s f -l foreground -d 'stay in the foreground'
complete -c procmirror -s d -l debug -d 'stay in the foreground and log each request'
complete -c procmirror -s o -x -a '(__procmirror_options)'
complete -c procmirror -s o -d 'mount options'
complete -c procmirror -l timeout -x -d 'longest wait for the kernel, in seconds'
complete -c procmirror -l print -x -a '(__procmirror_paths)'
complete -c procmirror -l print -d 'print views or entries without a mount'
complete -c procmirror -n '__fish_contains_opt print' -a '(__procmirror_paths)'
complete -c procmirror -l color -x -a 'auto always never' -d 'colour what is printed'
complete -c procmirror -l no-pager -d 'do not use a pager on a terminal'
complete -c procmirror -l decode -x -a '(__procmirror_names)'
complete -c procmirror -l decode -d 'decode a file of another machine'
complete -c procmirror -l page-size -x -d 'a page there, in bytes'
complete -c procmirror -l ticks -x -d 'clock ticks a second there'
complete -c procmirror -l boot-time -x -d 'btime of its /proc/stat'
complete -c procmirror -l byte-order -x -a 'little big' -d 'of its processor'
complete -c procmirror -l watch -x -d 'show what is counted in each interval, of views'
complete -c procmirror -l times -x -d 'intervals that --watch shows'
complete -c procmirror -l diff -r -d 'show what differs between two saved views'
complete -c procmirror -l explain -x -a '(__procmirror_names)'
complete -c procmirror -l explain -d 'describe a view with its fields'
complete -c procmirror -l schema -x -a '(__procmirror_names)'
complete -c procmirror -l schema -d 'print the JSON Schema of a view'
complete -c procmirror -l list-views -d 'print which views there are'
complete -c procmirror -l status -x -a '(__fish_complete_directories)'
complete -c procmirror -l status -d 'print the state of a mirror'
complete -c procmirror -l format -x -a 'text json prometheus' -d 'the form of --status'
complete -c procmirror -s h -l help -d 'show the help'
complete -c procmirror -l version -d 'show the version'
