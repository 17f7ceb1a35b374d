"""The same random weights give the logits of torchvision and timm.

Both stay out of the tests' own environment: ZOO_ORACLE_PYTHON names the interpreter of one that has them,

    python -m venv oracle && oracle/bin/pip install torch timm && oracle/bin/pip install --no-deps torchvision
    oracle/bin/pip install -e . -e plugins/convnets
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

NAMES = ["alexnet", "vgg11", "vgg13-bn", "googlenet", "resnet18", "resnet50", "densenet121"]
PYTHON = os.environ.get("ZOO_ORACLE_PYTHON")


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason="ZOO_ORACLE_PYTHON is not set: no environment with torchvision and timm")
def test_logits_equal_those_of_torchvision_and_timm_with_the_same_weights():
    script = Path(__file__).with_name("oracle.py")
    done = subprocess.run([PYTHON, str(script), *NAMES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    differences = json.loads(done.stdout.splitlines()[-1])
    assert len(differences) == 2 * len(NAMES) - 2  # timm has no alexnet and no googlenet
    assert max(differences.values()) < 1e-4, differences
