#!/usr/bin/env python3
"""variables.py [DOCUMENT]: the table of all variables, from their definitions. Needs the hcl2 that checkov brings.

With a DOCUMENT it says instead whether the document holds the table as it is, and exits with 1 if it does not.
"""
import json
import pathlib
import re
import sys

import hcl2

HERE = pathlib.Path(__file__).resolve().parent


def default_of(variable):
    """The default as one would write it; that of an object is what its fields have."""
    if "default" not in variable:
        return "required"
    default = variable["default"][0]
    if default == {}:
        fields = re.findall(r"'(\w+)': '\$\{optional\(\w+,(\"[^\"]*\"|[^)]*)\)\}'", variable["type"][0])
        return "`{ " + ", ".join(f"{name} = {value.replace('False', 'false').replace('True', 'true')}" for name, value in fields) + " }`" if fields else "`{}`"
    return f"`{json.dumps(default)}`"


def rows():
    for path in sorted(HERE.glob("variables*.tf")):
        for each in hcl2.loads(path.read_text())["variable"]:
            for name, variable in each.items():
                what = variable["description"][0].replace('\\"', '"').replace("|", "\\|")
                yield f"| `{name}` | {default_of(variable)} | {what} |"


def main():
    table = "\n".join(["| variable | default | what |", "|---|---|---|", *rows()])
    if len(sys.argv) == 1:
        print(table)
    elif table not in pathlib.Path(sys.argv[1]).read_text():
        print(f"{sys.argv[1]} does not have the table of variables that variables.py prints", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
