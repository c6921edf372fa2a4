#!/usr/bin/env python3
"""extract.py FULL.json: writes schema.json, the part of the AWS provider's schema that this configuration uses.

FULL.json is the schema of a whole provider in the form that provider.py serves: resource_schemas, data_source_schemas,
provider, source. Run it again when a new type of resource comes in.
"""
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent


def used(kind: str) -> set[str]:
    """The types of resources or data sources that the configuration and its modules name."""
    texts = (path.read_text() for path in HERE.parent.rglob("*.tf"))
    return {name for text in texts for name in re.findall(rf'^{kind} "(aws_\w+)"', text, re.M)}


def main() -> None:
    full = json.loads(pathlib.Path(sys.argv[1]).read_text())
    part = {"source": full["source"], "provider": full["provider"]}
    for kind, key in (("resource", "resource_schemas"), ("data", "data_source_schemas")):
        part[key] = {name: full[key][name] for name in sorted(used(kind))}
    lines = json.dumps(part, sort_keys=True, separators=(",", ":"))
    # One type a line, so that a new one is a short diff.
    lines = re.sub(r',("aws_\w+":\{"attributes")', r",\n\1", lines)
    (HERE / "schema.json").write_text(lines + "\n")


if __name__ == "__main__":
    main()
