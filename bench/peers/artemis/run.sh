#!/usr/bin/env bash
# ActiveMQ Artemis, embedded, from its jars on Maven Central (its own archive is not there), with one queue in memory and no security.
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
  exec java -Xmx2g -cp "$2/lib/*" "$here/Artemis.java" "$4"
  ;;
esac
