#!/usr/bin/env bash
# Times views made by viewfold, OpenCV, Pillow and torchvision on the same pictures. The programs take turns in
# every round, so that they see the same machine; each number is the median of all rounds.
# usage: tools/bench_views.sh                 writes results/bench/*.json and docs/benchmarks.md
#        tools/bench_views.sh --try FOLDER    one short round of everything, written to FOLDER: says nothing of speed
set -euo pipefail
rounds=5 op_time=50 recipe_time=250
results=results/bench page=docs/benchmarks.md
if [[ "${1:-}" == --try ]]; then
  rounds=1 op_time=10 recipe_time=20
  results=$(realpath -m "$2") page=$results/benchmarks.md
fi
cd "$(dirname "$0")/.."
program=build/release/viewfold
opencv=build/release/bench_opencv_views
torchvision=(/usr/bin/python3 -W ignore tools/bench_views_torchvision.py)
for file in "$program" "$opencv"; do
  if [[ ! -x "$file" ]]; then
    echo "$file: is missing; \`make bench\` builds it" >&2
    exit 1
  fi
done
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
raw=$scratch/raw.jsonl
/usr/bin/python3 tools/bench_pictures.py "$scratch"
all_ops=$("$program" list augmentations | cut -d' ' -f1 | paste -sd,)
steps=(brightness contrast saturation hue)

# Operations that would leave pictures of the right size as they are.
ops_for() {
  if [[ "$1" == 32 ]]; then
    sed -E 's/(^|,)(center_crop|resize)\b//g; s/^,//' <<<"$all_ops"
  else
    echo "$all_ops"
  fi
}

viewfold_steps() {
  local step other off
  for step in "${steps[@]}"; do
    off=()
    for other in "${steps[@]}"; do
      [[ "$other" == "$step" ]] || off+=("--views.color_jitter.$other" 0)
    done
    "$program" bench views "$@" --op color_jitter "${off[@]}"
  done
}

time_operations() {
  local pictures=$1 size=$2 ops common
  ops=$(ops_for "$size")
  common=("$pictures" --size "$size" --rounds 1 --milliseconds "$op_time")
  "$program" bench views "${common[@]}" --op "$ops" --json
  viewfold_steps "${common[@]}" --json
  ops+=$(printf ',%s' "${steps[@]}")
  "$opencv" "${common[@]}" --op "$ops"
  "${torchvision[@]}" "${common[@]}" --op "$ops"
}

time_recipes() {
  local pictures=$1 size=$2 recipes=$3 common recipe threads decode
  common=("$pictures" --size "$size" --rounds 1 --milliseconds "$recipe_time")
  for recipe in ${recipes//,/ }; do
    for threads in 1 2; do
      for decode in off on; do
        "$program" bench views "${common[@]}" --recipe "$recipe" --threads "$threads" --decode "$decode" --json
        "$opencv" "${common[@]}" --recipe "$recipe" --threads "$threads" --decode "$decode"
      done
    done
  done
  "${torchvision[@]}" "${common[@]}" --recipe "$recipes" --threads 1,2 --decode off,on
}

time_size() {
  time_operations "$1" "$2"
  time_recipes "$@"
}

for (( round = 1; round <= rounds; ++round )); do
  echo "round $round of $rounds" >&2
  time_size "$scratch/small" 32 simclr >>"$raw"
  time_size "$scratch/large" 96 simclr >>"$raw"
  time_size "$scratch/large" 224 simclr,swav >>"$raw"
done
mkdir -p "$results"
/usr/bin/python3 tools/bench_table.py "$raw" "$results" "$page"
echo "$page"
