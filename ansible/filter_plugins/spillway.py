"""Filters for Spillway's own configuration: TOML from variables.

Pure. The tests are in tests/unit; they read what is written here with Python's own tomllib.
"""

import json
import re

from ansible.errors import AnsibleFilterError


def to_toml(config):
    """A configuration as TOML: a dictionary of tables, each a dictionary, or a list of dictionaries for [[table]].

    Values are strings, numbers, truth values, lists and, inline, dictionaries. None leaves a setting out.
    """
    if not isinstance(config, dict):
        raise AnsibleFilterError(f"to_toml: a configuration is a dictionary of tables, not {type(config).__name__}")
    blocks = []
    for name, table in config.items():
        if table is None:
            continue
        is_many = isinstance(table, list)
        for one in table if is_many else [table]:
            if not isinstance(one, dict):
                raise AnsibleFilterError(f"to_toml: {name} must be a table, not {one!r}")
            head = f"[[{_key(name)}]]" if is_many else f"[{_key(name)}]"
            blocks.append("\n".join([head, *_lines(one)]))
    return "\n\n".join(blocks) + "\n"


def merge_tables(config, over):
    """A configuration with another one over it, setting by setting; a list of tables replaces the whole table."""
    merged = dict(config)
    for name, table in over.items():
        both = isinstance(table, dict) and isinstance(merged.get(name), dict)
        merged[name] = {**merged[name], **table} if both else table
    return merged


def _lines(table):
    return [f"{_key(key)} = {_value(value)}" for key, value in table.items() if value is not None]


def _key(key):
    return str(key) if re.fullmatch(r"[A-Za-z0-9_-]+", str(key)) else _string(str(key))


def _string(text):
    # JSON's strings are TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items() if one is not None)
        return "{ " + pairs + " }" if pairs else "{}"
    if isinstance(value, str):
        return _string(str(value))
    raise AnsibleFilterError(f"to_toml: no TOML for {value!r}")


class FilterModule:
    """For Ansible."""

    def filters(self):
        """The filters by name."""
        return {"merge_tables": merge_tables, "to_toml": to_toml}
