"""What Pulumi's runtime does for engines of other kinds, and no test asks for: spared, it was two thirds of a run.

Nothing of it is among the inputs, options and dependencies that a resource is registered with.
"""

import pulumi
from pulumi.runtime import resource
from pulumi.runtime.proto import source_pb2


async def no_aliases(*_args):
    """The names of a type in other versions of the SDK, a dozen for each resource of Azure's."""
    return []


def spare():
    """For this process, and those that part from it."""
    resource.prepare_aliases = no_aliases
    pulumi.resource.collapse_alias_to_urn = lambda *_args: ""  # for who takes no specifications of them
    resource._get_stack_trace = source_pb2.StackTrace  # which line of the program it was
    pulumi.log.debug = lambda *_args, **_more: None  # a call of the engine for each line
