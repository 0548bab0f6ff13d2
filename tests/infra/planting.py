"""Faults to plant in a graph that was recorded: what was registered, spoilt in one place."""


def fits(made, kind, ending):
    return (
        made.get("custom") and f":{made['type']}".endswith((f":{kind}", f"/{kind}")) and made["name"].endswith(ending)
    )


def change(kind, ending, /, **inputs):
    """Other inputs of one resource; None takes one away."""

    def plant(made):
        found = [r for r in made["resources"] if fits(r, kind, ending)]
        for key, value in inputs.items():
            if value is None:
                found[0]["object"].pop(key)
            else:
                found[0]["object"][key] = value

    return plant


def inside(kind, ending, *way, **inputs):
    """Other inputs deeper in one resource; None takes one away."""

    def plant(made):
        place = next(r for r in made["resources"] if fits(r, kind, ending))["object"]
        for step in way:
            place = place[step]
        for key, value in inputs.items():
            place.pop(key, None) if value is None else place.__setitem__(key, value)

    return plant


def drop(kind, name):
    """One resource is not there."""

    def plant(made):
        found = next(r for r in made["resources"] if fits(r, kind, name))
        made["resources"].remove(found)

    return plant


def register(name, **registration):
    """One resource was registered in another way."""

    def plant(made):
        next(r for r in made["resources"] if f"::{r['name']}" in r["urn"] and r["urn"].endswith(name)).update(
            registration
        )

    return plant
