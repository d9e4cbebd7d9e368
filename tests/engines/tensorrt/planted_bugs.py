"""Bugs to plant in the runtime, and what must be said about each."""

from __future__ import annotations

from typing import NamedTuple


class Bug(NamedTuple):
    """In the module `file`, each first text, which stands there once, becomes the second one.

    `finds` is a pattern for the type and the text of the error that follows.
    """

    name: str
    file: str
    finds: str
    edits: tuple[tuple[str, str], ...]


def bug(name: str, file: str, finds: str, *edits: tuple[str, str]) -> Bug:
    return Bug(name, file, finds, edits)


_RACE = "StandInError race: "
_WRONG = "AssertionError .*Not equal to tolerance"
_TOO_EARLY = "StandInError numpy: the host did not wait for "

LANE = (
    bug(
        "the engine does not wait for its inputs",
        "lane",
        _RACE + "the engine and the copy cuda:1 <- pinned",
        ("self._compute.wait_event(slot.uploaded)", "pass"),
    ),
    bug(
        "the event of the inputs is recorded too early",
        "lane",
        _RACE + "the engine and the copy cuda:1 <- pinned",
        (
            "            for name, tensor in given.items():\n                tensor.copy_",
            "            slot.uploaded.record(self._upload)\n"
            "            for name, tensor in given.items():\n                tensor.copy_",
        ),
        (
            "non_blocking=True)\n            slot.uploaded.record(self._upload)\n",
            "non_blocking=True)\n",
        ),
    ),
    bug(
        "inputs are copied on the caller's current stream",
        "lane",
        _RACE,
        ("with torch.cuda.stream(self._upload):", "if True:"),
    ),
    bug(
        "results are read before they are there",
        "lane",
        _TOO_EARLY + "the copy pinned <- cuda:1",
        ("slot.done.synchronize()", "pass"),
    ),
    bug(
        "the event of the results is recorded too early",
        "lane",
        _TOO_EARLY + "the copy pinned <- cuda:1",
        (
            "            for name, tensor in made.items():\n                slot.host",
            "            slot.done.record(self._compute)\n"
            "            for name, tensor in made.items():\n                slot.host",
        ),
        (
            "non_blocking=True)\n            slot.done.record(self._compute)\n",
            "non_blocking=True)\n",
        ),
    ),
    bug(
        "results are copied on another stream",
        "lane",
        _RACE + "the copy pinned <- cuda:1 and the engine",
        ("with torch.cuda.stream(self._compute):\n            for", "if True:\n            for"),
    ),
    bug(
        "a slot is used again too early",
        "lane",
        _TOO_EARLY + "|" + _WRONG,
        ("if len(running) == _SLOTS:", "if False:"),
    ),
    bug(
        "one slot for two passes",
        "lane",
        _TOO_EARLY,
        ("self._slot(number % _SLOTS)", "self._slot(0)"),
    ),
    bug(
        "buffers in memory that is not pinned",
        "lane",
        "StandInError copy_: memory on the host must be pinned",
        ("pin_memory=True", "pin_memory=False"),
    ),
    bug(
        "copies that block",
        "lane",
        "StandInError copy_: blocks",
        ("copy_(slot.host[name][:size], non_blocking=True)", "copy_(slot.host[name][:size])"),
    ),
    bug(
        "a batch is not cut",
        "lane",
        "ValueError could not broadcast",
        ("step = self._profile.max", "step = batch"),
    ),
    bug(
        "passes overlap by a row",
        "lane",
        "ValueError could not broadcast",
        ("slice(i, min(i + step, batch))", "slice(i, min(i + step + 1, batch))"),
    ),
    bug(
        "a small batch is not filled up",
        "lane",
        "UnavailableError .* outside of the profile",
        (
            "        size = max(rows, self._profile.min)\n        for",
            "        size = rows\n        for",
        ),
    ),
    bug(
        "the first row is overwritten where a batch is filled up",
        "lane",
        _WRONG,
        ("pinned[rows:size] = array[-1]", "pinned[0] = array[-1]"),
    ),
    bug(
        "shapes are not set",
        "lane",
        "UnavailableError .* whose shapes follow",
        ("self._demand(context.set_input_shape(name, tuple(tensor.shape)), name, tensor)", "pass"),
    ),
    bug(
        "a refused shape goes unnoticed",
        "lane",
        "UnavailableError .* whose shapes follow",
        (
            "self._demand(context.set_input_shape(name, tuple(tensor.shape)), name, tensor)",
            "context.set_input_shape(name, tuple(tensor.shape[:1]))",
        ),
    ),
    bug(
        "addresses before shapes",
        "lane",
        "StandInError set_tensor_address.*shapes must be set before",
        (
            "        for name, tensor in given.items():\n"
            "            self._demand(context.set_input",
            "        for name, tensor in made.items():\n"
            "            context.set_tensor_address(name, tensor.data_ptr())\n"
            "        for name, tensor in given.items():\n"
            "            self._demand(context.set_input",
        ),
    ),
    bug(
        "outputs without an address",
        "lane",
        "StandInError execute_async_v3: no address of raw_score, embedding",
        ("(*given.items(), *made.items())", "given.items()"),
    ),
    bug(
        "inputs without an address",
        "lane",
        "StandInError execute_async_v3: no address of crops, noise",
        ("(*given.items(), *made.items())", "made.items()"),
    ),
    bug(
        "addresses of the first pass for all of its shape",
        "lane",
        _RACE + "|" + _WRONG,
        (
            "self._demand(context.set_tensor_address(name, tensor.data_ptr()), name, tensor)",
            "self.__dict__.setdefault('known', set())\n"
            "            if (name, tensor.shape) not in self.known:\n"
            "                context.set_tensor_address(name, tensor.data_ptr())\n"
            "            self.known.add((name, tensor.shape))",
        ),
    ),
    bug(
        "the engine on the default stream",
        "lane",
        "StandInError execute_async_v3: on the default stream",
        (
            "execute_async_v3(self._compute.cuda_stream)",
            "execute_async_v3(torch.cuda.current_stream(self._device).cuda_stream)",
        ),
    ),
    bug(
        "the engine on the stream of the copies",
        "lane",
        _RACE,
        (
            "execute_async_v3(self._compute.cuda_stream)",
            "execute_async_v3(self._upload.cuda_stream)",
        ),
    ),
    bug(
        "a refused call goes unnoticed",
        "lane",
        "Failed DID NOT RAISE UnavailableError",
        (
            "if not context.execute_async_v3(self._compute.cuda_stream):",
            "if context.execute_async_v3(self._compute.cuda_stream) is None:",
        ),
    ),
    bug(
        "a failed call leaves copies under way",
        "lane",
        _TOO_EARLY + "the copy cuda:1 <- pinned",
        (
            "            self.wait()  # nothing may still use the buffers when the next call",
            "            pass  # nothing may still use the buffers when the next call",
        ),
    ),
    bug(
        "waiting for half of the work",
        "lane",
        _RACE + "|" + _TOO_EARLY,
        (
            "        self._upload.synchronize()\n        self._compute.synchronize()\n",
            "        self._upload.synchronize()\n",
        ),
    ),
    bug(
        "buffers without waiting for the stream that they were allocated on",
        "lane",
        _RACE + "the copy cuda:1 <- pinned and the memory's earlier owner",
        (
            "            self._compute.synchronize()\n        return self._slots[number]",
            "        return self._slots[number]",
        ),
    ),
    bug(
        "contexts outlive the engine",
        "lane",
        "StandInError an engine was freed before its contexts",
        ("        self._context = None\n", ""),
    ),
)

