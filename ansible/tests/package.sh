#!/usr/bin/env bash
# The same package with a higher version number, for an upgrade: package.sh PACKAGE FOLDER prints its path.
set -euo pipefail
package=$1 folder=$2
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
dpkg-deb -R "$package" "$place/files"
sed -i 's/^Version: .*/&+test1/' "$place/files/DEBIAN/control"
version=$(sed -n 's/^Version: //p' "$place/files/DEBIAN/control")
mkdir -p "$folder"
# The same bytes each time: by its checksum it is known.
SOURCE_DATE_EPOCH=0 dpkg-deb --root-owner-group -Zgzip -z1 -b "$place/files" "$folder/spillway_$version.deb" >&2
echo "$folder/spillway_$version.deb"
