"""Runs the whole program over gRPC, once for each scenario, and holds what it registered against the SDK.

    python run.py REQUEST.json ANSWER.json      (with .venv-infra's Python)

A scenario is a stack's name and configuration, for `pulumi up` or a preview. A plant is a fault that is put into a
graph afterwards, to see whether the checks find it. Each scenario runs in a process of its own: Pulumi's runtime is
one for a whole process.
"""

import asyncio
import contextlib
import copy
import functools
import importlib
import io
import json
import multiprocessing
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import lint
import pulumi
import spared
import strict
from monitor import Engine, Monitor, serve
from pulumi.runtime import Settings, configure
from pulumi.runtime.stack import run_in_stack

PATIENCE_S = 60
METHOD = "spawn" if sys.platform == "darwin" else "fork"  # what has been loaded is there at once, where that is safe


def main(request_file, answer_file):
    """Run all scenarios and check their graphs, and those with faults planted in them."""
    asked = json.loads(Path(request_file).read_text())
    context = multiprocessing.get_context(METHOD)
    spared.spare()
    _load(Path(asked["program"]), asked["cloud"])
    running = []
    for scenario in asked["scenarios"]:
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_scenario, args=(scenario, asked["program"], theirs))
        child.start()
        theirs.close()
        running.append((scenario["name"], child, ours))
    graphs = {name: ours.recv() for name, _, ours in running}
    for _, child, _ in running:
        child.join(PATIENCE_S)
    if not asked.get("checked", True):  # who only wants the graphs waits for nothing else
        Path(answer_file).write_text(json.dumps({"graphs": graphs}))
        return
    checked = dict(graphs)
    for plant in asked["plants"]:
        checked[plant["name"]] = planted(graphs[plant["of"]], plant)
    answer = {
        "graphs": graphs,
        "dynamic": {name: _providers(graph["resources"], asked["program"]) for name, graph in graphs.items()},
        "strict": {name: strict.problems(graph["resources"]) for name, graph in checked.items()},
        "lint": {name: lint.problems(graph["resources"]) for name, graph in checked.items() if not graph["preview"]},
    }
    Path(answer_file).write_text(json.dumps(answer))


DIFFS = """
import base64, dill, json, sys
packed, names = json.loads(sys.stdin.read())
provider = dill.loads(base64.b64decode(packed))
known = dict.fromkeys(names, "1")
found = {name: provider.diff("id", known, known | {name: "2"}) for name in ["", *names] if name not in {"job"}}
print(json.dumps({name: [one.changes, one.replaces] for name, one in found.items()}))
"""


def _providers(resources, program):
    """What our own providers say after they were taken apart and put together again, as Pulumi does it.

    For each of them once: what happens when nothing changes (the empty name), and when each property does.
    """
    packed = {}
    for resource in resources:
        if resource["type"] == "pulumi-python:dynamic:Resource":
            names = sorted(name for name in resource["object"] if name != "__provider")
            packed.setdefault(resource["object"]["__provider"]["value"], names)
    return [_diffs(json.dumps(pair), program) for pair in packed.items()]


@functools.cache
def _diffs(asked, program):
    done = subprocess.run(
        [sys.executable, "-c", DIFFS], input=asked, text=True, capture_output=True, cwd=program, check=False
    )
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr[-1000:]


def planted(graph, plant):
    """A graph in which one input of one resource is another one (`null`: is missing)."""
    resources = graph["resources"]
    (at,) = (n for n, r in enumerate(resources) if (r["type"], r["name"]) == (plant["type"], plant["resource"]))
    resource = copy.deepcopy(resources[at])
    *way, last = plant["path"]
    place = resource["object"]
    for step in way:
        place = place[step]
    if plant["value"] is None:
        del place[last]
    else:
        place[last] = plant["value"]
    return graph | {"resources": [*resources[:at], resource, *resources[at + 1 :]]}


SDKS = {"aws": "pulumi_aws", "azure": "pulumi_azure_native"}


def _load(program, cloud):
    """Load the program and what it will need of the SDK, which takes seconds, once before the processes part."""
    sys.path[:0] = [str(program), str(program.parent / "shared")]
    importlib.import_module("watchkeeper_infra.program")
    source = "".join(file.read_text() for file in program.rglob("*.py"))
    for module, name in sorted(set(re.findall(rf"\b{cloud}\.(\w+)\.([A-Z]\w+)", source))):
        getattr(importlib.import_module(f"{SDKS[cloud]}.{module}"), name)


def _scenario(scenario, program, answer):
    """One run of the program, as Pulumi's language host does it."""
    monitor, engine = Monitor(scenario["stack"], scenario["preview"]), Engine()
    server, address = serve(monitor, engine)
    os.environ["PULUMI_CONFIG"] = json.dumps(scenario["config"])
    os.environ["PULUMI_CONFIG_SECRET_KEYS"] = json.dumps(scenario["secret"])
    settings = {"project": "watchkeeper", "stack": scenario["stack"], "monitor": address, "engine": address}
    configure(Settings(**settings, parallel=16, dry_run=scenario["preview"]))
    sys.path[0] = program  # as `python program` has it
    os.chdir(program)
    error, noise = "", io.StringIO()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        with contextlib.redirect_stderr(noise):
            loop.run_until_complete(run_in_stack(lambda: runpy.run_path(program, run_name="__main__")))
    except pulumi.RunError as wrong:
        error = str(wrong)
    except Exception as wrong:  # noqa: BLE001 - whatever it is, the test shows it
        error = f"{type(wrong).__name__}: {wrong}\n{noise.getvalue()[-3000:]}"
    found = {"resources": monitor.resources, "outputs": monitor.outputs, "invoked": monitor.invoked}
    answer.send(
        found | {"preview": scenario["preview"], "error": error, "logs": [log for log in engine.logs if log[0] > 1]}
    )
    server.stop(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
