#!/usr/bin/env bash
# From a bare Debian 12 to a trained signal network: installs, builds and runs one experiment in one
# process. After an interruption, run it again: it continues where it stopped.
#
# Usage: deploy/quickstart.sh [SPEC] [ARGUMENTS OF mentor run] [--help]
#   SPEC   a file, or the name of one in experiments (default: quickstart)
#
# Examples:
#   deploy/quickstart.sh                ML1 door-close, small budget: 12 minutes on 2 cores
#   deploy/quickstart.sh point_reach    a point that learns to reach: the whole effect in a minute
set -euo pipefail
cd "$(dirname "$0")/.."

spec=quickstart
case "${1-}" in
  -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
  ''|-*) ;;
  *) spec=$1; shift ;;
esac
# Checked before minutes of building; mentor itself finds both.
if [ ! -f "$spec" ] && [ ! -f "experiments/$spec.txtpb" ]; then
  echo "quickstart.sh: there is no spec $spec; known:" \
    "$(cd experiments && echo *.txtpb | sed 's/\.txtpb//g')" >&2
  exit 2
fi
deploy/machine.sh >/dev/null

deploy/install.sh
# The experiment comes first; the programs of a cluster are built once there is something to see.
deploy/build.sh mentor
build/bin/mentor run "$spec" "$@"
echo "These paths are below $PWD. Building the programs of a cluster, too (Ctrl-C leaves them out):"
deploy/build.sh mentor mentorctl mentor-actor mentor-learner mentor-meta-learner
