#!/bin/sh
# Makes the pictures of this folder: spillwayd top and the status page, beside a daemon that has two outages.
# It builds the daemon, starts it with an upstream and a Kafka cluster of the tests, and takes five minutes.
#
# Needs: a Rust toolchain; apt-get install chromium fonts-dejavu-core pngquant; script (util-linux).
# Arguments go to cargo, in place of "-p spillway-daemon".
set -eu
cd "$(dirname "$0")/../.."
SPILLWAY_PICTURES="$PWD/docs/images"
export SPILLWAY_PICTURES
command -v pngquant >/dev/null || { echo "pngquant is not installed" >&2; exit 1; }
[ $# -gt 0 ] || set -- -p spillway-daemon
cargo test "$@" --test page pictures_for_the_documentation -- --nocapture
for picture in docs/images/*.png; do
    # 64 colours are enough for text and lines, and a third of the bytes.
    pngquant --force --strip --ext .png 64 "$picture"
    bytes=$(wc -c <"$picture")
    [ "$bytes" -lt 100000 ] || { echo "$picture has $bytes bytes" >&2; exit 1; }
done
ls -l docs/images/*.png
