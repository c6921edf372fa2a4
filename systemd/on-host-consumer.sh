#!/usr/bin/env bash
# What only a real systemd can show of the consumer, on a booted host with the package installed, as root:
#   systemd/on-host-consumer.sh
# A start without Kafka, the journal's fields and explanations, a reload, kill -STOP, a store that cannot be used, a
# wrong configuration that is not started again. Nothing else on the host may run as spillway-consumer. Kafka is not
# needed: that it is away is what is looked at. Takes about six minutes, most of which the consumer waits.
set -euo pipefail

config=/etc/spillway/spillway-consumer.toml
state=/var/lib/spillway-consumer
unit=spillway-consumer
address=127.0.0.1:9465
sample=$(mktemp)
cp "$config" "$sample"
# shellcheck source=on-host-lib.sh
. "$(dirname "$0")/on-host-lib.sh"

above() { [ "$(property "$1")" -gt "$2" ]; }
answer() { curl -s -w '%{http_code} ' "http://$address/$1"; }
write_config() { # LEVEL TOPIC
    sed -e 's|^brokers = .*|brokers = "127.0.0.1:9"|' -e "s|^topic = .*|topic = \"$2\"|" \
        -e "s|^\[log\]|[log]\nlevel = \"$1\"|" "$sample" >"$config"
}

systemctl stop $unit
rm -rf "${state:?}/spillway-store"

printf '\n## a start without Kafka\n'
write_config info events
systemctl start --no-block $unit
expect 'the store has been tried' has_event consumer_started
is ActiveState activating && ok 'it is not ready yet' || fail "it is $(property ActiveState)"
expect 'the status says what it waits for' status_has 'Kafka has not answered yet'
expect 'after a minute it is ready all the same' is ActiveState active
ok "ready after $(ready_after)"
property StatusText
[ "$(answer healthz)" = $'ok\n200 ' ] && ok 'it is healthy' || fail "$(answer healthz)"
[[ $(answer readyz) == 'not ready: Kafka has not answered yet'*503* ]] && ok 'and not ready to read' || fail "$(answer readyz)"
systemd-analyze security $unit --no-pager | tail -n 1

printf '\n## journal\n'
expect 'found by its event' has_event kafka_unreachable
expect 'explained by the catalogue' sh -c "journalctl -q -x -u $unit SPILLWAY_EVENT=kafka_unreachable | grep -q 'Subject: Kafka has not answered since the start'"
journalctl -q -x -u $unit SPILLWAY_EVENT=kafka_trouble -n 1 --no-pager
trouble() { journalctl -q _SYSTEMD_UNIT=$unit.service -p warning -o json --no-pager; }
nameless=$(trouble | grep -cv '"SPILLWAY_EVENT"' || :)
[ "$nameless" = 0 ] && ok "each of $(trouble | wc -l) WARN and ERROR has its name" || fail "$nameless messages without a name"

printf '\n## reload\n'
write_config debug events
systemctl reload $unit
expect 'the log level is in force' has_event reloaded
# The journal's priority of what the program logs at level debug is 6.
expect 'and tells more' sh -c "journalctl -q _SYSTEMD_UNIT=$unit.service PRIORITY=6 | grep -q ."
write_config info others
systemctl reload $unit
expect 'what needs a restart is named' status_has 'a restart is needed for kafka.topic'
journalctl -q -u $unit SPILLWAY_EVENT=reload_partial -n 1 -o cat --no-pager
sed -i 's|^level|levl|' "$config"
systemctl reload $unit
expect 'a wrong file is refused' has_event reload_refused
is ActiveState active && ok 'and the consumer goes on' || fail "it is $(property ActiveState)"

printf '\n## kill -STOP\n'
write_config info events
restarts=$(property NRestarts)
stopped_at=$SECONDS
kill -STOP "$(property MainPID)"
expect 'the watchdog ends a stopped consumer, and it is started again' is NRestarts $((restarts + 1))
printf 'from kill -STOP to the restart: %s s\n' $((SECONDS - stopped_at))
journalctl -q -u $unit -g watchdog -n 2 --no-pager -o cat || :
expect 'it goes on after the watchdog' is ActiveState active

printf '\n## a stop\n'
stopped_at=$SECONDS
systemctl stop $unit
is Result success && ok "stopped within $((SECONDS - stopped_at)) s" || fail "$(property Result)"
journalctl -q -u $unit SPILLWAY_EVENT=stopped -n 1 -o cat --no-pager

printf '\n## a store that cannot be used\n'
rm -rf "${state:?}/spillway-store"
touch "$state/spillway-store"
systemctl start $unit 2>/dev/null && fail 'it starts without a store'
expect 'exit code 73' is ExecMainStatus 73
expect 'it is tried again' above NRestarts 0
journalctl -q -u $unit SPILLWAY_EVENT=start_failed -n 1 -o cat --no-pager
systemctl stop $unit
rm "$state/spillway-store"

printf '\n## a wrong configuration\n'
sed -i 's|^level|levl|' "$config"
systemctl reset-failed $unit 2>/dev/null || :
systemctl start $unit 2>/dev/null && fail 'it starts with a wrong configuration'
expect 'it has failed with 78' is ExecMainStatus 78
sleep 12 # RestartSec is 10 s: a restart would have come by now
is ActiveState failed && is NRestarts 0 && ok 'and is not started again' || fail "it is $(property ActiveState) after $(property NRestarts) restarts"
expect 'the error is in the journal, with its line' sh -c "journalctl -q -p err -u $unit SPILLWAY_EVENT=configuration_invalid | grep -q 'spillway-consumer.toml:[0-9]*: log.levl'"

printf '\n## what was logged at WARN and above\n'
journalctl -q -u $unit -p warning -o json --no-pager | grep -o '"SPILLWAY_EVENT":"[a-z_]*"' | sort | uniq -c

systemctl reset-failed $unit
rm -rf "${state:?}/spillway-store"
cp "$sample" "$config"
[ "$failed" = 0 ] && printf '\non-host-consumer: all passed\n'
exit "$failed"
