#!/usr/bin/env python3
"""Makes the Grafana dashboards beside it: python3 make.py. With --check it changes nothing, and fails when a file is
not what it would write. Needs nothing but Python.

What is the same in all panels is said once here; what each shows is in OPERATIONS and CITIES. testkit's test
`watching` has a real Prometheus evaluate every expression against the running programs.
"""

import json
import pathlib
import sys

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# For Grafana 10.4 and later.
SCHEMA = 39
GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"

D = 'instance=~"$daemon"'
C = 'instance=~"$consumer"'


# What is asked once, and not for each point of a plot: in which form.
ONCE = {"table": "table", "bargauge": "time_series"}


def target(ref, expr, legend, once=None):
    made = {"refId": ref, "datasource": DATASOURCE, "expr": expr, "legendFormat": legend}
    return made | ({"instant": True, "range": False, "format": once} if once else {"range": True})


def panel(kind, title, about, queries, unit, width, height, options, custom=None, steps=None, mappings=None, **more):
    """`queries` are pairs of expression and legend."""
    defaults = {"unit": unit, "custom": custom or {}, "mappings": mappings or []}
    defaults["thresholds"] = {"mode": "absolute", "steps": steps or [{"value": None, "color": GREEN}]}
    if "no_value" in more:
        defaults["noValue"] = more["no_value"]
    if kind == "timeseries":
        defaults["color"] = {"mode": "palette-classic"}
        defaults["min"] = 0
    targets = [target(chr(ord("A") + n), expr, legend, ONCE.get(kind)) for n, (expr, legend) in enumerate(queries)]
    made = {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": DATASOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": more.get("overrides", [])},
        "options": options,
        "gridPos": {"w": width, "h": height},
    }
    return made | ({"transformations": more["transformations"]} if "transformations" in more else {})


def plot(title, about, queries, unit="short", width=8, height=8, stacked=False):
    custom = {"fillOpacity": 20 if stacked else 5, "lineWidth": 1, "showPoints": "never", "spanNulls": False}
    custom["stacking"] = {"mode": "normal" if stacked else "none", "group": "A"}
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel("timeseries", title, about, queries, unit, width, height, options, custom)


def figure(title, about, expr, unit="short", steps=None, mappings=None, no_value="no data", width=3):
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background",
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "textMode": "value",
    }
    return panel(
        "stat", title, about, [(expr, title)], unit, width, 4, options, None, steps, mappings, no_value=no_value
    )


def states(title, about, queries, mappings, steps, width=24, height=5):
    options = {
        "mergeValues": True,
        "showValue": "auto",
        "alignValue": "left",
        "rowHeight": 0.8,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    custom = {"fillOpacity": 70, "lineWidth": 0}
    return panel("state-timeline", title, about, queries, "short", width, height, options, custom, steps, mappings)


def bars(title, about, expr, legend, width=12, height=12):
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "displayMode": "basic",
        "orientation": "horizontal",
        "showUnfilled": True,
        "minVizWidth": 8,
        "minVizHeight": 10,
        "valueMode": "color",
    }
    return panel("bargauge", title, about, [(expr, legend)], "short", width, height, options)


def table(title, about, queries, names, width=12, height=12, units=None, hidden=()):
    """`names` are those of the columns, by what Prometheus calls them."""
    hide = {name: True for name in ("Time", "__name__", "job", *hidden)}
    overrides = [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}]}
        for name, unit in (units or {}).items()
    ]
    options = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": ["sum"], "countRows": False}}
    transformations = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": hide, "indexByName": {}, "renameByName": names}},
    ]
    return panel(
        "table", title, about, queries, "short", width, height, options, transformations=transformations, overrides=overrides
    )


def text(content, height=4):
    return {
        "type": "text",
        "title": "",
        "options": {"mode": "markdown", "content": content, "code": {"language": "plaintext", "showLineNumbers": False, "showMiniMap": False}},
        "gridPos": {"w": 24, "h": height},
    }


