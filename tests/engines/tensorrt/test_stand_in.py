"""The stand-in has the interface of the real library: names, arguments, numbers of enumerations."""

import enum
import inspect
import re

import pytest
import stand_in_tensorrt

# Of the real class: what pybind11 writes as the first line of a docstring.
_SIGNATURE = re.compile(r"^\w+\((?P<arguments>.*)\) -> ", re.MULTILINE)


def members(class_):
    return [n for n in vars(class_) if not n.startswith("_") and n not in _OF_THE_STAND_IN]


# What tests look at or set; nothing of it is used by the package.
_OF_THE_STAND_IN = {
    "content",
    "contexts",
    "device",
    "engine_class",
    "gpu",
    "graph",
    "is_made",
    "load",
    "logger",
    "require_device",
    "runtime_config",
    "settings",
    "weights",
}
REAL = {
    **{c.__name__: (c.__name__, c) for c in stand_in_tensorrt.CLASSES},
    "Runtime": ("Runtime", stand_in_tensorrt.Runtime),
    "RtxRuntime": ("Runtime", stand_in_tensorrt.RtxRuntime),
    "RtxEngine": ("ICudaEngine", stand_in_tensorrt.RtxEngine),
    "IParserError": ("ParserError", stand_in_tensorrt.IParserError),
}


@pytest.mark.parametrize("name", REAL)
def test_every_member_is_one_of_the_real_class(name, rtx):
    real_name, class_ = REAL[name]
    real = getattr(rtx, real_name)
    for member in members(class_):
        assert hasattr(real, member), f"{real_name}.{member}"


@pytest.mark.parametrize("name", REAL)
def test_arguments_have_the_real_names(name, rtx):
    real_name, class_ = REAL[name]
    for member in members(class_):
        function = vars(class_)[member]
        if not inspect.isfunction(function):
            continue
        documentation = getattr(getattr(rtx, real_name), member).__doc__ or ""
        known = [m["arguments"] for m in _SIGNATURE.finditer(documentation.replace("1. ", ""))]
        known += re.findall(r"^\d\. \w+\((.*)\) -> ", documentation, re.MULTILINE)
        given = [p for p in inspect.signature(function).parameters if p != "self"]
        names = [re.findall(r"(\w+): ", arguments) for arguments in known]
        # pybind11 calls an argument without a name arg0, and self: typed.
        assert any(set(given) <= set(n) for n in names) or not given, (member, given, names)


@pytest.mark.parametrize(
    "class_",
    [
        c
        for c in stand_in_tensorrt.CLASSES
        if issubclass(c, enum.Enum)
        # Its number is that of TensorRT 10, which alone needs it.
        and c is not stand_in_tensorrt.NetworkDefinitionCreationFlag
    ],
    ids=lambda c: c.__name__,
)
def test_enumerations_have_the_real_numbers(class_, rtx):
    real = getattr(rtx, class_.__name__).__members__
    for member in class_:
        assert int(real[member.name]) == member.value, member


def test_severities(rtx):
    real = rtx.ILogger.Severity.__members__
    ours = stand_in_tensorrt.ILogger.Severity.__members__
    assert {n: int(m) for n, m in real.items()} == {n: m.value for n, m in ours.items()}


def test_the_real_library_takes_our_logger(rtx):
    from fiqa_fast.engines.tensorrt.libraries import load_library
    from fiqa_fast.engines.tensorrt.messages import Messages

    messages = Messages(load_library("tensorrt-rtx"))
    builder = rtx.Builder(messages.logger)
    assert (
        builder.build_serialized_network(builder.create_network(0), builder.create_builder_config())
        is None
    )
    assert "Network must have at least one output" in messages.reason()
