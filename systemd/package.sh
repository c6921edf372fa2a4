#!/usr/bin/env bash
# Builds the Debian package with both programs, their units, man pages and shell completions.
#   systemd/package.sh [--no-build]      prints the path of the package
# With --no-build it takes the programs that are in the target folder already. SPILLWAY_PROFILE=dev takes or builds
# programs that are not optimised, for a test: a build of minutes less.
# It needs cargo-deb: cargo install cargo-deb --locked
set -euo pipefail
cd "$(dirname "$0")/.."

profile=${SPILLWAY_PROFILE:-release}
if [ "${1:-}" != --no-build ]; then
    cargo build --profile "$profile" --locked -p spillway-daemon -p spillway-consumer >&2
fi
folder=$profile more=()
if [ "$profile" = dev ]; then
    folder=debug more=(--fast)
fi
built=${CARGO_TARGET_DIR:-target}/$folder
rm -rf "$built/package"
mkdir -p "$built/package"
for program in spillwayd spillway-consumer; do
    "$built/$program" generate "$built/package"
done
# Debian wants man pages and changelogs compressed, without the time in them.
gzip -9n "$built"/package/*.1
gzip -9nc CHANGELOG.md >"$built/package/changelog.gz"
cargo deb --no-build --locked --quiet --profile "$profile" "${more[@]}" -p spillway-daemon
