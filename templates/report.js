"use strict";
// What is on the page lies as data in #data. All of it came from hosts, logs and files: it is put into the page
// as text, and into the plots with everything replaced that Plotly would take for markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const plot = document.getElementById("plot");
  const byId = (id) => document.getElementById(id);
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const LEVELS = ["telling", "trouble", "plain", "debug"];
  const ROWS_MAX = 400;
  const BANDS_MAX = 500;
  const LABELLED_MAX = 20;
  const SIGHTS_MAX = 200;
  let picked = null;
  // What to draw when the script that draws is there.
  let awaited = null;

  // The plots

  const columns = data.columns;
  const times = columns.all.ok.map((_, place) => columns.from_s + place * columns.width_s);
  const seconds = (at) => at.toFixed(1) + " s";

  function series() {
    const of = byId("node").value;
    return of === "all" ? columns.all : columns.nodes[Number(of)];
  }

  function line(name, values, axis, key, more) {
    return Object.assign({
      type: "scatter", mode: "lines", name, x: times, y: values, yaxis: axis,
      line: { color: colour(key), width: 1.6, shape: axis === "y" ? "hv" : "linear" },
    }, more);
  }

  function rateTraces() {
    const of = series();
    const rate = (counts) => counts.map((count) => count / columns.width_s);
    const shown = (name, counts, key) => line(name, rate(counts), "y", key, {
      hovertemplate: "%{y:.4~g}/s " + name + "<extra></extra>",
      visible: counts.some((count) => count > 0) ? true : "legendonly",
    });
    const traces = [shown("ok", of.ok, "ok"), shown("fail", of.fail, "fail"), shown("info", of.info, "info")];
    traces.push(Object.assign(shown("received", of.received, "received"), { visible: "legendonly" }));
    for (const name of ["max", "p99", "p95", "p50"]) {
      const hovertemplate = name + " %{y:.4~g} ms<extra></extra>";
      const mode = of[name].length < 80 ? "lines+markers" : "lines";
      traces.push(line(name, of[name], "y2", name, { hovertemplate, mode, marker: { size: 3 } }));
    }
    return traces;
  }

  function viewTraces() {
    const views = data.views;
    const traces = [];
    if (views.length > 1) {
      const states = ["sees-all", "alarm", "misses", "silent"];
      const scale = states.flatMap((state, place) => [[place / 4, colour(state)], [(place + 1) / 4, colour(state)]]);
      const drawn = views.slice(0, -1);
      traces.push({
        type: "heatmap", yaxis: "y3", showscale: false, showlegend: false, zmin: -0.5, zmax: 3.5, colorscale: scale,
        x: views.map((view) => view.at), y: data.nodes.map((_, node) => node), ygap: 3,
        z: data.nodes.map((_, node) => drawn.map((view) => view.nodes[node].state)),
        text: data.nodes.map((name, node) => drawn.map((view) => plain(name + " " + view.nodes[node].said))),
        hovertemplate: "%{text}<extra></extra>",
      });
    }
    if (data.leaders.length > 0) {
      const words = (led) => plain(data.nodes[led.node] + " leads, it says, " + seconds(led.from) + " to " + seconds(led.until));
      traces.push({
        type: "scatter", mode: "lines+markers", name: "leads the queue, as it says", yaxis: "y3",
        x: data.leaders.flatMap((led) => [led.from, led.until, null]),
        y: data.leaders.flatMap((led) => [led.node, led.node, null]),
        line: { color: colour("leader"), width: 2 },
        marker: { symbol: "star", size: data.leaders.flatMap(() => [data.leaders.length > 20 ? 4 : 10, 1, 1]) },
        text: data.leaders.flatMap((led) => [words(led), words(led), null]),
        hovertemplate: "%{text}<extra></extra>",
      });
    }
    if (data.marks.length > 0) {
      traces.push({
        type: "scatter", mode: "markers", name: "decisions", yaxis: "y3",
        x: data.marks.map(([at]) => at), y: data.marks.map(([, node]) => node),
        marker: { symbol: "diamond", size: 8, color: colour("mark"), line: { color: colour("page"), width: 1 } },
        text: data.marks.map(([at, node, text]) => plain(seconds(at) + " " + data.nodes[node] + ": " + text)),
        hovertemplate: "%{text}<extra></extra>",
      });
    }
    return traces;
  }

  // Whom a node sees, written where there is room for it.
  function sights([from, until]) {
    const written = [];
    const width = Math.max(plot.clientWidth - 80, 200);
    for (const node of data.nodes.keys()) {
      let begun = 0;
      for (let place = 1; place < data.views.length; place += 1) {
        const said = data.views[begun].nodes[node].said;
        const isLast = place === data.views.length - 1;
        if (!isLast && data.views[place].nodes[node].said === said) continue;
        const [left, right] = [Math.max(data.views[begun].at, from), Math.min(data.views[place].at, until)];
        begun = place;
        const text = said.split(";")[0];
        if ((right - left) / (until - from) * width < text.length * 6 + 8) continue;
        written.push({
          x: (left + right) / 2, y: node, xref: "x", yref: "y3", yshift: -8, showarrow: false,
          text: plain(text), font: { size: 10, color: colour("text") },
        });
      }
    }
    return written.slice(0, SIGHTS_MAX);
  }

  function bands([from, until]) {
    const shapes = [];
    const annotations = [];
    const whole = { xref: "x", yref: "paper", y0: 0, y1: 1, layer: "below" };
    const end = times.length > 0 ? times[times.length - 1] + columns.width_s : 0;
    const healed = (fault) => fault.healed === null ? end : fault.healed;
    const inView = data.faults.filter((fault) => fault.first !== null && fault.first <= until && healed(fault) >= from);
    const isFew = inView.length <= LABELLED_MAX;
    for (const fault of inView.slice(0, BANDS_MAX)) {
      const key = fault.proven && fault.heal_proven ? "bad" : "open";
      shapes.push({
        ...whole, type: "rect", x0: fault.first, x1: healed(fault), fillcolor: colour(key), opacity: 0.16,
        line: { color: colour(key), width: isFew ? 1 : 0, dash: fault.proven ? "solid" : "dash" },
      });
      if (!isFew) continue;
      if (fault.asked !== null) {
        shapes.push({ ...whole, type: "line", x0: fault.asked, x1: fault.asked, line: { color: colour("quiet"), width: 1, dash: "dot" } });
      }
      annotations.push({
        x: Math.max(fault.first, from), y: 1, xref: "x", yref: "paper", xanchor: "left", yanchor: "bottom", showarrow: false,
        text: (inView.length > 6 ? "" : "fault ") + fault.number + (fault.proven ? "" : " (not proven)"),
        hovertext: plain(fault.what), font: { size: 11, color: colour(key) },
      });
    }
    let labelled = null;
    for (const stage of data.stages) {
      if (!["heal", "recover", "drain"].includes(stage.name)) continue;
      shapes.push({ ...whole, type: "line", x0: stage.from, x1: stage.from, line: { color: colour("line"), width: 1 } });
      if (stage.name === "heal" || stage.from < from || stage.from > until) continue;
      // Stages that follow closely have one label.
      if (labelled !== null && stage.from - labelled.x < (until - from) * 0.08) {
        labelled.text += ", " + stage.name;
        continue;
      }
      labelled = {
        x: stage.from, y: 0.62, xref: "x", yref: "paper", yanchor: "top", showarrow: false,
        xanchor: stage.from > (from + until) / 2 ? "right" : "left",
        text: stage.name, font: { size: 11, color: colour("quiet") },
      };
      annotations.push(labelled);
    }
    if (picked !== null) {
      shapes.push({ ...whole, layer: "above", type: "line", x0: picked, x1: picked, line: { color: colour("link"), width: 2 } });
    }
    return { shapes, annotations: annotations.concat(sights([from, until])) };
  }

  function loadRange() {
    const load = data.stages.find((stage) => stage.name === "load");
    const from = times.length > 0 ? times[0] : 0;
    const last = times.length > 0 ? times[times.length - 1] + columns.width_s : 1;
    const until = load && load.until !== null ? Math.min(load.until, last) : last;
    const room = Math.max((until - from) * 0.03, 1);
    return [from - room, until + room];
  }

  function axis(title, domain, more) {
    return Object.assign({
      title: { text: title, font: { size: 12 } }, domain, gridcolor: colour("line"), zeroline: false, automargin: true,
    }, more);
  }

  function layout(range) {
    const isNarrow = plot.clientWidth < 600;
    return {
      ...bands(range),
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("text"), family: "system-ui, sans-serif", size: 12 },
      margin: { l: isNarrow ? 44 : 60, r: isNarrow ? 8 : 16, t: isNarrow ? 140 : 56, b: 44 },
      legend: { orientation: "h", x: 0, y: 1.03, yanchor: "bottom" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("quiet"), activecolor: colour("text") },
      hovermode: "x", hoverdistance: 30,
      // A finger scrolls the page; the mode bar lets it zoom.
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      xaxis: {
        range, anchor: "y3", gridcolor: colour("line"), zeroline: false, ticksuffix: " s",
        exponentformat: "none", separatethousands: true,
        showspikes: true, spikemode: "across", spikethickness: 1, spikecolor: colour("quiet"),
      },
      yaxis: axis("operations a second", [0.65, 1], { rangemode: "tozero" }),
      yaxis2: axis("latency of ok (ms)", [0.29, 0.6], { type: "log" }),
      yaxis3: axis("", [0, 0.23], {
        autorange: "reversed", showgrid: false, fixedrange: true,
        tickvals: data.nodes.map((_, node) => node),
        ticktext: data.nodes.map((name) => plain(name.length > 14 ? name.slice(0, 13) + "…" : name)),
      }),
    };
  }

  function shownRange() {
    return plot.layout ? plot.layout.xaxis.range.map(Number) : awaited ?? loadRange();
  }

  function draw(range) {
    if (!window.Plotly) {
      awaited = range;
      return;
    }
    const config = { displaylogo: false, responsive: true, displayModeBar: true, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] };
    Plotly.react(plot, rateTraces().concat(viewTraces()), layout(range), config);
  }

  function show(from, until) {
    const room = Math.max((until - from) * 0.25, 3);
    draw([from - room, until + room]);
    byId("what").scrollIntoView();
  }

  function pick(at) {
    picked = at;
    byId("at").value = at.toFixed(1);
    byId("when").value = "around";
    draw(shownRange());
    showLogs();
  }

  // The logs

  function matcher() {
    const when = byId("when").value;
    let [from, until] = [-Infinity, Infinity];
    if (when === "shown") [from, until] = shownRange();
    if (when === "around") {
      const [at, around] = [Number(byId("at").value), Number(byId("around").value)];
      [from, until] = [at - around, at + around];
    }
    const node = byId("log-node").value;
    const level = Number(byId("level").value);
    const words = byId("search").value.toLowerCase();
    return ([at, of, , worth, text]) => at >= from && at <= until && worth <= level &&
      (node === "all" || of === Number(node)) && (words === "" || text.toLowerCase().includes(words));
  }

  function cell(row, text, name) {
    const cell = row.insertCell();
    cell.textContent = text;
    if (name) cell.className = name;
    return cell;
  }

  function showLogs() {
    const found = data.logs.lines.filter(matcher());
    const body = document.createElement("tbody");
    for (const [at, node, file, level, text] of found.slice(0, ROWS_MAX)) {
      const row = body.insertRow();
      row.className = LEVELS[level];
      const button = document.createElement("button");
      button.textContent = at.toFixed(3) + " s";
      button.title = "show this moment in the plots";
      button.addEventListener("click", () => { picked = at; draw(shownRange()); });
      cell(row, "").append(button);
      cell(row, data.nodes[node], "text");
      cell(row, data.logs.files[file], "text").title = data.logs.files[file];
      cell(row, text, "long");
    }
    byId("log").tBodies[0].replaceWith(body);
    const more = found.length > ROWS_MAX ? ", the first " + ROWS_MAX + " shown: search, or look at a shorter time" : "";
    byId("found").textContent = found.length + " of " + data.logs.lines.length + " lines" + more;
  }

  // What the reader does

  function option(select, value, text) {
    const option = document.createElement("option");
    [option.value, option.textContent] = [value, text];
    select.append(option);
  }

  for (const [place, name] of data.nodes.entries()) {
    option(byId("node"), place, name);
    option(byId("log-node"), place, name);
  }
  byId("node").addEventListener("change", () => draw(shownRange()));
  byId("load").addEventListener("click", () => draw(loadRange()));
  byId("whole").addEventListener("click", () => {
    const last = Math.max(...data.stages.map((stage) => stage.until || stage.from), ...times.slice(-1), 1);
    draw([0, last]);
  });
  for (const id of ["when", "log-node", "level"]) byId(id).addEventListener("change", showLogs);
  for (const id of ["search", "at", "around"]) byId(id).addEventListener("input", showLogs);
  for (const button of document.querySelectorAll("button.show")) {
    button.addEventListener("click", () => show(Number(button.dataset.from), Number(button.dataset.until)));
  }
  for (const button of document.querySelectorAll("button.logs")) {
    button.addEventListener("click", () => { pick(Number(button.dataset.at)); byId("logs").scrollIntoView(); });
  }

  showLogs();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(shownRange()));
  // Paper is light and narrow.
  const paper = matchMedia("print");
  paper.addEventListener("change", () => {
    plot.style.width = paper.matches ? "680px" : "";
    draw(shownRange());
    if (window.Plotly) Plotly.Plots.resize(plot);
  });

  // The script that draws takes longer to read than all the rest, which is there before it.
  addEventListener("load", () => setTimeout(() => {
    const script = document.createElement("script");
    script.textContent = byId("plotly").textContent;
    document.head.append(script);
    script.remove();
    draw(shownRange());
    plot.on("plotly_click", (event) => pick(Number(event.points[0].x)));
    plot.on("plotly_relayout", (change) => {
      if (byId("when").value === "shown") showLogs();
      // Which bands and words are drawn depends on what is in view.
      if (Object.keys(change).some((key) => key.startsWith("xaxis"))) draw(shownRange());
    });
  }));
})();
