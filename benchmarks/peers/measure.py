"""Run one command and write down what it cost: `python measure.py COST.json LOG.txt command argument…`.

CPU is user + system seconds of the command and of all its descendants that were waited for; the peak is the largest
resident set of any one of them. A process of its own, and a small one, because Linux starts a child's peak at its
parent's.
"""

import json
import os
import subprocess
import sys
import time


def main() -> int:
    """Exit with the command's code; a negative one (a signal) becomes 128 + signal."""
    cost_path, log_path, *command = sys.argv[1:]
    started = time.monotonic()
    with open(log_path, "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = code = os.waitstatus_to_exitcode(status)
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    cost = {
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "wall_s": time.monotonic() - started,
        "peak_mb": usage.ru_maxrss / unit,
    }
    with open(cost_path, "w") as file:
        json.dump(cost, file)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
