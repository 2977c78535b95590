#!/usr/bin/env bash
# Fails when a folder of src/viewfold includes one that is not above it in the house plan
# (docs/architecture.md), or LibTorch where the plan does without it.
set -euo pipefail
cd "$(dirname "$0")/.."
order=(core image data augment tensor nn index loader train manifold methods eval report app)
torch_free=" core image data augment report "
declare -A rank
for i in "${!order[@]}"; do
  rank[${order[$i]}]=$i
done

bad=0
complain() {
  echo "$1" >&2
  bad=1
}

# Lines "file:line:include" of our own includes and of LibTorch's.
includes=$(grep -rnE --include='*.[ch]pp' '^[[:space:]]*#[[:space:]]*include[[:space:]]*(["<]viewfold/|["<](torch|ATen|c10)/)' \
             src/viewfold || true)
while IFS=: read -r file line include; do
  from=${file#src/viewfold/}
  from=${from%%/*}
  target=${include#*[\"<]}
  target=${target%%[\">]*}
  to=${target#viewfold/}
  to=${to%%/*}
  if [[ -z "${rank[$from]+known}" ]]; then
    complain "$file:$line: the folder $from is not in the house plan"
  elif [[ "$target" != viewfold/* ]]; then
    [[ "$torch_free" != *" $from "* ]] || complain "$file:$line: $from does without LibTorch, but includes <$target>"
  elif [[ "$to" == "$from" ]]; then
    continue
  elif [[ -z "${rank[$to]+known}" ]]; then
    complain "$file:$line: the folder $to is not in the house plan"
  elif (( ${rank[$to]} > ${rank[$from]} )); then
    complain "$file:$line: $from may not include $to, which is below it"
  elif [[ "$from" == report && "$to" != core && "$to" != image ]]; then
    complain "$file:$line: report reads files, it may include only core and image, not $to"
  fi
done <<<"$includes"
exit "$bad"
