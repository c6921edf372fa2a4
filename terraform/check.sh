#!/usr/bin/env bash
# Checks this folder: format, validity, tests with a mocked provider, the prices in docs/cost.md, policies by checkov. Needs terraform 1.11 and
# python3 with venv; makes nothing at AWS and asks it nothing.
#
#   ./check.sh            with the schema in offline/: no registry is needed
#   ./check.sh --registry with the real provider, which terraform init fetches
#
# Python's programs go into a venv in .check/, or in SPILLWAY_CHECK_DIR.
set -euo pipefail
cd "$(dirname "$0")"

# Pinned: a new version of checkov brings new rules, which want to be looked at.
readonly PACKAGES=('tf==1.2.0' 'checkov==3.3.30')
readonly OVER=1.11

place=${SPILLWAY_CHECK_DIR:-$PWD/.check}
mkdir -p "$place"
place=$(cd "$place" && pwd)
work=$(mktemp -d)
server=
cleanup() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

step() { printf -- '--- %s\n' "$*"; }

have_terraform() {
    command -v terraform >/dev/null || { echo "terraform $OVER or newer is needed" >&2; exit 1; }
    local version
    version=$(terraform version -json | python3 -c 'import json, sys; print(json.load(sys.stdin)["terraform_version"])')
    if [ "$(printf '%s\n%s\n' "$OVER" "$version" | sort -V | head -1)" != "$OVER" ]; then
        echo "terraform $OVER or newer is needed; this is $version" >&2
        exit 1
    fi
    echo "terraform $version"
}

install() {
    if [ "$(cat "$place/packages" 2>/dev/null)" != "${PACKAGES[*]}" ]; then
        rm -rf "$place/venv"
        python3 -m venv "$place/venv"
        "$place/venv/bin/pip" install --quiet --disable-pip-version-check "${PACKAGES[@]}"
        echo "${PACKAGES[*]}" >"$place/packages"
    fi
}

# Tells terraform to use the schema in offline/ in place of the real provider.
offline() {
    "$place/venv/bin/python" offline/provider.py offline/schema.json "$work/provider" >"$work/reattach" 2>"$work/log" &
    server=$!
    until [ -s "$work/reattach" ]; do
        kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
        sleep 0.1
    done
    TF_REATTACH_PROVIDERS=$(cat "$work/reattach")
    export TF_REATTACH_PROVIDERS
}

# No settings of whoever runs it; nothing is left in the folder.
export TF_CLI_CONFIG_FILE=/dev/null TF_DATA_DIR=$work/data CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1
unset AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN

have_terraform
install
case ${1:-} in
    '') offline ;;
    --registry) ;;
    *) echo "usage: $0 [--registry]" >&2; exit 64 ;;
esac

step 'terraform fmt'
terraform fmt -check -diff -recursive

step 'terraform validate'
terraform init -backend=false -input=false -no-color >"$work/init" 2>&1 || { cat "$work/init" >&2; exit 1; }
terraform validate -no-color

step 'terraform test'
terraform test -no-color

terraform test -no-color -test-directory=tests/example -var-file=example.tfvars

step 'README.md'
"$place/venv/bin/python" variables.py README.md

step 'docs/cost.md'
terraform test -no-color -json -verbose -filter=tests/cost.tftest.hcl >"$work/plans"
python3 cost.py "$work/plans" ../docs/cost.md

step 'checkov'
"$place/venv/bin/checkov" --framework terraform --skip-download --compact --quiet --directory . | tee "$work/checkov"
# It passes over a file that it cannot read.
if grep -q 'Parsing errors: [1-9]' "$work/checkov"; then
    echo 'checkov could not read a file; LOG_LEVEL=WARNING says which' >&2
    exit 1
fi
