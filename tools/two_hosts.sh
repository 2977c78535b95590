#!/usr/bin/env bash
# Trains in two processes on two hosts that share nothing but a cable: network namespaces of this machine. Wants root.
#   tools/two_hosts.sh viewfold pretrain PICTURES/ --out runs/a
# CUT=SECONDS pulls the cable after that many seconds, as when a machine loses power.
set -euo pipefail
trap 'ip netns del vf-a; ip netns del vf-b' EXIT
ip netns add vf-a
ip netns add vf-b
ip link add vf-cable-a netns vf-a type veth peer name vf-cable-b netns vf-b
for host in a b; do
  ip -n "vf-$host" link set lo up
  ip -n "vf-$host" link set "vf-cable-$host" up
done
ip -n vf-a addr add 10.77.0.1/24 dev vf-cable-a
ip -n vf-b addr add 10.77.0.2/24 dev vf-cable-b

export WORLD_SIZE=2 MASTER_ADDR=10.77.0.1 MASTER_PORT=29500
RANK=0 ip netns exec vf-a "$@" &
first=$!
RANK=1 ip netns exec vf-b "$@" &
second=$!
if [[ -n "${CUT:-}" ]]; then
  sleep "$CUT"
  echo "the cable is cut"
  ip -n vf-a link set vf-cable-a down
  SECONDS=0
fi
code=0
wait "$first" || code=$?
echo "rank 0 ended with code $code"
code=0
wait "$second" || code=$?
echo "rank 1 ended with code $code${CUT:+, both $SECONDS s after the cut}"
