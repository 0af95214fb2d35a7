# Completion of ovs-vsctl, vtep-ctl and ovs-appctl in bash:  . completion/ferrovs.bash
# The programs say themselves what they take (--commands, --options, list-commands), and the database what there is.

_ferrovs_reply() { # WORD CANDIDATE…
    local word=$1
    shift
    mapfile -t COMPREPLY < <(compgen -W "$*" -- "$word")
}

# The words after the last `--` and the global options that were given before the first command, such as --db.
_ferrovs_split() {
    globals=() words=()
    local n
    for ((n = 1; n < COMP_CWORD; n++)); do
        local word=${COMP_WORDS[n]}
        # Bash cuts words at `=` and `:`.
        while [[ ${COMP_WORDS[n + 1]-} == [=:]* && $((n + 1)) -lt $COMP_CWORD ]]; do
            n=$((n + 1))
            word+=${COMP_WORDS[n]}
            [[ $((n + 1)) -lt $COMP_CWORD && ${COMP_WORDS[n + 1]} != [=:]* ]] && n=$((n + 1)) && word+=${COMP_WORDS[n]}
        done
        case $word in
        --) words=() ;;
        --db=* | --timeout=*) globals+=("$word") ;;
        *) words+=("$word") ;;
        esac
    done
}

_ferrovs_ask() { # COMMAND ARG…: asks the database, briefly and quietly
    "$program" "${globals[@]}" --timeout=2 --no-wait "$@" 2>/dev/null
}

# What stands in the place of a kind of argument.
_ferrovs_argument() { # KIND
    local bridge
    case $1 in
    BRIDGE | PARENT) _ferrovs_ask list-br ;;
    PORT | BOND) for bridge in $(_ferrovs_ask list-br); do _ferrovs_ask list-ports "$bridge"; done ;;
    'PORT|IFACE') _ferrovs_argument PORT && _ferrovs_argument IFACE ;;
    IFACE) for bridge in $(_ferrovs_ask list-br); do _ferrovs_ask list-ifaces "$bridge"; done ;;
    NEW-PORT | SYSINTERFACE) ls /sys/class/net ;;
    MODE) echo standalone secure ;;
    DP) echo netdev system ;;
    TARGET) compgen -W "tcp: ssl: unix: ptcp: pssl: punix:" ;;
    TABLE) _ferrovs_schema table ;;
    RECORD) _ferrovs_ask --bare --columns=name list "$table" && _ferrovs_ask --bare --columns=_uuid list "$table" ;;
    COLUMN*) _ferrovs_schema column "$table" ;;
    PRIVATE-KEY | CERTIFICATE | CA-CERT) compgen -f -- "$current" ;;
    esac
}

# Tables of the database, or columns of a table.
_ferrovs_schema() { # table | column TABLE
    local database=Open_vSwitch
    [[ $program == *vtep-ctl ]] && database=hardware_vtep
    if [ "$1" = table ]; then
        ovsdb-client --timeout=2 --no-headings --bare -f csv list-tables "$database" 2>/dev/null
    else
        ovsdb-client --timeout=2 --no-headings --bare -f csv list-columns "$database" "$2" 2>/dev/null | cut -d, -f1
    fi
}

_ferrovs_ctl() {
    local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]} globals words table
    _ferrovs_split
    local lines command="" n
    mapfile -t lines < <("$program" --commands 2>/dev/null)
    for ((n = 0; n < ${#words[@]}; n++)); do
        [[ ${words[n]} == -* ]] || { command=${words[n]}; break; }
    done
    if [ -z "$command" ]; then
        local names options
        names=$(printf '%s\n' "${lines[@]}" | cut -d, -f2)
        options=$(printf '%s\n' "${lines[@]}" | cut -d, -f1 | tr -d '[]'; "$program" --options 2>/dev/null | sed 's/ARG$//')
        if [[ $current == -* ]]; then _ferrovs_reply "$current" "$options"; else _ferrovs_reply "$current" "$names"; fi
        return
    fi
    local usage given=$((${#words[@]} - n - 1)) kind=""
    usage=$(printf '%s\n' "${lines[@]}" | awk -F, -v c="$command" '$2 == c { print $3; exit }')
    table=${words[n + 1]-}
    local place=0 word
    for word in $usage; do
        kind=${word:1}
        [ "$place" = "$given" ] && break
        case $word in [+*]*) break ;; esac
        place=$((place + 1))
        kind=""
    done
    local candidates=--
    [ -n "$kind" ] && candidates+=" $(_ferrovs_argument "$kind")"
    _ferrovs_reply "$current" "$candidates"
}

_ferrovs_appctl() {
    local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]} target=() n command=""
    for ((n = 1; n < COMP_CWORD; n++)); do
        case ${COMP_WORDS[n]} in
        -t | --target) target=(-t "${COMP_WORDS[n + 1]-}") && n=$((n + 1)) ;;
        -*) ;;
        *) command=${COMP_WORDS[n]} && break ;;
        esac
    done
    local run=${OVS_RUNDIR:-/var/run/openvswitch}
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    -t | --target)
        _ferrovs_reply "$current" "$(cd "$run" 2>/dev/null && ls -- *.pid *.ctl 2>/dev/null | sed 's/\(\.[0-9]*\)\?\.\(pid\|ctl\)$//' | sort -u)"
        return ;;
    esac
    if [ -n "$command" ]; then
        _ferrovs_reply "$current" "$(ovs-vsctl --timeout=2 --no-wait list-br 2>/dev/null)"
    elif [[ $current == -* ]]; then
        _ferrovs_reply "$current" "--target= --timeout= --format= --pretty --help --version"
    else
        _ferrovs_reply "$current" "$("$program" "${target[@]}" --timeout=2 list-commands 2>/dev/null | awk 'NR > 1 { print $1 }')"
    fi
}

complete -F _ferrovs_ctl ovs-vsctl vtep-ctl
complete -F _ferrovs_appctl ovs-appctl
