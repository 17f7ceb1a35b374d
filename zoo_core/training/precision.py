"""The precision of a run, if nobody chooses it: the model's own, unless that is slow on this processor."""

from zoo_core.processes import Processes, emulates_bfloat16


def precision_here(own: str, processes: Processes) -> tuple[str, str]:
    """The precision for a model whose own one is `own` (fp32 or bf16), and a sentence for people that says why.

    A model whose own is fp32 keeps it: bf16 would change its numbers, and might not suit it. If one of several
    processes emulates bf16, all use fp32, because the others would wait for it.
    """
    if own != "bf16":
        return own, ""
    if any(processes.gather(emulates_bfloat16(processes.device))):
        why = "this processor only emulates bf16, the model's own precision, and is slower with it"
        return "fp32", f"Training in fp32: {why} (--precision bf16 overrules)."
    return "bf16", "Training in bf16: it is the model's own precision, and fast here (--precision fp32 overrules)."