LANE_WITH_TENSORS = (
    bug(
        "the address of a tensor's first row for all passes",
        "lane",
        _WRONG,
        (
            "_readable(tensors[s.name][rows], size)",
            "_readable(tensors[s.name][: rows.stop - rows.start], size)",
        ),
    ),
    bug(
        "the engine does not wait for the caller",
        "lane",
        _RACE + "the engine and ",
        ("self._compute.wait_stream(caller)", "pass"),
    ),
    bug(
        "the engine waits for the caller before inputs are made contiguous",
        "lane",
        _RACE + "the engine and ",
        ("            self._compute.wait_stream(caller)\n", ""),
        (
            "        passes = []\n",
            "        passes = []\n        self._compute.wait_stream(caller)\n",
        ),
    ),
    bug(
        "the caller does not wait for the engine",
        "lane",
        _RACE + r"(cpu\(\)|cat or clone) and the engine",
        ("caller.wait_stream(self._compute)", "pass"),
    ),
    bug(
        "the caller waits before the engine begins",
        "lane",
        _RACE + r"(cpu\(\)|cat or clone) and the engine",
        ("        caller.wait_stream(self._compute)\n", ""),
        (
            "            self._enqueue(given, made)\n            passes",
            "            caller.wait_stream(self._compute)\n"
            "            self._enqueue(given, made)\n            passes",
        ),
    ),
    bug(
        "memory goes back to the caller's stream while the engine uses it",
        "lane",
        r"StandInError .*freed while the engine may use it .*record_stream",
        ("tensor.record_stream(self._compute)", "pass"),
    ),
    bug(
        "any strides",
        "lane",
        "StandInError data_ptr: .* not contiguous",
        ("tensor = tensor.contiguous()", "pass"),
    ),
    bug(
        "any address",
        "lane",
        "StandInError set_tensor_address.*not aligned",
        (
            "return tensor if tensor.data_ptr() % _ALIGNMENT_BYTES == 0 else tensor.clone()",
            "return tensor",
        ),
    ),
    bug(
        "a small batch of tensors is not filled up",
        "lane",
        "UnavailableError .* outside of the profile",
        ("size = max(rows.stop - rows.start, self._profile.min)", "size = rows.stop - rows.start"),
    ),
    bug(
        "results keep the rows that filled a batch up",
        "lane",
        "AssertionError .*shapes.*mismatch",
        ("t[: rows.stop - rows.start] for n, t", "t for n, t"),
    ),
    bug(
        "results of passes in the wrong order",
        "lane",
        _WRONG,
        ("for p in passes]", "for p in passes[::-1]]"),
    ),
)

