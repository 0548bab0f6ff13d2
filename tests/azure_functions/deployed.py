"""A deployed package in an empty environment: its path, Microsoft's worker, and an invocation for each line of stdin.

Arguments: the package's folder, the folder of the worker library, functions_worker.py, and the vault's authority, or
nothing. Three things are not as in production: tokens are made by the test, the vault's name is not held against them,
and nobody waits before he asks Storage again.
"""

import base64
import importlib.metadata
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
from azure.storage.blob._shared.policies import ExponentialRetry  # noqa: E402
from azure_functions_runtime import loader  # noqa: E402

from watchkeeper_azure import services  # noqa: E402


class Identity:
    def get_token(self, *scopes, **_more):
        return AccessToken(f"token for {scopes[0]}", 2**40)

    def close(self):
        pass


services.Services.credential = Identity()
ExponentialRetry.get_backoff_time = lambda *_: 0.01
if authority:
    services.VAULT_OPTIONS |= {"connection_verify": authority, "verify_challenge_resource": False}
app = worker.FunctionsWorker(list(loader.index_function_app(f"{package}/function_app.py")))
about = {
    "bindings": {name: told.raw_bindings for name, told in app.metadata.items()},
    "python": sys.version_info[:2],
    "azure": [sys.modules["azure.functions"].__file__, importlib.metadata.version("azure-functions")],
}
print(json.dumps(about), file=answers, flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    metadata = {name: worker.read(told) for name, told in asked["metadata"].items()}
    answer = app.invoke(asked["function"], asked["argument"], worker.read(asked["value"]), metadata)
    body = base64.b64encode(answer.value or b"").decode()
    print(json.dumps({"value": body, "error": answer.error, "status": answer.status}), file=answers, flush=True)
