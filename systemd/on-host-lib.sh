# Sourced by on-host.sh and on-host-consumer.sh: what both ask of the `unit` that they look at, as root on a booted
# host. `fail` lets the script go on and notes it in `failed`.
# shellcheck shell=bash

failed=0

ok() { printf 'ok: %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*"; failed=1; }
expect() { # DESCRIPTION COMMAND...: the command must succeed within 150 s
    local what=$1 _
    shift
    for _ in $(seq 1500); do
        if "$@" >/dev/null 2>&1; then ok "$what"; return; fi
        sleep 0.1
    done
    fail "$what"
}
property() { systemctl show -P "$1" "$unit"; }
is() { [ "$(property "$1")" = "$2" ]; }
status_has() { property StatusText | grep -q "$1"; }
has_event() { [ -n "$(journalctl -q -u "$unit" SPILLWAY_EVENT="$1" -n 1)" ]; }
ready_after() { # from the start of its process to READY
    local us=$(($(property ActiveEnterTimestampMonotonic) - $(property ExecMainStartTimestampMonotonic)))
    systemd-analyze timespan "${us}us" | sed -n 's/.*Human: //p'
}
