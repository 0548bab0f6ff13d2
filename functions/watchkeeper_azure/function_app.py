"""Where the worker of Azure Functions begins: it lies at the root of the package that is deployed."""

from watchkeeper_azure.app import open_app

app = open_app()
