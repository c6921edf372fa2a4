#!/usr/bin/env bash
# Walks through docs/install.md on a clean host: runs each of its commands as it stands, in order, and looks
# whether events flow. As root, on a booted systemd host, in the folder that holds the package.
#   UPSTREAM=http://… BROKERS=host:9092 systemd/walk.sh docs/install.md
set -euo pipefail
: "${UPSTREAM:?the address of an upstream}" "${BROKERS:?the brokers, or an address where there are none}"
export UPSTREAM BROKERS
document=$1

# The n-th block of commands in the document; empty when there is none.
block() { awk -v wanted="$1" '/^```sh$/ { n++; inside = 1; next } /^```$/ { inside = 0 } inside && n == wanted' "$document"; }

figure() { curl -sf localhost:9464/status | grep -m1 "\"$1\":" | tr -dc 0-9; }

number=1
while commands=$(block "$number"); [ -n "$commands" ]; do
    printf '\n--- %s, block %s\n%s\n---\n' "$document" "$number" "$commands"
    bash -euo pipefail -c "$commands"
    number=$((number + 1))
done
[ "$number" -gt 6 ] || { echo "FAILED: only $((number - 1)) blocks of commands in $document"; exit 1; }

for _ in $(seq 1200); do
    received=$(figure received || echo 0)
    [ "${received:-0}" -gt 0 ] && break
    sleep 0.1
done
[ "${received:-0}" -gt 0 ] || { echo 'FAILED: no record was received'; exit 1; }
printf '\nwalk: %s blocks of commands, %s records received so far\n' $((number - 1)) "$received"
