# shellcheck shell=bash
# Sourced by run and its steps: hosts and what is run on them, playbooks and how they are judged, figures and quotes.

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
hosts=$tests/hosts
brokers=(h1 h2 h3) edge=h4 spare=h5 # spare is in no inventory: a clean Debian
hub_address=10.77.0.1
declare -A address=([h1]=10.77.0.11 [h2]=10.77.0.12 [h3]=10.77.0.13 [h4]=10.77.0.14 [h5]=10.77.0.15)
inventory=(-i "$tests/../inventories/test/hosts.yml")

say() { printf '\n--- %s (%d s)\n' "$1" "$SECONDS"; }
fail() { printf 'FAILED: %s\n' "$1" >&2; exit 1; }

# For the table at the end, and for the journal's words that docs/runbook.md has from here.
figure() { printf '%s\t%s\n' "$1" "$2" >>"$logs/figures"; printf '%s: %s\n' "$1" "$2"; }
quote() { # TITLE HOST COMMAND...: the command prints what a journal has; no words are a failure
    local title=$1 words
    shift
    words=$(on "$@") && [ -n "$words" ] || fail "$title: the journal has nothing of it"
    printf '%s:\n%s\n' "$title" "$words" | sed '2,$s/^/  /' | tee -a "$logs/quotes"
}

hub() { "$hosts" enter "$@"; } # the hub's network: it sees every host, and nothing else
on() { # HOST COMMAND...: in a shell on a host, as root
    local host=$1
    shift
    "$hosts" exec "$host" bash -c "$*"
}

within() { # SECONDS WHAT COMMAND...: the command must come to succeed
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || fail "not in time: $what"
        sleep 0.2
    done
    printf '%s (%d s)\n' "$what" "$SECONDS"
}

archive_of() { # VERSION of Kafka: as the inventory has it
    local archive=$KAFKA_ARCHIVES/kafka_2.13-$1.tgz agent
    agent=$(echo "$KAFKA_ARCHIVES"/jmx_prometheus_javaagent-*.jar)
    jq -cn --arg version "$1" --arg archive "$archive" --arg sum "$(cut -d ' ' -f 1 "$archive.sha512")" \
        --arg agent "$agent" --arg agent_sum "$(sha256sum "$agent" | cut -d ' ' -f 1)" '{
            kafka_version: $version, kafka_archive: $archive, kafka_archive_checksum: "sha512:\($sum)",
            kafka_jmx_exporter_jar: $agent, kafka_jmx_exporter_checksum: "sha256:\($agent_sum)"}'
}

playbook() { # NAME ARGUMENTS...: with the versions that the hosts have or shall have (files kafka-version and package)
    local name=$1
    shift
    SPILLWAY_PACKAGE=$(cat "$run/package")
    SPILLWAY_PACKAGE_SHA256=$(sha256sum "$SPILLWAY_PACKAGE" | cut -d ' ' -f 1)
    export SPILLWAY_PACKAGE SPILLWAY_PACKAGE_SHA256
    (cd "$tests/.." && hub ansible-playbook "${inventory[@]}" -e "$(archive_of "$(cat "$run/kafka-version")")" "$@") \
        >"$logs/$name" 2>&1 </dev/null
}

play() { # NAME ARGUMENTS...: runs a playbook; its output is shown when it fails
    local name=$1 begun=$SECONDS
    if ! playbook "$@"; then
        tail -n 60 "$logs/$name"
        fail "$name"
    fi
    recap "$name"
    took=$((SECONDS - begun))
    printf '%s: %d s\n' "$name" "$took"
}

recap() { sed -n '/^PLAY RECAP/,$p' "$logs/$1" | tail -n +2 | grep -v '^$'; }

nothing_changed() { # NAME
    if recap "$1" | grep -vq 'changed=0 '; then
        grep -B 3 '^changed:' "$logs/$1" || true
        fail "$1 changed something"
    fi
}

refused() { # NAME WORDS ARGUMENTS...: the playbook must fail and say why
    local name=$1 words=$2
    shift 2
    if playbook "$name" "$@"; then
        fail "$name: it went through"
    fi
    grep -q "$words" "$logs/$name" || { tail -n 40 "$logs/$name"; fail "$name: it does not say '$words'"; }
    printf '%s: refused, "%s"\n' "$name" "$(grep -o -m 1 "$words.*" "$logs/$name" | cut -c 1-150)"
}

# Commands of docs/runbook.md as they stand there: the n-th block below a heading, on a host.
by_runbook() { # HOST HEADING N
    local runbook=$tests/../../docs/runbook.md commands
    commands=$(awk -v heading="$2" -v wanted="$3" '
        /^#/ && !inside { here = $0 ~ "^#+ " heading "$" }
        /^```sh$/ && here { n++; inside = 1; next }
        /^```$/ { inside = 0 }
        inside && n == wanted' "$runbook")
    [ -n "$commands" ] || fail "$runbook has no block $3 below $2"
    # The site has the daemon's figures on the host's own address.
    printf '%s\n' "${commands//localhost:9464/${address[$1]}:9464}" | sed 's/^/# /'
    on "$1" "set -e
${commands//localhost:9464/${address[$1]}:9464}"
}
