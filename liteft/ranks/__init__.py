"""One call in several processes of this machine, the ranks of one training.

Every rank makes the same call; the training inside it finds the others through torch.distributed. The first writes all
files. `launch` starts the ranks, waits for them, and raises what the first of them that failed raised; `rank` is what
each of them runs.
"""

from liteft.ranks.launching import checked_processes, launch, local_share

__all__ = ["checked_processes", "launch", "local_share"]
