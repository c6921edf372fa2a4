#!/usr/bin/env bash
# What only a real systemd can show, on a booted host with the package installed, as root:
#   systemd/on-host.sh
# READY after recovery, credentials, the journal's fields and explanations, a reload that is refused and one that
# is not, a wrong configuration that is not started again, kill -9 and kill -STOP, instances, the sandbox.
# Nothing else on the host may run as spillwayd. Kafka is not needed: all records stay on disk, and are counted there.
set -euo pipefail

config=/etc/spillway/spillwayd.toml
input=/var/lib/spillway/input.ndjson
unit=spillwayd
sample=$(mktemp)
cp "$config" "$sample"
# shellcheck source=on-host-lib.sh
. "$(dirname "$0")/on-host-lib.sh"

on_disk() { spillwayd spool cat "$1" | grep -o '"id":"[^"]*"' | sort -u | wc -l; }
lines() { seq "$1" "$2" | sed 's/.*/{"data":{"id":"line-&"}}/' >>"$input"; }
write_config() { # further lines of the configuration
    cat >"$config" <<END
[source]
type = "file"
path = "$input"
id = "/data/id"
[kafka]
brokers = "127.0.0.1:9"
topic = "events"
[delivery]
journal = "always"
[spool]
dir = "/var/lib/spillway/spool"
free_floor = 0
$*
END
}

systemctl stop $unit 'spillwayd@*'
rm -rf /var/lib/spillway/spool
: >"$input"
chmod 644 "$input"

printf '\n## start\n'
write_config
lines 1 1000
systemctl start $unit
ok "ready after $(ready_after)"
expect 'STATUS has the breaker, the queue and the spool' status_has 'breaker Open, 0 in the queue, 0 in flight, 1000 on disk'
property StatusText
main=$(property MainPID)
grep -E '^(NoNewPrivs|Seccomp|CapBnd|CapEff):' "/proc/$main/status" | tr '\n' ' '; echo
systemd-analyze security $unit --no-pager | tail -n 1

printf '\n## journal\n'
expect 'found by its event' has_event kafka_unreachable
expect 'explained by the catalogue' sh -c "journalctl -q -x -u $unit SPILLWAY_EVENT=kafka_unreachable | grep -q 'Subject: Kafka has not answered since the start'"
journalctl -q -x -u $unit SPILLWAY_EVENT=kafka_unreachable -n 1 --no-pager
journalctl -q -u $unit SPILLWAY_EVENT=spool_open -n 1 -o json --no-pager | tr ',' '\n' | grep -E 'SPILLWAY|MESSAGE|PRIORITY|CODE_LINE'

printf '\n## kill -9, kill -STOP\n'
restarts=$(property NRestarts)
lines 1001 2000
kill -9 "$main"
expect 'started again after kill -9' is NRestarts $((restarts + 1))
expect 'it goes on' is ActiveState active
lines 2001 3000
main=$(property MainPID)
stopped_at=$SECONDS
kill -STOP "$main"
lines 3001 4000
expect 'the watchdog ends a stopped daemon, and it is started again' is NRestarts $((restarts + 2))
expect 'it goes on after the watchdog' is ActiveState active
printf 'from kill -STOP to the restart: %s s\n' $((SECONDS - stopped_at))
journalctl -q -u $unit -g 'watchdog|Watchdog' -n 3 --no-pager -o cat || :
lines 4001 5000
expect 'all 5,000 lines are on disk' status_has ' 5000 on disk'
count() { [ "$(on_disk /var/lib/spillway/spool)" = 5000 ]; }
expect 'counted by id: 5,000, none lost' count

printf '\n## reload\n'
write_config '[log]
level = "debug"'
systemctl reload $unit
expect 'reloaded' has_event reloaded
write_config '[log]
level = "info"
[queue]
max_records = 1234'
systemctl reload $unit
expect 'what needs a restart is named' status_has 'a restart is needed for queue.max_records'
journalctl -q -u $unit SPILLWAY_EVENT=reload_partial -n 1 -o cat --no-pager
write_config '[log]
levl = "info"'
systemctl reload $unit
expect 'a wrong file is refused' has_event reload_refused
expect 'the status says so' status_has 'the configuration file was refused'
expect 'and the daemon goes on' is ActiveState active
journalctl -q -u $unit -n 2 -o cat --no-pager

