import pytest
import torch

from stiltgrid.errors import StiltgridError
from stiltgrid.granted import WITHOUT, check_gpus


@pytest.fixture
def job(monkeypatch):
    """The environment of a SLURM job."""
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.delenv(WITHOUT, raising=False)


def test_a_job_that_lacks_its_gpus_ends_and_says_why(job):
    there = torch.cuda.device_count()
    check_gpus("xxl", there)
    said = rf"models\.xxl\.resources: .* {there + 1} GPUs .* sees {there}; it was built"
    with pytest.raises(StiltgridError, match=said):
        check_gpus("xxl", there + 1)


def test_what_was_built_without_cuda_is_told_from_an_old_driver(job, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(StiltgridError, match="built without CUDA"):
        check_gpus("xxl", 99)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(StiltgridError, match=r"built for CUDA 13\.0: `nvidia-smi`"):
        check_gpus("xxl", 99)


def test_by_hand_and_where_it_is_allowed_cpus_do(job, monkeypatch):
    monkeypatch.setenv(WITHOUT, "1")
    check_gpus("xxl", 99)
    monkeypatch.delenv(WITHOUT)
    monkeypatch.delenv("SLURM_JOB_ID")
    check_gpus("xxl", 99)