RUNTIME = (
    bug(
        "calls share a lane",
        "runtime",
        "StandInError|" + _WRONG,
        (
            "        lane = self._free.get()\n        try:",
            "        lane = self._free.queue[0]\n        self._free.put(lane)\n        try:",
        ),
    ),
    bug(
        "a call on whatever device is current",
        "runtime",
        "StandInError execute_async_v3: the engine is on device 1",
        (
            "            with torch.cuda.device(self._device):\n                yield lane\n",
            "            yield lane\n",
        ),
    ),
    bug(
        "loaded on whatever device is current",
        "runtime",
        "StandInError",
        (
            "        with torch.cuda.device(self._device):\n            self._runtime",
            "        if True:\n            self._runtime",
        ),
    ),
    bug(
        "new weights while calls may run",
        "runtime",
        "StandInError refit_cuda_engine: the host did not wait for the engine",
        (
            "        with self._all_lanes():\n            self._require_open()\n            refit",
            "        if True:\n            refit",
        ),
    ),
    bug(
        "new weights while the GPU still computes",
        "runtime",
        "StandInError refit_cuda_engine: the host did not wait for the engine",
        ("                for lane in lanes:\n                    lane.wait()\n", ""),
    ),
    bug(
        "lanes are not released",
        "runtime",
        "StandInError an engine was freed before its contexts",
        ("                for lane in lanes:\n                    lane.release()\n", ""),
    ),
    bug(
        "None instead of an engine",
        "runtime",
        "AttributeError 'NoneType' object",
        ("if self._engine is None:", "if False:"),
    ),
    bug(
        "new weights that are not applied",
        "refit",
        _WRONG,
        (" or not refitter.refit_cuda_engine()", ""),
    ),
)

BUGS = (*LANE, *LANE_WITH_TENSORS, *RUNTIME)
