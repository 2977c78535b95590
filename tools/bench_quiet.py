#!/usr/bin/env python3
"""Runs a measurement on a quiet machine: waits for one, and repeats what other processes have disturbed.

    /usr/bin/python3 tools/bench_quiet.py ROW [--disturbed] COMMAND...

COMMAND prints one JSON object; here it gets "row" and "other_processes", the cores that all other processes kept busy
meanwhile. It waits and repeats for PATIENCE seconds (default 1800), then takes what there is; with --disturbed it does
neither.
"""
import json
import os
import subprocess
import sys
import time

QUIET = 0.1  # cores
PATIENCE = float(os.environ.get("PATIENCE", 1800))  # seconds
TICKS = os.sysconf("SC_CLK_TCK")


def used_by_all():
    """Seconds of processor time, of all processes and the kernel for them."""
    user, nice, system, _, _, irq, soft_irq = map(int, open("/proc/stat").readline().split()[1:8])
    return (user + nice + system + irq + soft_irq) / TICKS


def used_by_us():
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def cores_of_others(work):
    """What `work` gives, and the cores that other processes used meanwhile."""
    start, others = time.monotonic(), used_by_all() - used_by_us()
    result = work()
    return result, (used_by_all() - used_by_us() - others) / (time.monotonic() - start)


def wait_for_quiet(end):
    while time.monotonic() < end and cores_of_others(lambda: time.sleep(2))[1] > QUIET:
        time.sleep(5)


def main():
    row, *command = sys.argv[1:]
    patience = PATIENCE
    if command[0] == "--disturbed":
        patience, command = 0, command[1:]
    end = time.monotonic() + patience
    while True:
        wait_for_quiet(end)
        run, others = cores_of_others(lambda: subprocess.run(command, check=True, stdout=subprocess.PIPE))
        if others <= QUIET or time.monotonic() >= end:
            break
        print(f"{row}: other processes used {others:.2f} cores, once more", file=sys.stderr)
    print(json.dumps({"row": row, "other_processes": round(others, 3), **json.loads(run.stdout)}))


if __name__ == "__main__":
    main()
