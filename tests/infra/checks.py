"""What must hold of every graph, by name. A check answers what is wrong, nothing if all is well."""

from tests.infra import checks_keeping, checks_rights, checks_wiring

CHECKS = {
    name: check
    for module in (checks_rights, checks_wiring, checks_keeping)
    for name, check in vars(module).items()
    if callable(check) and getattr(check, "__module__", "") == module.__name__
}
