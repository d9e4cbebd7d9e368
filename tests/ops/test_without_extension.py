"""The package without its compiled modules: the plain twins run, and one warning says so."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

# Makes `fiqa_fast._host` unimportable, as in a checkout that was never built.
HIDE_EXTENSION = """
import importlib.abc, sys, warnings

class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "fiqa_fast._host":
            raise ImportError("hidden by the test", name=name)

sys.meta_path.insert(0, Hide())
"""


def run_without_extension(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", HIDE_EXTENSION + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["fiqa_fast.ops", "fiqa_fast._extension"])
def test_one_warning_names_the_reason_and_the_remedy(module: str) -> None:
    printed = run_without_extension(
        f"""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import {module}
            import fiqa_fast.ops
            from fiqa_fast import _extension
            import torch
            fiqa_fast.ops.abs_sum(torch.ones(2, 3))
        ours = [w for w in caught if "fiqa_fast" in str(w.message)]
        print(len(ours), ours[0].category.__name__, _extension.is_available())
        print(ours[0].message)
        print(_extension.missing_reason)
        """
    )
    counts, message, reason = printed.splitlines()
    assert counts == "1 RuntimeWarning False"
    assert "plain reference code" in message
    assert "pip install ." in message
    assert reason == "ImportError: hidden by the test"


def test_results_and_gradients_are_those_of_the_operators() -> None:
    """The same numbers with and without: computed there, compared here."""
    code = """
    import warnings
    warnings.simplefilter("ignore")
    import torch
    from fiqa_fast.ops import abs_sum, bn_discrepancy, sign_step

    x = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mean, var = torch.tensor([0.1, -0.2, 0.3]), torch.tensor([1.0, 2.0, 0.5])
    for use_std in (False, True):
        out = bn_discrepancy(x, mean, var, use_std=use_std)
        (grad,) = torch.autograd.grad(out.squared_error.sum() + out.var.sum() + out.mean.sum(), x)
        for t in (*out, grad, abs_sum(grad)):
            print(*t.flatten().tolist())
    (grad,) = torch.autograd.grad(abs_sum(x).sum(), x)
    moved = sign_step(x, grad, step=0.25)
    print(*moved.flatten().tolist())
    print(moved.requires_grad, type(out).__name__)
    """
    without = run_without_extension(code).splitlines()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    compiled = done.stdout.splitlines()
    assert len(without) == len(compiled) == 2 * 5 + 2
    assert without[-1] == compiled[-1] == "False BnDiscrepancy"
    for a, b in zip(without[:-1], compiled[:-1], strict=True):
        expected = pytest.approx([float(v) for v in b.split()], rel=1e-5, abs=1e-6)
        assert [float(v) for v in a.split()] == expected


def test_arguments_are_checked_all_the_same() -> None:
    printed = run_without_extension(
        """
        warnings.simplefilter("ignore")
        import torch
        from fiqa_fast.errors import InvalidArgumentError
        from fiqa_fast.ops import abs_sum, bn_discrepancy, sign_step
        for call in (
            lambda: bn_discrepancy(torch.zeros(2, 3), torch.zeros(3), torch.ones(3)),
            lambda: abs_sum(torch.tensor(1.0)),
            lambda: sign_step(torch.zeros(2), torch.zeros(3), step=0.1),
        ):
            try:
                call()
            except InvalidArgumentError as error:
                print(str(error).split(":")[0])
        """
    )
    assert printed.split() == ["bn_discrepancy", "abs_sum", "sign_step"]
