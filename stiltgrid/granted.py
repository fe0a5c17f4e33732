"""Whether the GPUs that a job asked for are there: without them it would go on, on CPUs, and nobody would see it."""

import os

from stiltgrid.errors import StiltgridError

WITHOUT = "STILTGRID_WITHOUT_GPU"
"""Set to 1, jobs of a cluster go on without the GPUs that they asked for: for tries of a workflow on small machines."""


def check_gpus(model: str, asked: int) -> None:
    """Check, within a SLURM job, that PyTorch sees as many GPUs as this node was asked for.

    Args:
        model: a name of `models`, for the message.
        asked: GPUs of this job on this node.

    Raises:
        StiltgridError: if it sees fewer, with what PyTorch was built for.
    """
    if not asked or "SLURM_JOB_ID" not in os.environ or os.environ.get(WITHOUT) == "1":
        return
    import torch

    seen = torch.cuda.device_count()
    if seen >= asked:
        return
    if torch.version.cuda is None:
        why = "it was built without CUDA: install PyTorch's CUDA wheel into the environment"
    else:
        why = f"it was built for CUDA {torch.version.cuda}: `nvidia-smi` on the node tells whether its driver is as new"
    raise StiltgridError(
        f"models.{model}.resources: this job asked for {asked} GPUs on this node, PyTorch {torch.__version__} sees "
        f"{seen}; {why}. Jobs do not go on without them, unless {WITHOUT}=1 is exported where Snakemake is started"
    )
