# shellcheck shell=bash
# Sourced by steps: logins and what they may do, and when brokers were restarted.
# shellcheck disable=SC2154 # lib.sh sets run, logs, brokers, address, tests

login() { # USER PASSWORD: writes a configuration of the client
    cat >"$run/$1.conf" <<END
bootstrap.servers=${address[h1]}:9092,${address[h2]}:9092,${address[h3]}:9092
security.protocol=SASL_SSL
ssl.ca.location=$run/secrets/certificates/ca.pem
sasl.mechanisms=SCRAM-SHA-512
sasl.username=$1
sasl.password=$2
END
}

logins() { # of both programs, as the playbook made them
    local user
    for user in spillwayd spillway-consumer; do
        login "$user" "$(cat "$run/secrets/kafka-user-$user")"
    done
}

client() { # COMMAND USER ARGUMENTS...: client.py with a user's login
    local command=$1 user=$2
    shift 2
    hub timeout 300 python3 "$tests/client.py" "$command" "$run/$user.conf" "$@" 2>>"$logs/clients"
}

may() { # COMMAND USER ARGUMENTS...
    local said
    said=$(client "$@") || fail "$*: $said"
    printf '%s: %s\n' "$*" "$said"
}

may_not() { # ERROR COMMAND USER ARGUMENTS...: Kafka must refuse it, by this error
    local error=$1 said
    shift
    if said=$(client "$@"); then fail "$*: it went through"; fi
    [ "$said" = "$error" ] || fail "$*: $said instead of $error"
    printf '%s: %s\n' "$*" "$said"
}

together() { # COMMAND...: side by side, since they mostly wait; all must succeed
    local command pid pids=() failed=0
    for command in "$@"; do
        $command &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
    [ "$failed" = 0 ] || fail 'not all of that'
}

as_admin() { # COMMAND ARGUMENTS...: on the first broker, as its administrator
    local command=$1 arguments
    shift
    printf -v arguments ' %q' "$@"
    on "${brokers[0]}" "/opt/kafka/current/bin/$command.sh --bootstrap-server ${address[h1]}:9094" \
        "--command-config /etc/kafka/admin.properties$arguments"
}

starts() { # when each broker was started, microseconds, and its host
    local host
    for host in "${brokers[@]}"; do
        echo "$(on "$host" systemctl show -P ExecMainStartTimestampMonotonic kafka) $host"
    done
}

one_after_the_other() { # no broker stopped before the one before it ran again
    local host
    for host in "${brokers[@]}"; do
        echo "$(on "$host" systemctl show -P ActiveExitTimestampMonotonic kafka)" \
            "$(on "$host" systemctl show -P ActiveEnterTimestampMonotonic kafka) $host"
    done | sort -n | awk '$1 < last { exit 1 } { last = $2; printf "%s was stopping or down for %.1f s\n", $3, ($2 - $1) / 1e6 }' ||
        fail 'two brokers were away at once'
}

all_restarted_since() { # STARTS
    [ -z "$(comm -12 <(sort <<<"$1") <(starts | sort))" ] || fail 'a broker was not restarted'
}

users_without() { # USER: kafka_users as they are, but for one who is absent
    jq -cn --arg absent "$1" --arg password "$(cat "$run/secrets/kafka-user-spillwayd")" '{kafka_users: [
        {name: "spillwayd", password: $password, acls: [
            {resource: "topic", name: "events", operations: ["Describe", "Write"]},
            {resource: "topic", name: "events.dead", operations: ["Describe", "Write"]}]},
        {name: $absent, state: "absent"}]}'
}
