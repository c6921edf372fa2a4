#!/usr/bin/env bash
# A small certificate authority in a folder: ca.key, ca.pem, and NAME.key, NAME.pem for each certificate.
# It says "changed: why" when it made something, or would have, and "ok" otherwise.
#
#   authority.sh authority DIR DAYS make|check
#   authority.sh certificate DIR DAYS make|check NAME RENEW_DAYS SAN[,SAN...]     SAN: DNS:name or IP:address
#
# A certificate is made anew when it is missing, names other hosts, is of another authority, or ends within RENEW_DAYS.
# Its key is kept. An authority is never made anew: that would cut every host off, so it is an operator's decision.
set -euo pipefail
umask 077

# OpenSSL writes a key and its certificate bit by bit; what stands under the final name is whole.
keep() { mv -f "$1.new" "$1"; }

key() { # FILE: an unencrypted PKCS#8 key, as Kafka and librdkafka read it
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.new"
    keep "$1"
}

authority() {
    local dir=$1 days=$2 mode=$3
    if [ -f "$dir/ca.key" ] && [ -f "$dir/ca.pem" ]; then
        openssl x509 -in "$dir/ca.pem" -noout -checkend 0 >/dev/null ||
            { echo "the authority in $dir has expired; make a new one by hand" >&2; exit 1; }
        echo ok
        return
    fi
    echo 'changed: there is no authority'
    [ "$mode" = make ] || return 0
    mkdir -p "$dir"
    chmod 0700 "$dir"
    [ -f "$dir/ca.key" ] || key "$dir/ca.key"
    openssl req -new -x509 -sha256 -days "$days" -key "$dir/ca.key" -subj '/CN=Spillway Kafka authority' \
        -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign \
        -out "$dir/ca.pem.new"
    keep "$dir/ca.pem"
}

# The names that a certificate has, in the form in which they are asked for, sorted.
names_of() {
    openssl x509 -in "$1" -noout -ext subjectAltName | tail -n +2 | tr ',' '\n' |
        sed -e 's/^ *//' -e 's/^IP Address:/IP:/' | sort
}

why() { # prints why the certificate must be made; nothing when it is good
    local dir=$1 name=$2 renew=$3 san=$4 cert=$1/$2.pem
    [ -f "$cert" ] && [ -f "$dir/$name.key" ] || { echo 'it is missing'; return; }
    openssl verify -CAfile "$dir/ca.pem" "$cert" >/dev/null 2>&1 || { echo 'it is of another authority, or expired'; return; }
    openssl x509 -in "$cert" -noout -checkend $((renew * 86400)) >/dev/null || { echo 'it ends soon'; return; }
    [ "$(names_of "$cert")" = "$(tr ',' '\n' <<<"$san" | sort)" ] || { echo 'it names other hosts'; return; }
    [ "$(openssl x509 -in "$cert" -noout -pubkey)" = "$(openssl pkey -in "$dir/$name.key" -pubout)" ] ||
        echo 'it is of another key'
}

certificate() {
    local dir=$1 days=$2 mode=$3 name=$4 renew=$5 san=$6 reason
    reason=$(why "$dir" "$name" "$renew" "$san")
    [ -n "$reason" ] || { echo ok; return; }
    echo "changed: $reason"
    [ "$mode" = make ] || return 0
    [ -f "$dir/$name.key" ] || key "$dir/$name.key"
    openssl req -new -key "$dir/$name.key" -subj "/CN=$name" |
        openssl x509 -req -sha256 -days "$days" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -set_serial "0x$(openssl rand -hex 16)" \
            -extfile <(printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature \
                extendedKeyUsage=serverAuth,clientAuth "subjectAltName=$san") \
            -out "$dir/$name.pem.new"
    keep "$dir/$name.pem"
}

case ${1:-} in
authority) [ $# -eq 4 ] || exit 64; shift; authority "$@" ;;
certificate) [ $# -eq 7 ] || exit 64; shift; certificate "$@" ;;
*) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
esac
