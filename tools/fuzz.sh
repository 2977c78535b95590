#!/usr/bin/env bash
# Runs the fuzz programs of build/fuzz one after another, each decoder on a corpus of its own, and prints a line for
# each. Fails when there is a finding, and says how to see it again.
# usage: tools/fuzz.sh [SECONDS [CORPUS ...]]      600 seconds for each, all of them
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
corpora=("${@:2}")
if (( ${#corpora[@]} == 0 )); then
  corpora=(decode_{jpeg,png,webp,tiff,bmp,pnm} views readers report checkpoint)
fi
build=build/fuzz
if [[ ! -x "$build/fuzz_seeds" ]]; then
  echo "$build/fuzz_seeds: is missing; \`make fuzz\` builds it" >&2
  exit 1
fi
mkdir -p "$build"/{corpus,findings,logs}
TMPDIR=$(mktemp -d -p "$([[ -w /dev/shm ]] && echo /dev/shm || echo /tmp)")  # the readers want files
export TMPDIR UBSAN_OPTIONS=print_stacktrace=1
trap 'rm -rf "$TMPDIR"' EXIT
"$build/fuzz_seeds" "$build/seeds"

# An accepted picture of a million pixels takes some tens of megabytes: more is memory that a lie has claimed.
limits=(-timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=256)

failed=0
for corpus in "${corpora[@]}"; do
  program=$build/fuzz_${corpus%%_*}
  log=$build/logs/$corpus.log
  mkdir -p "$build/corpus/$corpus"
  status=0
  "$program" "${limits[@]}" -max_total_time="$seconds" -print_final_stats=1 \
    -artifact_prefix="$build/findings/$corpus-" "$build/corpus/$corpus" "$build/seeds/$corpus" >"$log" 2>&1 || status=$?
  result="no finding"
  if (( status == 72 )); then  # as libFuzzer says it
    failed=1
    result="stopped by a signal"
  elif (( status != 0 )); then
    failed=1
    input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    result="FINDING: $program ${limits[*]} ${input:-(see $log)}"
  fi
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  printf '%-12s %12s executions   %s\n' "$corpus" "${executions:-?}" "$result"
done
exit "$failed"
