"""A deployed package in an empty environment: its path, Microsoft's worker, and an invocation for each line of stdin.

Arguments: the package's folder, the folder of the worker library, functions_worker.py, and the vault's authority. Two
things are not as in production: tokens are made by the test, and the vault's name is not held against them.
"""

import base64
import importlib.util
import json
import os
import sys

package, library, worker_file, authority = sys.argv[1:]
sys.path[:0] = [package, f"{package}/.python_packages/lib/site-packages", library]
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what functions print is no answer


def module_at(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


worker = module_at("functions_worker", worker_file)

from azure.core.credentials import AccessToken  # noqa: E402 - of the package
from azure_functions_runtime import loader  # noqa: E402

from watchkeeper_azure import services  # noqa: E402


class Identity:
    def get_token(self, *scopes, **_more):
        return AccessToken(f"token for {scopes[0]}", 2**40)

    def close(self):
        pass


services.Services.credential = Identity()
services.VAULT_OPTIONS |= {"connection_verify": authority, "verify_challenge_resource": False}
app = worker.FunctionsWorker(list(loader.index_function_app(f"{package}/function_app.py")))
about = {
    "functions": sorted(app.metadata),
    "python": sys.version_info[:2],
    "azure": sys.modules["azure.functions"].__file__,
}
print(json.dumps(about), file=answers, flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    metadata = {name: worker.datum(text, "json") for name, text in asked["metadata"].items()}
    if "bodies" in asked:
        value = worker.event_batch([base64.b64decode(body) for body in asked["bodies"]])
        answer = app.invoke(asked["function"], "events", value, metadata)
    else:
        answer = app.invoke(asked["function"], "timer", worker.datum(asked["timer"], "json"), metadata)
    print(json.dumps({"error": answer.error}), file=answers, flush=True)
