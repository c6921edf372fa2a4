# shellcheck shell=bash
# Sourced by steps: the stream that runs through all of them, its daemons, and the faults.
# shellcheck disable=SC2154 # lib.sh sets run, logs, brokers, address, hub_address, edge, tests

RATE=200                    # posts a second
SECOND=9000000000           # ids of the second instance's records are above this

upstream_begin() { # the upstream and S3, in the hub; they end with it
    hub "$SPILLWAY_UPSTREAM" "$hub_address" 8080 "$RATE" >"$logs/upstream" 2>&1 &
    hub python3 "$tests/s3.py" "$hub_address" 5000 spillway >"$logs/s3" 2>&1 &
    within 20 'the upstream listens' grep -q ready "$logs/upstream"
    within 60 'S3 answers' grep -q ready "$logs/s3"
    on "$edge" ': >/srv/second.ndjson'
}

second_lines() { # COUNT: so many further records for the second instance, which follows a file
    local from to
    from=$(($(cat "$run/second" 2>/dev/null || echo 0) + 1))
    to=$((from + $1 - 1))
    on "$edge" "seq -f '{\"data\":{\"id\":\"%.0f\",\"created_at\":\"$(date -u +%FT%TZ)\",\"author_id\":\"7\",\"text\":\"line\"}}'" \
        "$((SECOND + from)) $((SECOND + to)) >>/srv/second.ndjson"
    echo "$to" >"$run/second"
}

status() { on "$1" systemctl show -P StatusText "${2:-spillwayd}"; }
status_has() { status "$1" "$3" | grep -q "$2"; }
breaker() { status_has "$1" "breaker $2" "${3:-spillwayd}"; }          # HOST STATE [UNIT]
on_disk() { status "$1" "${2:-spillwayd}" | sed -n 's/.* \([0-9]*\) on disk.*/\1/p'; }
# HOST [UNIT]: with journal = "always" what is in flight is on disk, too.
caught_up() { breaker "$1" Closed "${2:-spillwayd}" && [ "$(on_disk "$@")" -lt $((5 * RATE)) ]; }
delivered_all() { [ "$(on_disk "$@")" = 0 ]; }
at_least_on_disk() { [ "$(on_disk "$1")" -ge "$2" ]; } # HOST COUNT
pid_of() { on "$1" systemctl show -P MainPID "$2"; }
restarts_of() { on "$1" systemctl show -P NRestarts "$2"; }
now() { date +%s; }

# What the journal of a host has of an event since a moment: its first message.
quote_event() { # TITLE HOST UNIT EVENT SINCE
    quote "$1" "$2" "journalctl -q -u $3 --since @$5 SPILLWAY_EVENT=$4 -o cat --no-pager | head -n 1"
}

kafka_away() { # HOST: packets to the brokers vanish, as those of an outage do
    on "$1" "for broker in ${address[h1]} ${address[h2]} ${address[h3]}; do ip route add blackhole \$broker/32; done"
}
kafka_back() { on "$1" "for broker in ${address[h1]} ${address[h2]} ${address[h3]}; do ip route del blackhole \$broker/32; done"; }
network_cut() { hub ip link set "v$1" down; }
network_back() { hub ip link set "v$1" up; }
healthy() { on "${brokers[0]}" kafka-health --wait 240; }

survived() { # WHAT: one more for the table
    echo "$1" >>"$logs/faults"
    printf 'survived: %s (%d s)\n' "$1" "$SECONDS"
}

version_on() { on "$1" "dpkg-query -W -f '\${Version}' spillway"; }
