#!/usr/bin/env bash
# Writes what `viewfold VERB --help` prints between the marker lines of docs/verbs/VERB.md.
# usage: tools/make_verb_pages.sh [PROGRAM]     (default: build/release/viewfold)
set -euo pipefail
program=$(realpath -m "${1:-$(dirname "$0")/../build/release/viewfold}")
cd "$(dirname "$0")/.."
if [[ ! -x "$program" ]]; then
  echo "$program: there is no program; build it first (cmake --build --preset release)" >&2
  exit 1
fi
begin='<!-- help: begin -->'
end='<!-- help: end -->'
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

for page in docs/verbs/*.md; do
  verb=$(basename "$page" .md)
  if [[ "$(grep -cxF -e "$begin" "$page")" != 1 || "$(grep -cxF -e "$end" "$page")" != 1 ]]; then
    echo "$page: needs the lines \"$begin\" and \"$end\" once each" >&2
    exit 1
  fi
  "$program" "$verb" --help >"$scratch/help"
  {
    sed "/^$begin\$/q" "$page"
    printf '```text\n'
    cat "$scratch/help"
    printf '```\n'
    sed -n "/^$end\$/,\$p" "$page"
  } >"$scratch/page"
  if ! cmp -s "$scratch/page" "$page"; then
    cp "$scratch/page" "$page"
    echo "$page"
  fi
done

# Every verb needs its page.
"$program" --help | sed -n '/^usage/,/^first steps/s/^  \([a-z][a-z-]*\) .*/\1/p' |
  while read -r verb; do
    if [[ ! -e "docs/verbs/$verb.md" ]]; then
      echo "docs/verbs/$verb.md: is missing" >&2
      exit 1
    fi
  done
