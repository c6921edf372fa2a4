// The status page: asks the daemon for /status and /history, and draws what they say. It writes text, never HTML.
"use strict";
(() => {
  const HOUR = 3600e3, LEAST = 300e3, POLL = 2000, PATIENCE = 5000, RATE_OVER = 4500, CHANGES = 12;
  const WORDS = { closed: "Closed", half_open: "Half open", open: "Open" };
  const MEANS = { closed: "Kafka takes records", half_open: "trying whether Kafka is back",
    open: "Kafka is away: records go to disk" };
  const $ = (id) => document.getElementById(id);
  const say = (id, value) => { if ($(id).textContent !== value) $(id).textContent = value; };
  const count = (n) => Math.round(n).toLocaleString("en-US");
  const short = (n) => n >= 1e6 ? +(n / 1e6).toPrecision(3) + "M" : n >= 1e4 ? +(n / 1e3).toPrecision(3) + "k" : count(n);
  const records = (n) => count(n) + (n === 1 ? " record" : " records");
  const rate = (n) => n === null ? "-" : (n > 0 && n < 10 ? n.toFixed(1) : count(n)) + "/s";
  const clock = (ms, how) => new Date(ms).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", ...how });
  const exact = (ms) => clock(ms, { second: "2-digit" });
  const bytes = (n) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    const unit = n < 1 ? 0 : Math.min(4, Math.floor(Math.log2(n) / 10));
    return (n / 1024 ** unit).toFixed(unit ? 1 : 0) + " " + units[unit];
  };
  const span = (ms) => {
    const s = Math.max(0, Math.round(ms / 1000)), m = Math.floor(s / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
    return d ? d + " d " + h % 24 + " h" : h ? h + " h " + m % 60 + " m" : m ? m + " m " + s % 60 + " s" : s + " s";
  };

  // What is known: samples and changes, oldest first; the daemon's clock; when it was last heard.
  let points = [], changes = [], every = 5000, skew = 0, seen = null, status = null, error = "", cursor = null;
  const now = () => Date.now() + skew;

  // A time without samples, or another run of the daemon, whose counts begin anew.
  const torn = (a, b) => a.run !== b.run || b.t - a.t > 3 * every;
  const slope = (a, b, of) => !a || !b || torn(a, b) || b.t <= a.t ? null : Math.max(0, b[of] - a[of]) / (b.t - a.t) * 1e3;

  function learn(report, said) {
    skew = said.at_ms - Date.now();
    every = report.every_ms;
    // What comes after the daemon's present was before its clock was set back.
    points = points.filter((p) => p.t <= report.at_ms && p.t > report.at_ms - HOUR - every);
    changes = changes.filter((c) => c.at_ms <= said.at_ms && c.at_ms > said.at_ms - HOUR);
    const s = report.samples, last = points.length ? points[points.length - 1].t : 0;
    s.at_ms.forEach((t, i) => t > last && points.push({ t, run: report.started_ms, breaker: s.breaker[i], in: s.received[i],
      out: s.delivered[i], disk: s.spool_records[i], bytes: s.spool_bytes[i] }));
    const known = changes.length ? changes[changes.length - 1].at_ms : 0;
    said.breaker_history.forEach((c) => c.at_ms > known && changes.push(c));
    status = said;
  }

  function present() {
    const c = status.counts;
    return { t: status.at_ms, run: status.started_ms, breaker: status.breaker, in: c.received, out: c.acked + c.replayed,
      disk: status.spool.records, bytes: status.spool.bytes };
  }

  function figures() {
    const s = status, c = s.counts, here = present();
    const before = points.filter((p) => p.t <= here.t - RATE_OVER).pop() || points[0];
    const change = s.breaker_history[s.breaker_history.length - 1];
    say("id", s.id);
    say("version", "version " + s.version);
    say("uptime", "up " + span(s.at_ms - s.started_ms));
    say("breaker", WORDS[s.breaker] || s.breaker);
    say("why", (MEANS[s.breaker] || "") + "; for " + span(s.at_ms - (change ? change.at_ms : s.started_ms)) + "; opened "
      + count(s.breaker_opened) + (s.breaker_opened === 1 ? " time" : " times"));
    $("state").dataset.state = s.breaker;
    say("in", rate(slope(before, here, "in")));
    say("received", records(c.received));
    say("out", rate(slope(before, here, "out")));
    say("delivered", records(c.acked + c.replayed));
    say("spool", count(s.spool.records));
    const down = !before || torn(before, here) ? 0 : (before.disk - here.disk) / (here.t - before.t);
    say("spool-more", "records, " + bytes(s.spool.bytes) + (here.disk && down > 0 ? ", empty in about " + span(here.disk / down) : ""));
    say("queue", count(s.queue.records));
    say("queue-more", "records, " + bytes(s.queue.bytes) + ", " + Math.round(s.queue.fill * 100) + "% full");
    const flight = s.in_flight.direct + s.in_flight.replay;
    say("flight", count(flight));
    say("flight-more", "records" + (flight ? ", oldest " + count(s.in_flight.oldest_ms) + " ms" : ""));
    say("risk", count(s.at_risk_records));
    say("dead", count(s.spool.dead_letters));
    say("dead-more", "here; " + count(c.dead_topic) + " went to a topic");
    const lost = [...c.dropped, s.spool.dropped_oldest].filter((d) => d.records && d.reason !== "refused");
    say("dropped", count(lost.reduce((sum, d) => sum + d.records, 0)));
    say("dropped-more", lost.length ? lost.map((d) => d.reason + " " + count(d.records)).join(", ") : "none given up");
  }

  function list(id, items, make) {
    $(id).replaceChildren(...items.map((item) => make(item)));
  }
  const element = (name, ...inside) => {
    const made = document.createElement(name);
    made.append(...inside);
    return made;
  };

  function alerts() {
    const s = status, found = [];
    if (s.spool.problem) found.push("The disk takes nothing: " + s.spool.problem);
    if (s.held_partitions.length) found.push("Held back, " + s.held_partitions.length + ": " + s.held_partitions.join(", "));
    if (s.spool.quarantined_records) found.push(records(s.spool.quarantined_records) + " lost in damaged frames of the spool");
    if (s.counts.unaccounted) found.push(records(s.counts.unaccounted) + " ended without a fate: a bug");
    list("alerts", found, (text) => element("li", text));
  }

  function tables() {
    // On a phone each cell has its head beside it.
    const heads = [...$("sources").tHead.rows[0].cells].map((head) => head.textContent);
    const cell = (text, column) => {
      const made = element("td", text);
      made.dataset.head = heads[column];
      return made;
    };
    const row = (s) => element("tr", ...[s.name, s.connected ? "connected" : s.ended ? "ended" : "away", count(s.received),
      s.lag_ms === null ? "-" : count(s.lag_ms) + " ms", count(s.connects),
      s.gaps ? s.gaps + " gaps, " + span(s.gap_ms) : "nothing", s.last_error || "-"].map(cell));
    $("sources").tBodies[0].replaceChildren(...status.sources.map(row));
    const line = (c) => element("li", element("time", exact(c.at_ms)),
      (WORDS[c.from] || c.from) + " \u2192 " + (WORDS[c.to] || c.to) + ": " + c.detail);
    list("changes", changes.slice(-CHANGES).reverse(), line);
    if (!changes.length) $("changes").append(element("li", "none in the last hour"));
  }

  const SVG = "http://www.w3.org/2000/svg";
  function shape(svg, name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    svg.append(made);
  }

  // An empty plot of the last hour, or as much of it as there is, and its scale.
  function frame(id, max) {
    const svg = $(id), { width, height } = svg.getBoundingClientRect(), end = now();
    const begin = Math.max(end - HOUR, Math.min(points.length ? points[0].t : end, end - LEAST));
    const left = 44, bottom = height - 18, top = 8;
    const x = (t) => left + (t - begin) / (end - begin) * (width - left - 4);
    const y = (v) => bottom - v / max * (bottom - top);
    svg.replaceChildren();
    svg.setAttribute("viewBox", "0 0 " + width + " " + height);
    const inside = points.filter((p) => p.t >= begin);
    const ends = [...inside.slice(1), { t: end, run: inside.length ? inside[inside.length - 1].run : 0 }];
    inside.forEach((p, i) => ends[i].t - p.t > 3 * every && shape(svg, "rect", { class: "gap", x: x(p.t), y: top,
      width: x(ends[i].t) - x(p.t), height: bottom - top }));
    const step = [1, 2, 5, 10, 15].find((m) => (end - begin) / 6e4 / m <= width / 90) || 30;
    for (let t = Math.ceil(begin / 6e4 / step) * 6e4 * step; t <= end; t += 6e4 * step) {
      if (x(t) < width - 16) shape(svg, "text", { x: x(t), y: height - 4, "text-anchor": "middle" }, clock(t));
      shape(svg, "line", { class: "grid", x1: x(t), x2: x(t), y1: bottom, y2: bottom + 4 });
    }
    return { svg, x, y, begin, end, top, bottom, left, width, inside, time: (px) => begin + (px - left) / (width - left - 4) * (end - begin) };
  }

  function nice(max) {
    const power = 10 ** Math.floor(Math.log10(Math.max(max, 1)));
    return [1, 2, 2.5, 5, 10].map((m) => m * power).find((v) => v >= max) || 10 * power;
  }

  function levels(plot, max) {
    for (const v of max < 2 ? [0, max] : [0, max / 2, max]) {
      shape(plot.svg, "line", { class: "grid", x1: plot.left, x2: plot.width, y1: plot.y(v), y2: plot.y(v) });
      shape(plot.svg, "text", { x: plot.left - 6, y: plot.y(v) + 4, "text-anchor": "end" }, short(v));
    }
  }

  // A line through the values, torn where there are none.
  function line(plot, pairs, name) {
    let path = "";
    pairs.forEach(([t, v], i) => {
      if (v === null) return;
      const joined = i && pairs[i - 1][1] !== null && !pairs[i][2];
      path += (joined ? "L" : "M") + plot.x(t).toFixed(1) + " " + plot.y(v).toFixed(1) + (joined ? "" : "h.1");
    });
    shape(plot.svg, "path", { class: name, d: path });
  }

  function plots() {
    const here = present(), known = status && seen === here.t ? [...points, here] : points;
    const speed = (of) => known.map((p, i) => [p.t, i ? slope(known[i - 1], p, of) : null])
      .filter((pair, i) => i < known.length - 1 || known.length < 2 || known[i].t - known[i - 1].t > every / 2);
    const rates = { in: speed("in"), out: speed("out") };
    const begin = now() - HOUR, fits = ([t, v]) => t >= begin && v !== null;
    const most = nice(Math.max(1, ...[...rates.in, ...rates.out].filter(fits).map((pair) => pair[1])));
    let plot = frame("plot-rates", most);
    levels(plot, most);
    for (const name of ["in", "out"]) line(plot, rates[name].filter(([t]) => t >= plot.begin), name);
    cross(plot);
    const deep = known.filter((p) => p.t >= begin), depth = nice(Math.max(1, ...deep.map((p) => p.disk)));
    plot = frame("plot-spool", depth);
    levels(plot, depth);
    deep.slice(1).forEach((p, i) => torn(deep[i], p) || shape(plot.svg, "path", { class: "area", d: "M" + [[deep[i].t, 0],
      [deep[i].t, deep[i].disk], [p.t, p.disk], [p.t, 0]].map(([t, v]) => plot.x(t).toFixed(1) + " " + plot.y(v).toFixed(1)).join("L") }));
    line(plot, deep.map((p, i) => [p.t, p.disk, i > 0 && torn(deep[i - 1], p)]), "disk");
    cross(plot);
    band(frame("plot-breaker", 1), known);
    const last = (of) => rate(slope(points[points.length - 2], points[points.length - 1], of));
    $("plot-rates").setAttribute("aria-label", "Records a second over the last hour; now in " + last("in") + ", out " + last("out"));
    $("plot-spool").setAttribute("aria-label", "Records on disk over the last hour; now " + count(status.spool.records));
    $("plot-breaker").setAttribute("aria-label", "The breaker over the last hour; now " + (WORDS[status.breaker] || status.breaker));
  }

  // The state from each sample or change on, to the next one.
  function band(plot, known) {
    const tall = { closed: .15, half_open: .55, open: 1 }, spans = [];
    // A step is in force until the next one; two of one state that meet are one span.
    const hold = (state, from, until) => {
      const last = spans[spans.length - 1];
      if (last && last.state === state && last.until === from) last.until = until;
      else if (until > from) spans.push({ state, from, until });
    };
    known.slice(1).forEach((p, i) => {
      if (torn(known[i], p)) return;
      let [state, from] = [known[i].breaker, known[i].t];
      for (const c of changes) {
        if (c.at_ms < from || c.at_ms >= p.t) continue;
        hold(state, from, c.at_ms);
        [state, from] = [c.to, c.at_ms];
      }
      hold(state, from, p.t);
    });
    for (const { state, from, until } of spans.filter((span) => span.until > plot.begin)) {
      const x = plot.x(Math.max(from, plot.begin)), y = plot.y(tall[state] || 0);
      // A short opening is seen, too.
      shape(plot.svg, "rect", { class: state, x, y, width: Math.max(plot.x(until) - x, 1.5), height: plot.bottom - y });
    }
    shape(plot.svg, "line", { class: "grid", x1: plot.left, x2: plot.width, y1: plot.bottom, y2: plot.bottom });
    cross(plot);
  }

  function cross(plot) {
    if (cursor === null || cursor < plot.begin || cursor > plot.end) return;
    shape(plot.svg, "line", { class: "cursor", x1: plot.x(cursor), x2: plot.x(cursor), y1: plot.top, y2: plot.bottom });
  }

  function readout() {
    if (cursor === null || !points.length) return say("readout", "Point at a plot to read it.");
    const i = points.reduce((best, p, n) => Math.abs(p.t - cursor) < Math.abs(points[best].t - cursor) ? n : best, 0);
    const p = points[i], of = (name) => rate(slope(points[i - 1], p, name));
    if (Math.abs(p.t - cursor) > 2 * every) return say("readout", exact(cursor) + ": no data");
    say("readout", exact(p.t) + ": in " + of("in") + ", out " + of("out") + ", on disk " + records(p.disk) + " (" + bytes(p.bytes)
      + "), breaker " + (WORDS[p.breaker] || p.breaker).toLowerCase());
  }

  function draw() {
    const away = error !== "";
    document.body.classList.toggle("away", away);
    const ago = status ? "last seen " + exact(seen) + ", " + span(now() - seen) + " ago; " : "";
    say("link", away ? "away: " + ago + "trying again (" + error + ")" : status ? "live " + exact(now()) : "connecting");
    document.title = (away ? "away" : status ? (WORDS[status.breaker] || status.breaker) : "") + " - spillwayd " + (status ? status.id : "");
    if (!status) return;
    plots();
    readout();
  }

  async function ask(path) {
    const response = await fetch(path, { signal: AbortSignal.timeout(PATIENCE), cache: "no-store" });
    if (!response.ok) throw new Error(path + ": status " + response.status);
    return response.json();
  }

  async function look() {
    const last = points.length ? points[points.length - 1].t : 0;
    try {
      const said = await ask("status");
      // After the clock was set back: all of it once more.
      learn(await ask(last > said.at_ms ? "history" : "history?after=" + last), said);
      [seen, error] = [said.at_ms, ""];
      figures();
      alerts();
      tables();
    } catch (problem) {
      error = problem.name === "TimeoutError" ? "no answer" : problem.message;
    }
    draw();
  }

  async function loop() {
    // A page that nobody sees costs the daemon nothing.
    if (!document.hidden) await look();
    setTimeout(loop, POLL);
  }

  for (const id of ["plot-breaker", "plot-rates", "plot-spool"]) {
    $(id).addEventListener("pointermove", (event) => {
      const box = $(id).getBoundingClientRect(), end = now();
      const begin = Math.max(end - HOUR, Math.min(points.length ? points[0].t : end, end - LEAST));
      cursor = begin + (event.clientX - box.left - 44) / (box.width - 48) * (end - begin);
      draw();
    });
    $(id).addEventListener("pointerleave", () => { cursor = null; draw(); });
  }
  addEventListener("resize", draw);
  loop();
})();
