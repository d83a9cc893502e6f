#!/usr/bin/env bash
# RabbitMQ with its AMQP 1.0 plugin, from Debian's package.
#   run.sh install CACHE         needs root where the package is missing
#   run.sh run CACHE WORK PORT   in the foreground, on loopback, with its state in WORK
set -euo pipefail
case $1 in
install)
  # A fresh package starts a broker of its own on all interfaces; policy-rc.d keeps it from that.
  if [ ! -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; then
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
      printf '#!/bin/sh\nexit 101\n' >"$policy"
      chmod +x "$policy"
      trap 'rm -f "$policy"' EXIT
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rabbitmq-server
  fi
  ;;
run)
  work=$3 port=$4
  echo '[rabbitmq_amqp1_0].' >"$work/enabled_plugins"
  cat >"$work/rabbitmq.conf" <<EOF
listeners.tcp.1 = 127.0.0.1:$port
loopback_users = none
log.console = true
log.console.level = warning
log.file = false
EOF
  echo '[{kernel, [{inet_dist_use_interface, {127,0,0,1}}]}].' >"$work/advanced.config"
  echo "bench$port$RANDOM" >"$work/.erlang.cookie"
  chmod 600 "$work/.erlang.cookie"
  # A node of its own, and a name server of its own, so that nothing else on the machine is met.
  export HOME=$work RABBITMQ_NODENAME="bench$port@localhost" RABBITMQ_CONFIG_FILE="$work/rabbitmq.conf" RABBITMQ_ADVANCED_CONFIG_FILE="$work/advanced.config" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$work/enabled_plugins" RABBITMQ_MNESIA_BASE="$work/mnesia" RABBITMQ_LOG_BASE="$work/log" \
    RABBITMQ_DIST_PORT=$((port < 40000 ? port + 20000 : port - 20000)) ERL_EPMD_PORT=$((port < 40000 ? port + 20001 : port - 20001)) ERL_EPMD_ADDRESS=127.0.0.1 \
    RABBITMQ_PID_FILE="$work/pid" RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-start_epmd true"
  epmd -address 127.0.0.1 &
  epmd=$!
  /usr/lib/rabbitmq/bin/rabbitmq-server &
  server=$!
  trap 'kill -TERM $server 2>/dev/null; wait $server; kill $epmd 2>/dev/null' TERM INT
  wait $server || true
  kill $epmd 2>/dev/null || true
  ;;
esac
