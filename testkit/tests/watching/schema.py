"""Whether Grafana's own types, of its foundation SDK, know every field of a dashboard: what they do not know they
lose. Arguments are files. Says nothing when all is well."""

import json
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

# Of Prometheus' annotations, which that library does not describe.
FOREIGN = {"step", "textFormat", "titleFormat"}


def differences(ours, theirs, path=""):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key in theirs:
                yield from differences(value, theirs[key], f"{path}/{key}")
            elif value not in (None, False, "", [], {}) and not ("/annotations/list/" in path and key in FOREIGN):
                yield f"{path}/{key} is not known"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for place, pair in enumerate(zip(ours, theirs)):
            yield from differences(*pair, f"{path}/{place}")
    elif ours != theirs:
        yield f"{path} is {ours!r}, taken for {theirs!r}"


register_default_plugins()
wrong = []
for file in sys.argv[1:]:
    with open(file, encoding="utf-8") as content:
        ours = json.load(content)
    wrong += differences(ours, json.loads(JSONEncoder().encode(Dashboard.from_json(ours))), file)
sys.exit("\n".join(wrong) or 0)
