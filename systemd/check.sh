#!/usr/bin/env bash
# Checks the units without a running systemd: `systemd-analyze verify` is silent, the exposure is at most 1.2,
# the template is the plain unit but for its instance, and the catalogue can be compiled.
#   systemd/check.sh
set -euo pipefail
cd "$(dirname "$0")"

exposure_max=12 # tenths
units=(spillwayd.service spillwayd@.service spillway-consumer.service)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
failed=0

fail() {
    printf 'FAILED: %s\n' "$*"
    failed=1
}

# A root folder of its own: with the programs and man pages that the units name, so that verify has nothing to
# say of them, and with systemd's own units.
root=$place/root
mkdir -p "$root"/{usr/bin,usr/share/man/man1,bin,etc,var/lib/systemd/catalog,usr/lib/systemd/catalog}
cp -r /usr/lib/systemd/system "$root/usr/lib/systemd/"
install -m 755 /bin/true "$root/usr/bin/spillwayd"
install -m 755 /bin/true "$root/usr/bin/spillway-consumer"
install -m 755 /bin/true "$root/bin/kill"
mkdir -p "$root/etc/systemd/system"
cp "${units[@]}" "$root/etc/systemd/system/"

verify() {
    local said
    said=$(systemd-analyze verify --man=no --recursive-errors=yes --root="$root" "$1" 2>&1) || fail "verify $1"
    if [ -n "$said" ]; then
        fail "verify $1 says: $said"
    fi
}
verify spillwayd.service
verify spillwayd@check.service
verify spillway-consumer.service

for unit in "${units[@]}"; do
    said=$(systemd-analyze security --offline=true --threshold=$exposure_max "./$unit") ||
        fail "the exposure of $unit is above $exposure_max tenths"
    printf '%s\n' "$said" | sed -n 's/^.*Overall exposure level for \(.*\): \([0-9.]*\).*$/\1: exposure \2/p'
done

# Two units that drift apart are a trap for whoever hardens one of them.
sed -e 's/^Description=Spillway: /Description=Spillway %i: /' \
    -e 's|/etc/spillway/spillwayd\.toml|/etc/spillway/%i.toml|' \
    -e 's|^StateDirectory=spillway$|StateDirectory=spillway/%i|' spillwayd.service |
    diff - <(grep -v -e '^Environment=SPILLWAY_' -e '^# An instance for each stream' -e '^# needs an admin.listen' spillwayd@.service) ||
    fail 'spillwayd@.service is not spillwayd.service but for its instance'

# The catalogue compiles, and each of its ids is found again.
cp spillway.catalog "$root/usr/lib/systemd/catalog/"
journalctl --root="$root" --update-catalog || fail 'the catalogue does not compile'
expected=$(grep -c '^-- ' spillway.catalog)
found=$(journalctl --root="$root" --list-catalog 2>/dev/null | grep -c 'Spillway' || :)
[ "$found" = "$expected" ] || fail "the compiled catalogue has $found of $expected entries"
printf 'catalogue: %s entries\n' "$found"

# The user and the folders can be made on an empty system.
printf 'root:x:0:0::/root:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\n' >"$root/etc/group"
mkdir -p "$root/usr/lib/"{sysusers.d,tmpfiles.d}
cp spillway.sysusers "$root/usr/lib/sysusers.d/spillway.conf"
cp spillway.tmpfiles "$root/usr/lib/tmpfiles.d/spillway.conf"
said=$(systemd-sysusers --root="$root" spillway.conf 2>&1) || fail "sysusers: $said"
grep -q '^spillway:.*:/var/lib/spillway:/usr/sbin/nologin$' "$root/etc/passwd" || fail 'there is no user spillway'
said=$(systemd-tmpfiles --root="$root" --create spillway.conf 2>&1) || fail "tmpfiles: $said"
modes=$(stat -c '%a %n' "$root"/var/lib/spillway "$root"/etc/spillway "$root"/etc/credstore | sed "s|$root||" | tr '\n' ' ')
[ "$modes" = '750 /var/lib/spillway 755 /etc/spillway 700 /etc/credstore ' ] || fail "tmpfiles made $modes"

[ "$failed" = 0 ] && echo 'systemd: all checks passed'
exit "$failed"