def heading(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": 24, "h": 1}}


def laid_out(panels):
    """From left to right, then down."""
    x = y = tallest = 0
    for number, each in enumerate(panels, 1):
        place = each["gridPos"]
        if x + place["w"] > 24:
            x, y, tallest = 0, y + tallest, 0
        each["id"] = number
        each["gridPos"] = {"x": x, "y": y, **place}
        x, tallest = x + place["w"], max(tallest, place["h"])
    return panels


def words(**values):
    """What is shown instead of a number: the number after the _, a text and a colour."""
    options = {key[1:]: {"text": text, "color": color, "index": n} for n, (key, (text, color)) in enumerate(values.items())}
    return [{"type": "value", "options": options}]


def above(*pairs):
    return [{"value": None, "color": GREEN}] + [{"value": value, "color": color} for value, color in pairs]


def choice(name, label, query, several=True):
    shared = {"name": name, "label": label, "type": "query", "datasource": DATASOURCE, "hide": 0, "skipUrlSync": False}
    asked = {"query": {"query": query, "refId": name}, "refresh": 2, "regex": "", "sort": 1, "options": []}
    if several:
        return shared | asked | {"multi": True, "includeAll": True, "allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]}}
    return shared | asked | {"multi": False, "includeAll": False, "current": {}}


def fixed(name, label, values):
    options = [{"text": value, "value": value, "selected": value == values[0]} for value in values]
    shared = {"name": name, "label": label, "type": "custom", "hide": 0, "skipUrlSync": False, "multi": False}
    return shared | {"includeAll": False, "query": ",".join(values), "options": options, "current": options[0]}


def dashboard(uid, title, about, since, variables, panels):
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}
    source |= {"skipUrlSync": False, "multi": False, "includeAll": False, "refresh": 1, "regex": "", "options": [], "current": {}}
    changes = {
        "name": "Alerts of Spillway",
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": RED,
        "target": {"limit": 100, "matchAny": False, "tags": [], "type": "dashboard"},
        "expr": 'ALERTS{alertname=~"Spillway.*", alertstate="firing"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{instance}} {{source}} {{partition}}",
        "step": "1m",
    }
    links = [{"title": "Spillway", "type": "dashboards", "tags": ["spillway"], "asDropdown": False, "includeVars": True,
              "keepTime": True, "targetBlank": False, "icon": "dashboard", "tooltip": "", "url": ""}]
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["spillway"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": since, "to": "now"},
        "templating": {"list": [source, *variables]},
        "annotations": {"list": [changes]},
        "links": links,
        "panels": laid_out(panels),
    }


def rate(name, where=D, by="instance"):
    return f"sum by ({by}) (rate(spillway_{name}{{{where}}}[$__rate_interval]))"


def quantile(share, name, where, by="instance"):
    return f"histogram_quantile({share}, sum by ({by}, le) (rate(spillway_{name}_bucket{{{where}}}[$__rate_interval])))"


ROOM = f"spillway_spool_room_bytes{{{D}}}"
FILLS = f"deriv({ROOM}[15m]) < 0 and spillway_spool_records{{{D}}} > 0"
DRAINS = f"(rate(spillway_replayed_records_total{{{D}}}[5m]) - rate(spillway_spooled_records_total{{{D}}}[5m]))"
YES_IS_BAD = words(_0=("no", GREEN), _1=("yes", RED))

NOW = [
    figure("Kafka", "Whether every daemon reaches Kafka.", f'min(spillway_breaker_state{{{D}, state="closed"}})',
           steps=[{"value": None, "color": RED}, {"value": 1, "color": GREEN}],
           mappings=words(_0=("away", RED), _1=("reached", GREEN))),
    figure("On disk", "Records that wait on disk.", f"sum(spillway_spool_records{{{D}}})", steps=above((1, YELLOW))),
    figure("Disk full in", "At the pace of the last 15 minutes, the first of them.", f"min({ROOM} / (- deriv({ROOM}[15m])) and {FILLS})", "s",
           [{"value": None, "color": RED}, {"value": 21600, "color": YELLOW}, {"value": 86400, "color": GREEN}], no_value="does not fill"),
    figure("Lost", "Dropped, damaged on disk, or without a fate, since the starts. Dead letters are kept, so they are none.",
           f'sum(spillway_dropped_records_total{{{D}, reason!="refused"}}) + sum(spillway_unaccounted_records_total{{{D}}})'
           f" + sum(spillway_spool_quarantined_records_total{{{D}}})", steps=above((1, RED))),
    figure("Dead letters", "In spools, waiting for an operator.", f"sum(spillway_dead_letters_waiting{{{D}}})", steps=above((1, YELLOW))),
    figure("Consumer lag", "Records in the topic and not read yet.", f"sum(spillway_consumer_lag_records{{{C}}})",
           steps=above((100_000, YELLOW), (10_000_000, RED)), no_value="not known"),
    figure("Newest window", "How long ago the newest final windows end.", f"min(spillway_consumer_frontier_lag_milliseconds{{{C}}}) / 1000", "s",
           above((900, YELLOW), (3600, RED)), no_value="none yet"),
    figure("Alerts", "Of Spillway, firing.", 'count(ALERTS{alertname=~"Spillway.*", alertstate="firing"}) or vector(0)', steps=above((1, RED))),
]

DAEMON = [
    heading("The daemon"),
    plot("In and out", "Received, acknowledged by Kafka straight from memory, written to disk, and acknowledged from disk.",
         [(rate("received_records_total"), "{{instance}} in"), (rate("acked_records_total"), "{{instance}} out"),
          (rate("spooled_records_total"), "{{instance}} to disk"), (rate("replayed_records_total"), "{{instance}} from disk")],
         "cps", 16),
    plot("Bytes in", "Of the records.", [(rate("received_bytes_total"), "{{instance}}")], "Bps"),
    states("Breaker", "Closed: records go to Kafka. Open: to disk. Half open: a few are tried.",
           [(f'sum by (instance) (spillway_breaker_state{{{D}, state="half_open"}}) + 2 * sum by (instance) (spillway_breaker_state{{{D}, state="open"}})', "{{instance}}")],
           words(_0=("closed", GREEN), _1=("half open", YELLOW), _2=("open", RED)), above((1, YELLOW), (2, RED)), 16),
    plot("Breaker opened", "How often, in each 5 minutes.", [(f"increase(spillway_breaker_opened_total{{{D}}}[5m])", "{{instance}}")], height=5),
    plot("Spool: records", "That wait on disk.", [(f"spillway_spool_records{{{D}}}", "{{instance}}")]),
    plot("Spool: bytes", "Of its segments, and how many more it may write.",
         [(f"spillway_spool_disk_bytes{{{D}}}", "{{instance}} used"), (ROOM, "{{instance}} room")], "bytes"),
    plot("Spool: oldest record", "How long it has waited.", [(f"spillway_spool_oldest_milliseconds{{{D}}} / 1000", "{{instance}}")], "s"),
    plot("Replay", "Acknowledged from disk, and refused.",
         [(rate("replayed_records_total"), "{{instance}}"), (rate("replay_refused_records_total"), "{{instance}} refused")], "cps"),
    plot("Spool empty in", "At the pace of the last 5 minutes; nothing while it does not become smaller.",
         [(f"spillway_spool_records{{{D}}} / ({DRAINS} > 0)", "{{instance}}")], "s"),
    plot("From receipt to acknowledgement", "Half, and 99 of 100, of the records straight from memory; and 99 of 100 of those that were on disk.",
         [(quantile(0.5, "delivery_seconds", D + ', path="direct"'), "{{instance}} p50"), (quantile(0.99, "delivery_seconds", D + ', path="direct"'), "{{instance}} p99"),
          (quantile(0.99, "delivery_seconds", D + ', path="disk"'), "{{instance}} p99 from disk")], "s"),
    plot("In memory", "In the queue, and handed to Kafka without an acknowledgement.",
         [(f"spillway_queue_records{{{D}}}", "{{instance}} queue"), (f"spillway_in_flight_direct_records{{{D}}}", "{{instance}} in flight"),
          (f"spillway_in_flight_replay_records{{{D}}}", "{{instance}} in flight from disk")]),
    plot("Queue: bytes", "", [(f"spillway_queue_bytes{{{D}}}", "{{instance}}")], "bytes"),
    plot("At risk", "Records that a kill -9 would lose right now.", [(f"spillway_at_risk_records{{{D}}}", "{{instance}}")]),
    plot("Dropped", "Records, by reason. refused: kept as dead letters.",
         [(rate("dropped_records_total", by="instance, reason"), "{{instance}} {{reason}}")], "cps"),
    plot("Dead letters", "Kept, by place; sent again, deleted, and waiting.",
         [(rate("dead_letters_total", by="instance, place"), "{{instance}} to {{place}}"), (rate("dead_letters_retried_total"), "{{instance}} sent again"),
          (rate("dead_letters_deleted_total"), "{{instance}} deleted"), (f"spillway_dead_letters_waiting{{{D}}}", "{{instance}} waiting")]),
    plot("Kafka's worst", "Partitions that are held, and the age of the oldest record in flight.",
         [(f"spillway_held_partitions{{{D}}}", "{{instance}} held partitions"), (f"spillway_in_flight_oldest_milliseconds{{{D}}} / 1000", "{{instance}} oldest in flight, s")]),
    plot("Trouble in the logs", "WARN and ERROR in each 5 minutes, by event: docs/runbook.md explains each.",
         [('sum by (instance, event) (increase(spillway_logged_events_total{instance=~"$daemon|$consumer"}[5m])) > 0', "{{instance}} {{event}}")], width=16),
    states("Disk fails", "Whether the disk takes nothing.", [(f"spillway_spool_failing{{{D}}}", "{{instance}}")], YES_IS_BAD, above((1, RED)), 8, 8),
]

SOURCES = [
    heading("Upstreams"),
    plot("Received", "Records, by source.", [(rate("source_received_records_total", by="instance, source"), "{{instance}} {{source}}")], "cps"),
    states("Connected", "", [(f"spillway_source_connected{{{D}}}", "{{instance}} {{source}}")],
           words(_0=("no", RED), _1=("yes", GREEN)), [{"value": None, "color": RED}, {"value": 1, "color": GREEN}], 8, 8),
    plot("Age of what is received", "By the records' own times.", [(f"spillway_source_lag_milliseconds{{{D}}} / 1000", "{{instance}} {{source}}")], "s"),
    plot("Connections", "Made, and ended or failed by cause, in each 5 minutes.",
         [(f"sum by (instance, source) (increase(spillway_source_connects_total{{{D}}}[5m]))", "{{instance}} {{source}} made"),
          (f"sum by (instance, source, cause) (increase(spillway_source_disconnects_total{{{D}}}[5m])) > 0", "{{instance}} {{source}} {{cause}}")]),
    plot("Gaps", "Spans that were missed and cannot be served again, and how long they are, since the start.",
         [(f"spillway_source_gaps_total{{{D}}}", "{{instance}} {{source}} gaps"), (f"spillway_source_gap_milliseconds_total{{{D}}} / 1000", "{{instance}} {{source}} seconds")]),
    plot("Left out", "Records given twice by the upstream, torn, too long; keep-alives and notices.",
         [(rate(f"source_{what}_total", by="instance, source"), "{{instance}} {{source}} " + name) for what, name in
          (("duplicates", "twice"), ("torn_lines", "torn"), ("too_long_lines", "too long"), ("keep_alives", "keep-alives"), ("notices", "notices"))], "cps"),
]

CONSUMER = [
    heading("The consumer"),
    plot("Read", "Records read, and events counted in windows.",
         [(rate("consumer_read_records_total", C), "{{instance}} read"), (rate("consumer_events_total", C), "{{instance}} counted")], "cps"),
    plot("Lag", "Records that are not read yet, and that are not in the log yet: what a successor would read again.",
         [(f"spillway_consumer_lag_records{{{C}}}", "{{instance}} not read"), (f"spillway_consumer_lag_durable_records{{{C}}}", "{{instance}} not durable")]),
    plot("Lag of each partition", "Records that are not read yet.",
         [(f"max by (partition) (spillway_consumer_partition_lag_records{{{C}}})", "{{partition}}")]),
    plot("Frontier", "How long ago the newest final windows end, and how long it is at most when all is well.",
         [(f"spillway_consumer_frontier_lag_milliseconds{{{C}}} / 1000", "{{instance}}"), (f"max(spillway_consumer_frontier_usual_lag_milliseconds{{{C}}}) / 1000", "at most, usually")], "s"),
    plot("Watermark of each partition", "How long ago it is.",
         [(f"max by (partition) (spillway_consumer_partition_watermark_lag_milliseconds{{{C}}}) / 1000", "{{partition}}")], "s"),
    states("The frontier waits for", "The partition; said by the member that runs the finaliser.",
           [(f"max by (partition) (spillway_consumer_frontier_blocked{{{C}}})", "{{partition}}")], words(_1=("waited for", YELLOW)), above((1, YELLOW)), 8, 8),
    plot("Not counted", "Late: after their window was final. Duplicate: counted before. Quarantined: no event. Replayed: dealt with before. Missed: deleted by Kafka, lost.",
         [(rate(f"consumer_{what}_total", C), "{{instance}} " + name) for what, name in
          (("late_events", "late"), ("duplicate_events", "duplicate"), ("quarantined_records", "quarantined"), ("replayed_records", "replayed"), ("missed_records", "missed"))], "cps", 16),
    plot("Conflicts", "In each 5 minutes: another member had written to the log, or was first with a proposal.",
         [(f"increase(spillway_consumer_log_conflicts_total{{{C}}}[5m])", "{{instance}} log"), (f"increase(spillway_consumer_frontier_conflicts_total{{{C}}}[5m])", "{{instance}} frontier")]),
    plot("Store: time of a request", "Half, and 99 of 100, of the objects that are created; 99 of 100 of those that are read.",
         [(quantile(0.5, "consumer_store_request_seconds", C + ', request="put"'), "{{instance}} put p50"), (quantile(0.99, "consumer_store_request_seconds", C + ', request="put"'), "{{instance}} put p99"),
          (quantile(0.99, "consumer_store_request_seconds", C + ', request="get"'), "{{instance}} get p99")], "s"),
    plot("Store: requests", "By kind, and those that fail.",
         [(rate("consumer_store_request_seconds_count", C, "request"), "{{request}}"), (rate("consumer_store_failed_requests_total", C, "request"), "{{request}} failed")], "reqps"),
    plot("Waiting for the store", "How long something waits to be taken; reading pauses meanwhile.",
         [(f"spillway_consumer_store_waiting_milliseconds{{{C}}} / 1000", "{{instance}} waits"), (f"spillway_consumer_paused{{{C}}}", "{{instance}} paused")], "s"),
    plot("Rows written", "By table.", [(rate("consumer_table_rows_total", C, "table"), "{{table}}")], "cps"),
    plot("Partitions of each member", "Owned; and which one runs the finaliser.",
         [(f"spillway_consumer_partitions{{{C}}}", "{{instance}}"), (f"spillway_consumer_finaliser{{{C}}}", "{{instance}} finaliser")], stacked=True),
    plot("Notifications", "Of final objects, taken and failed.",
         [(rate("consumer_notified_objects_total", C), "{{instance}} taken"), (rate("consumer_notify_failures_total", C), "{{instance}} failed")], "cps"),
]

PROGRAMS = [
    heading("Programs"),
    table("Running", "", [('spillway_build_info{instance=~"$daemon|$consumer"}', ""), ('time() - spillway_start_time_seconds{instance=~"$daemon|$consumer"}', "")],
          {"Value #B": "running for", "Value #A": ""}, 24, 6, {"running for": "s"}, ["Value #A"]),
]

OPERATIONS = dashboard(
    "spillway-operations", "Spillway: operations", "From the upstreams over the daemon's disk and Kafka to the windows of the consumer.", "now-3h",
    [choice("daemon", "Daemon", "label_values(spillway_breaker_state, instance)"), choice("consumer", "Consumer", "label_values(spillway_consumer_ready, instance)")],
    NOW + DAEMON + SOURCES + CONSUMER + PROGRAMS,
)

T = 'table="$table"'


def count(column, where=T, offset=""):
    """Of the finaliser's member; in a change of members two may say it for a moment."""
    return f'max by (group) (spillway_consumer_window_count{{{where}, column="{column}"}}{offset})'


CITIES_ABOUT = (
    "Counts of the newest final window, for the 20 greatest groups of a table. They are taken at its end plus the delay, so they come late by that, and never change.\n"
    "A city that is not among the 20 has no point in that window. After an outage many windows become final at once, and only the newest of them is seen here. "
    "**The tables are the truth**: docs/metrics.md has the same questions in SQL."
)

CITIES = dashboard(
    "spillway-cities", "Spillway: cities", "Counts and trends per city, window by window.", "now-6h",
    [choice("table", "Table", "label_values(spillway_consumer_window_count{group!=\"\"}, table)", False), fixed("window", "Length of its windows", ["5m", "1m", "10m", "15m", "1h"])],
    [
        text(CITIES_ABOUT),
        figure("Newest window ended", "How long ago.", f"time() - max(spillway_consumer_window_end_seconds{{{T}}})", "s", above((1800, YELLOW)), width=6),
        figure("Cities in it", "All of them, not only the greatest 20.", f"max(spillway_consumer_window_groups{{{T}}})", width=6),
        figure("Events in it", "Of the greatest 20 cities.", f"sum({count('events')})", width=6),
        figure("Share of reposts", "Of the greatest 20 cities.", f"sum({count('reposts')}) / sum({count('events')})", "percentunit", width=6),
        bars("Events in the newest window", "By city.", f"sort_desc({count('events')})", "{{group}}"),
        table("The newest window", "By city.", [(count(column), "") for column in ("events", "reposts", "referencing", "unique_actors")],
              {"group": "city", "Value #A": "events", "Value #B": "reposts", "Value #C": "referencing", "Value #D": "different people"}),
        plot("Trend: events", "In each window, by city.", [(count("events"), "{{group}}")], width=12, height=10, stacked=True),
        plot("Trend: different people", "In each window, by city.", [(count("unique_actors"), "{{group}}")], width=12, height=10),
        plot("Trend: reposts", "In each window, by city.", [(count("reposts"), "{{group}}")], width=12, height=10, stacked=True),
        plot("Trend: all events", "In each window of the tables that are not grouped.",
             [('max by (table) (spillway_consumer_window_count{group="", column="events"})', "{{table}}"),
              ('max by (table) (spillway_consumer_window_count{group="", column="unique_actors"})', "{{table}} different people")], width=12, height=10),
        bars("More than an hour before", "Events in the newest window, less those of the window an hour before, by city.",
             f"sort_desc({count('events')} - {count('events', T, ' offset 1h')})", "{{group}}"),
        bars("Events in the time that is shown", "About: one value for each window, as long as windows become final one by one. Exactly: from the table, see docs/metrics.md.",
             f"sort_desc(sum_over_time({count('events')}[$__range:$window]))", "{{group}}"),
    ],
)


def main():
    is_check = sys.argv[1:] == ["--check"]
    for made in (OPERATIONS, CITIES):
        path = pathlib.Path(__file__).with_name(made["uid"] + ".json")
        content = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
        if not is_check:
            path.write_text(content)
        elif not path.exists() or path.read_text() != content:
            sys.exit(f"{path.name} is not what make.py makes")


if __name__ == "__main__":
    main()
