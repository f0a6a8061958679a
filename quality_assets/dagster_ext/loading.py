"""What the modules of a package define, without what Dagster's own loader of such a folder does beside.

That looks for components of installed packages too, and writes out a schema of each: a quarter of what the graph costs,
in every process.
"""

import warnings
from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages
from types import ModuleType

import dagster as dg
from dagster.components.definitions import LazyDefinitions


def definitions_under(package: ModuleType) -> dg.Definitions:
    """Assets, jobs, schedules and sensors of all modules under `package`, and what their `@dg.definitions` give."""
    with warnings.catch_warnings():
        # Dagster says of each table that its partition mappings are beta, and of its loader that it is a preview.
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        modules = list(_modules(package))
        found = (each for module in modules for each in vars(module).values() if isinstance(each, LazyDefinitions))
        marked = {id(each): each for each in found}
        plain = dg.load_definitions_from_modules(modules)
        return dg.Definitions.merge(plain, *(give() for give in marked.values()))


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in walk_packages(package.__path__, f"{package.__name__}."):
        yield import_module(found.name)
