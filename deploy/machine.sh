#!/usr/bin/env bash
# Prints how many compilers this machine runs at once: one on each core, with 2 GB of free memory.
# Free is what the machine has, and what every control group of this process still may take. Exit
# status 1, with a message, on a processor that Mentor does not run on.
#
# Usage: deploy/machine.sh [--help] [ROOT]
#   ROOT   a folder with proc and sys of another machine (default: this machine's)
set -euo pipefail
case "${1-}" in
  -h|--help) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
  -*) echo "machine.sh: unknown argument '$1'; see --help" >&2; exit 2 ;;
esac
root=${1-}

for feature in avx2 fma bmi2; do
  if ! grep -qw "$feature" "$root/proc/cpuinfo"; then
    echo "machine.sh: this processor has no ${feature^^}; Mentor is built for x86-64-v3: take a" \
      "machine with an Intel Haswell, an AMD Zen, or later" >&2
    exit 1
  fi
done

# In kB, as /proc/meminfo has it.
free=$(awk '/^MemAvailable:/ {print $2}' "$root/proc/meminfo")
# The limit of a group counts for the groups below it. Containers may see their own group as the
# topmost one.
while IFS=: read -r _ controllers group; do
  case ",$controllers," in
    ,,) top=$root/sys/fs/cgroup limit=memory.max used=memory.current ;;
    *,memory,*)
      top=$root/sys/fs/cgroup/memory limit=memory.limit_in_bytes used=memory.usage_in_bytes ;;
    *) continue ;;
  esac
  group=${group%/}
  while folder=$top$group; do
    if grep -qs '^[0-9]' "$folder/$limit"; then
      # Files that were only read count as used, and give way. The last line is the total.
      cache=$(awk '/^(total_)?inactive_file / {n = $2} END {print n}' "$folder/memory.stat" \
        2>/dev/null) || cache=
      room=$((($(<"$folder/$limit") - $(<"$folder/$used") + ${cache:-0}) / 1024))
      if [ "$room" -lt "$free" ]; then free=$room; fi
    fi
    [ -n "$group" ] || break
    group=${group%/*}
  done
done < <(cat "$root/proc/self/cgroup" 2>/dev/null || true)

# The largest compilation, of LibTorch's headers, takes 1.9 GB.
jobs=$((free / 2000000)) cores=$(nproc)
if [ "$jobs" -gt "$cores" ]; then jobs=$cores; fi
echo $((jobs < 1 ? 1 : jobs))
