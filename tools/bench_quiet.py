#!/usr/bin/env python3
"""Runs a measurement on a quiet machine: waits for one, and repeats what other processes have disturbed.

    /usr/bin/python3 tools/bench_quiet.py ROW [--disturbed] COMMAND...

COMMAND prints one JSON object; here it gets "row" and "other_processes", the cores that all other processes kept busy
meanwhile. --disturbed: once, whatever others do. PATIENCE: seconds of waiting before each try (default 1800).
"""
import json
import os
import subprocess
import sys
import time

QUIET = 0.1  # cores
PATIENCE = float(os.environ.get("PATIENCE", 1800))  # seconds
TRIES = 5
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


def wait_for_quiet():
    end = time.monotonic() + PATIENCE
    while cores_of_others(lambda: time.sleep(2))[1] > QUIET and time.monotonic() < end:
        time.sleep(5)


def main():
    row, *command = sys.argv[1:]
    disturbed = command[0] == "--disturbed"
    if disturbed:
        command = command[1:]
    for left in range(0 if disturbed else TRIES - 1, -1, -1):
        if not disturbed:
            wait_for_quiet()
        run, others = cores_of_others(lambda: subprocess.run(command, check=True, stdout=subprocess.PIPE))
        if others <= QUIET or left == 0:
            break
        print(f"{row}: other processes used {others:.2f} cores, once more", file=sys.stderr)
    print(json.dumps({"row": row, "other_processes": round(others, 3), **json.loads(run.stdout)}))


if __name__ == "__main__":
    main()
