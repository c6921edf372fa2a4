#!/bin/bash
# Runs a class of Kafka's, with the environment that Apache's own kafka-run-class.sh knows.
base=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
log=${KAFKA_LOG4J_OPTS:--Dlog4j2.configurationFile=$base/config/tools-log4j2.properties}
# Words on purpose: each variable holds several arguments.
# shellcheck disable=SC2086
exec java ${KAFKA_HEAP_OPTS:--Xmx256m} ${KAFKA_JVM_PERFORMANCE_OPTS:-} $log ${KAFKA_OPTS:-} -cp "$base/libs/*" @CLASS@ "$@"
