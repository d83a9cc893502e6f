#!/usr/bin/env bash
# Qpid Broker-J from its jars on Maven Central, with one queue in a virtual host in memory.
#   run.sh install CACHE         needs Java and Maven
#   run.sh run CACHE WORK PORT   in the foreground, on loopback
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
case $1 in
install)
  [ -e "$2/lib/.complete" ] && exit 0
  mvn -B -q -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$2/lib"
  touch "$2/lib/.complete"
  ;;
run)
  cd "$3"
  exec java -Xmx2g -XX:MaxDirectMemorySize=1g -cp "$2/lib/*" org.apache.qpid.server.Main -st Memory -icp "$here/config.json" \
    -prop "qpid.amqp_port=$4" -prop "qpid.work_dir=$3"
  ;;
esac
