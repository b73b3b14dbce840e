"""Check the conda recipe with rattler-build, which makes packages of such recipes.

    pip install py-rattler-build
    python scripts/check_recipe.py

It needs no network. Unknown or misspelt keys, requirements that cannot be read and
unknown licences end it with the parser's message; else it prints what the recipe says
once its variables have values.
"""

from __future__ import annotations

from pathlib import Path

from rattler_build import Stage0Recipe

RECIPE = Path(__file__).parents[1] / "recipe" / "recipe.yaml"


def main() -> None:
    """Parse the recipe, give its variables their values, and print it."""
    for variant in Stage0Recipe.from_file(RECIPE).render():
        rendered = variant.recipe.to_dict()
        print("{name} {version}".format(**rendered["package"]))
        for kind, required in rendered["requirements"].items():
            print(f"{kind}: {', '.join(required)}")


if __name__ == "__main__":
    main()