printf '\n## a wrong configuration\n'
restarts=$(property NRestarts)
systemctl restart $unit 2>/dev/null && fail 'it starts with a wrong configuration'
expect 'it has failed with 78' is ExecMainStatus 78
sleep 7 # RestartSec is 5 s: a restart would have come by now
is ActiveState failed && is NRestarts 0 && ok 'and is not started again' || fail "it is $(property ActiveState) after $(property NRestarts) restarts"
expect 'the error is in the journal, with its line' sh -c "journalctl -q -p err -u $unit SPILLWAY_EVENT=configuration_invalid | grep -q 'spillwayd.toml:[0-9]*: log.levl'"
journalctl -q -p err -u $unit SPILLWAY_EVENT=configuration_invalid -n 1 -o cat --no-pager

printf '\n## credentials\n'
install -m 600 /dev/stdin /etc/credstore/spillwayd.kafka-password <<<'a-secret'
write_config
sed -i 's|^topic = "events"|&\nsasl_mechanism = "SCRAM-SHA-512"\nusername = "edge"\npassword_credential = "kafka-password"|' "$config"
systemctl restart $unit
expect 'it starts with a secret that only root can read' is ActiveState active
reloads() { journalctl -q -u $unit SPILLWAY_EVENT=reloaded -o cat | wc -l; }
before=$(reloads)
one_more() { [ "$(reloads)" -gt "$before" ]; }
systemctl reload $unit
expect 'a reload has the secret, too' one_more
rm /etc/credstore/spillwayd.kafka-password
if systemctl restart $unit 2>/dev/null; then fail 'it starts without its secret'; else ok 'without it, it does not start'; fi
expect 'and says why' sh -c "journalctl -q -u $unit SPILLWAY_EVENT=configuration_invalid -n 5 | grep -q kafka-password"

printf '\n## a newer spool, a moved spool\n'
write_config
systemctl reset-failed $unit
mv /var/lib/spillway/spool /var/lib/spillway/rescue
install -d -o spillway -g spillway -m 750 /var/lib/spillway/spool
echo 'spillway-spool 2 something newer' >/var/lib/spillway/spool/FORMAT
chown spillway: /var/lib/spillway/spool/FORMAT
systemctl start $unit 2>/dev/null && fail 'it starts with a newer spool'
is ExecMainStatus 76 && ok 'a newer spool is refused with 76' || fail "exit code $(property ExecMainStatus)"
journalctl -q -u $unit SPILLWAY_EVENT=start_failed -n 1 -o cat --no-pager
[ "$(ls -A /var/lib/spillway/spool | tr '\n' ' ')" = 'FORMAT ' ] && ok 'and left as it is' || fail "there is $(ls -A /var/lib/spillway/spool)"
rm -rf /var/lib/spillway/spool
sed -e "s|^path = .*|path = \"/dev/null\"\nfollow = false|" -e 's|^dir = .*|dir = "/nowhere"|' "$config" >/etc/spillway/rescue.toml
printf '[admin]\nlisten = "none"\n' >>/etc/spillway/rescue.toml
systemctl start $unit spillwayd@rescue
unit=spillwayd@rescue
expect 'an instance serves the moved spool from its own folder' status_has '5000 on disk'
systemctl stop spillwayd@rescue
expect 'and stops in order, with all of it on disk' sh -c "journalctl -q -u spillwayd@rescue SPILLWAY_EVENT=stopped -n 1 | grep -q on_disk=5000"
unit=spillwayd

printf '\n## what was logged at WARN and above\n'
journalctl -q -u $unit -u spillwayd@rescue -p warning -o json --no-pager | grep -o '"SPILLWAY_EVENT":"[a-z_]*"' | sort | uniq -c

systemctl stop $unit
rm -rf /var/lib/spillway/rescue /var/lib/spillway/spool "$input" /etc/spillway/rescue.toml
cp "$sample" "$config"
[ "$failed" = 0 ] && printf '\non-host: all passed\n'
exit "$failed"
