"""What must hold of every graph, by name. A check answers what is wrong, nothing if all is well."""

from tests.infra import (
    checks_azure_keeping,
    checks_azure_rights,
    checks_azure_wiring,
    checks_keeping,
    checks_rights,
    checks_wiring,
)

HELPERS = {"role_of", "rows_of"}


def _checks(*modules):
    return {
        name: check
        for module in modules
        for name, check in vars(module).items()
        if callable(check)
        and getattr(check, "__module__", "") == module.__name__
        and not name.startswith("_")
        and name not in HELPERS
    }


CHECKS = _checks(checks_rights, checks_wiring, checks_keeping)
AZURE_CHECKS = _checks(checks_azure_rights, checks_azure_wiring, checks_azure_keeping)
