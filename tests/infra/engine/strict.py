"""Holds recorded inputs against the SDK's own classes of arguments: keys, types and enumerations, at any depth.

The provider would say the same, but only in the cloud; a nested dictionary is never checked by Pulumi itself.
"""

import collections.abc as cabc
import enum
import functools
import importlib
import inspect
import sys
import typing

import pulumi
from monitor import SECRET
from pulumi import _types

SDKS = {"aws": "pulumi_aws", "azure-native": "pulumi_azure_native"}
MODULES = {"lambda": "lambda_"}
LISTS, MAPS = (list, cabc.Sequence), (dict, cabc.Mapping)
PRIMITIVE = (str, int, float, bool)
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # what is not known yet, in a preview


def problems(resources):
    """All that does not fit: `type::name.path: what is wrong`."""
    found = []
    for resource in resources:
        arguments = _arguments(resource["type"]) if resource.get("custom") else None
        if arguments is not None:
            place = f"{resource['type']}::{resource['name']}"
            _object(arguments, resource.get("object", {}), place, found)
            if resource.get("object", {}).get("tags") is None and "tags" in inspect.signature(arguments).parameters:
                found.append(f"{place}: takes tags, and has none")
    return found


@functools.cache
def _arguments(token):
    """The class of a resource's arguments; None for what is no resource of a cloud's SDK."""
    package, module, name = token.split(":")
    if package not in SDKS:
        return None
    folder = module.partition("/")[0]
    resource = getattr(importlib.import_module(f"{SDKS[package]}.{MODULES.get(folder, folder)}"), name)
    own = vars(sys.modules[resource.__module__])
    return own.get(f"{name}InitArgs") or own[f"{name}Args"]


def _object(arguments, value, place, found):
    fields = _fields(arguments)
    found += [f"{place}: unknown property {key!r}" for key in value if key not in fields]
    for key, (python_name, required) in fields.items():
        if required and key not in value:
            found.append(f"{place}: missing required {key!r}")
        if python_name and key in value:
            _check(_allowed(arguments, python_name), value[key], f"{place}.{key}", found)


@functools.cache
def _fields(arguments):
    """What a class of arguments takes, by Pulumi's name: Python's (empty: held to nothing), and whether it must be."""
    parameters, fields = inspect.signature(arguments.__init__).parameters, {}
    for python_name, key in _types.input_type_py_to_pulumi_names(arguments).items():
        held = python_name in parameters
        fields[key] = (python_name if held else "", held and parameters[python_name].default is inspect.Parameter.empty)
    return fields


@functools.cache
def _allowed(arguments, python_name):
    hint, spaces = arguments.__init__.__annotations__[python_name], _namespace(arguments)
    return tuple(_choices(typing._eval_type(_reference(hint), spaces, spaces)))


def _check(choices, value, place, found):
    if isinstance(value, dict) and SECRET in value:
        value = value.get("value")
    if value is None or value == UNKNOWN:
        return
    objects = [choice for choice in choices if isinstance(choice, type) and choice.__name__.endswith("Args")]
    if objects:
        if isinstance(value, dict):
            found += min((_problems_of(choice, value, place) for choice in objects), key=len)
        elif not (str in choices and isinstance(value, str)):
            found.append(f"{place}: an object is wanted, not {value!r}")
        return
    several = [choice for choice in choices if typing.get_origin(choice) in LISTS + MAPS]
    if several:
        _several(several[0], value, place, found)
    else:
        _simple(choices, value, place, found)


def _problems_of(arguments, value, place):
    found = []
    _object(arguments, value, place, found)
    return found


def _several(hint, value, place, found):
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if not isinstance(value, list if origin in LISTS else dict):
        found.append(f"{place}: a {'list' if origin in LISTS else 'map'} is wanted, not {value!r}")
        return
    for key, item in enumerate(value) if origin in LISTS else value.items():
        _check(tuple(_choices(inner[-1])), item, f"{place}[{key}]", found)


def _simple(choices, value, place, found):
    enums = [choice for choice in choices if isinstance(choice, type) and issubclass(choice, enum.Enum)]
    known = {member.value for choice in enums for member in _members(choice)}
    if enums and value not in known:
        found.append(f"{place}: {value!r} is none of {sorted(known)}")
        return
    wanted = {choice for choice in choices if choice in PRIMITIVE}
    number = isinstance(value, int | float) and not isinstance(value, bool) and wanted & {int, float}
    fits = number or (isinstance(value, str) and str in wanted) or (isinstance(value, bool) and bool in wanted)
    if wanted and not enums and not fits:
        found.append(f"{place}: {value!r} is not of {sorted(kind.__name__ for kind in wanted)}")


def _members(choice):
    """Two enumerations of Azure have one name in its SDK, which has kept the wrong one."""
    if choice.__name__ == "ConditionOperator":
        return sys.modules["pulumi_azure_native.monitor"].Operator
    return choice


def _choices(hint):
    """What a hint allows, without None and what is awaited."""
    if typing.get_origin(hint) in (typing.Union, getattr(typing, "UnionType", typing.Union)):
        for choice in typing.get_args(hint):
            if choice is not type(None) and typing.get_origin(choice) not in (cabc.Awaitable, pulumi.Output):
                yield from _choices(choice)
    else:
        yield hint


def _reference(hint):
    return typing.ForwardRef(hint) if isinstance(hint, str) else hint


@functools.cache
def _namespace(arguments):
    module = sys.modules[arguments.__module__]
    package = sys.modules[arguments.__module__.rpartition(".")[0]]
    return {
        **vars(pulumi),
        "Awaitable": cabc.Awaitable,
        **vars(sys.modules["pulumi.output"]),
        **vars(package),
        **vars(module),
    }
