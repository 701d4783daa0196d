// Draws the lab from one state, live (server-sent events) or from the data inside a report.
"use strict";
(() => {
  const root = document.getElementById("lab");
  const POLICIES = ["cpu", "in-flight"];
  const state = { setup: null, columns: null, now: null, decisions: [], results: null, link: "connecting" };
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function element(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key === "class") node.className = value;
      else node.setAttribute(key, value);
    }
    for (const child of children.flat()) if (child != null) node.append(child);
    return node;
  }
  const clock = (seconds) => {
    const whole = Math.max(0, Math.floor(seconds + 0.01));
    return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
  };
  const percent = (ratio, digits = 1) => (ratio == null ? "–" : `${(100 * ratio).toFixed(digits)} %`);
  // A share that is not quite all must not look like all.
  const share = (ratio) => percent(ratio, ratio == null || ratio === 1 || ratio < 0.9995 ? 1 : ratio < 0.99995 ? 2 : 3);
  const seconds = (value) => (value == null ? "–" : value < 10 ? `${value.toFixed(2)} s` : `${value.toFixed(1)} s`);
  const count = (value) => (value == null ? "–" : Math.round(value).toLocaleString("en"));

  // ---- the fixed parts of the page -------------------------------------------------------------------------------
  let parts = null;
  function build() {
    const { setup } = state;
    parts = { figures: {}, pods: {}, decisions: {} };
    parts.status = element("span", { class: "state", role: "status" });
    parts.bar = element("div", { class: "bar" });
    parts.progress = element("div");
    const fleets = element("div", { class: "two" });
    for (const name of POLICIES) {
      const policy = setup.policies.find((one) => one.name === name);
      parts.figures[name] = element("div", { class: "figures" });
      parts.pods[name] = element("div", { class: "pods" });
      fleets.append(
        element("section", { class: `card ${name}`, "aria-label": policy.label },
          element("h2", {}, policy.label), element("p", { class: "lead" }, policy.metric),
          ...(setup.report ? [] : [parts.figures[name], parts.pods[name],
          element("p", { class: "key" }, `One tile a replica: requests running, and bars of its ${setup.batch_limit} seats (running, waiting) and of its KV cache.`)])));
    }
    parts.plots = element("div", { class: "plots" });
    const lists = element("div", { class: "two below" });
    for (const name of POLICIES) {
      const policy = setup.policies.find((one) => one.name === name);
      parts.decisions[name] = element("ol", { class: "decisions", tabindex: "0" });
      lists.append(element("section", { class: `card ${name}` },
        element("h2", {}, `Decisions: ${policy.label}`), parts.decisions[name]));
    }
    parts.results = element("div");
    const notes = element("ul", { class: "notes" }, setup.notes.map((text) => element("li", {}, text)));
    const heading = setup.report ? [] : [element("h1", {}, setup.title), element("p", { class: "lead" }, setup.lead)];
    root.replaceChildren(
      ...heading, parts.bar, element("div", { class: "progress" }, parts.progress), parts.results, fleets, parts.plots,
      lists,
      element("section", { class: "card" }, element("h2", {}, "What this is, and what it is not"), notes));
    buildPlots();
  }

  // ---- plots -----------------------------------------------------------------------------------------------------
  const plots = [];
  const both = (field) => POLICIES.map((name) => ({ name, field: `${name}.${field}`, colour: `--${name}` }));
  const PLOTS = [
    { title: "Load", about: "Requests arriving each second, the same for both fleets.", series: [{ name: "requests/s", field: "load", colour: "--ink" }] },
    { title: "Replicas", about: "Solid: ready. Dashed: asked for by the HPA.",
      series: both("ready").concat(both("replicas").map((one) => ({ ...one, name: `${one.name}, asked`, dash: [5, 4] }))), step: true },
    { title: "Requests waiting", about: "Accepted and not yet running: the queue that users feel.", series: both("waiting") },
    { title: "Time to first token, p95", about: "Of the requests that ended in the last 60 s; a client without a first token gives up after 60 s.", series: both("ttft_p95"), limit: true },
    { title: "Requests running", about: "Summed over the fleet.", series: both("running") },
    { title: "KV cache in use", about: "Mean over the ready replicas.", series: both("kv"), ratio: true },
  ];
  function buildPlots() {
    for (const plan of PLOTS) {
      const box = element("div", { class: "plot" }, element("h2", {}, plan.title), element("p", {}, plan.about));
      const holder = element("div");
      box.append(holder);
      parts.plots.append(box);
      plots.push({ plan, holder, chart: null });
    }
    drawPlots();
    let wide = window.innerWidth;
    window.addEventListener("resize", () => {
      if (window.innerWidth === wide) return;
      wide = window.innerWidth;
      for (const plot of plots) if (plot.chart) plot.chart.setSize({ width: plot.holder.clientWidth, height: 190 });
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      for (const plot of plots) { if (plot.chart) plot.chart.destroy(); plot.chart = null; }
      drawPlots();
    });
  }
  const decade = (value) => (Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-6 ? `${+value.toFixed(2)} s` : "");
  function dataOf(plan) {
    const columns = state.columns || { t: [] };
    const data = [columns.t];
    for (const series of plan.series) data.push(columns[series.field] || columns.t.map(() => null));
    return data;
  }
  function drawPlots() {
    for (const plot of plots) {
      const data = dataOf(plot.plan);
      if (plot.chart) { plot.chart.setData(data, false); rescale(plot); continue; }
      const axis = { stroke: css("--faint"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
      const form = (value) => value == null ? "–" : plot.plan.ratio ? percent(value, 0) : value >= 100 ? count(value) : String(+value.toFixed(2));
      plot.chart = new uPlot({
        width: plot.holder.clientWidth || 400, height: 190,
        scales: { x: { time: false, range: () => [0, state.setup.horizon_seconds] }, y: plot.plan.limit ? { distr: 3, range: () => [0.05, 100] } : { range: (chart, low, high) => [0, ceiling(plot.plan, high)] } },
        axes: [{ ...axis, values: (chart, ticks) => ticks.map(clock), space: 60, incrs: [60, 120, 300, 600, 1200, 3600, 7200] },
               { ...axis, size: 54, grid: plot.plan.limit ? { ...axis.grid, filter: (chart, splits) => splits.map((split) => (decade(split) ? split : null)) } : axis.grid,
                 incrs: plot.plan.limit ? undefined : plot.plan.step ? [1, 2, 4, 8, 16, 32, 64] : undefined,
                 values: (chart, ticks) => ticks.map((tick) => tick == null ? "" : plot.plan.ratio ? percent(tick, 0) : plot.plan.limit ? decade(tick) : tick.toLocaleString("en")) }],
        series: [{ label: "time", value: (chart, value) => value == null ? "–" : clock(value) }].concat(plot.plan.series.map((series) => ({
          label: series.name, stroke: css(series.colour), width: series.dash ? 1.2 : 2, dash: series.dash, points: { show: false },
          paths: plot.plan.step ? uPlot.paths.stepped({ align: 1 }) : undefined, value: (chart, value) => form(value) }))),
        hooks: plot.plan.limit ? { draw: [(chart) => limitLine(chart)] } : {},
        cursor: { drag: { x: false, y: false }, sync: { key: "lab" } },
      }, data, plot.holder);
    }
  }
  function ceiling(plan, high) {
    if (plan.ratio) return 1;
    return Math.max(plan.step ? state.setup.max_replicas : 1, (high || 0) * 1.08);
  }
  function rescale(plot) { plot.chart.batch(() => { plot.chart.setScale("x", { min: 0, max: state.setup.horizon_seconds }); }); plot.chart.redraw(); }
  function limitLine(chart) {
    const y = chart.valToPos(state.setup.slo.ttft_seconds, "y", true);
    const { ctx, bbox } = chart;
    ctx.save();
    ctx.strokeStyle = css("--good"); ctx.setLineDash([4, 4]); ctx.lineWidth = 1.5;
    ctx.beginPath(); ctx.moveTo(bbox.left, y); ctx.lineTo(bbox.left + bbox.width, y); ctx.stroke();
    ctx.textAlign = "left"; ctx.textBaseline = "bottom"; ctx.fillStyle = css("--good"); ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.fillText(`SLO ${state.setup.slo.ttft_seconds} s`, bbox.left + 6 * devicePixelRatio, y - 2);
    ctx.restore();
  }

  // ---- what moves ------------------------------------------------------------------------------------------------
  function figure(label, text, kind) {
    return element("div", { class: `figure ${kind || ""}` }, element("b", {}, text), element("span", {}, label));
  }
  function podTile(pod) {
    if (!pod) return element("div", { class: "pod none", "aria-hidden": "true" });
    const tile = element("div", { class: `pod ${pod.state}`, title: `${pod.name}: ${pod.state}` });
    if (pod.state === "loading") {
      tile.append(element("b", {}, "…"), "loading");
      return tile;
    }
    const limit = state.setup.batch_limit;
    const meter = element("div", { class: "meter" }), memory = element("div", { class: "meter" });
    const bar = (parent, kind, share) => { const node = element("i", { class: kind }); node.style.width = `${Math.min(100, 100 * share)}%`; parent.append(node); };
    bar(meter, "running", pod.running / limit);
    bar(meter, "waiting", pod.waiting / limit);
    bar(memory, "kv", pod.kv);
    tile.append(element("b", {}, String(pod.running)), pod.waiting ? `+${count(pod.waiting)} wait` : pod.state === "draining" ? "draining" : "running", meter, memory);
    return tile;
  }
  function refresh() {
    const { setup, now } = state;
    if (!setup) return;
    if (!parts) build();
    const done = state.results != null;
    parts.status.textContent = done ? (setup.report ? "report" : "finished") : state.link;
    const line = [parts.status];
    if (now) {
      const said = (name, value) => element("span", {}, `${name} `, element("b", {}, value));
      line.push(said("model time", `${clock(now.t)} of ${clock(setup.horizon_seconds)}`), said("load", `${now.load.toFixed(1)} requests/s`),
        said("speed", `${now.speed.toFixed(1)}×`), said("clock slip", percent(now.slip, 2)));
      parts.progress.style.width = `${Math.min(100, (100 * now.t) / setup.horizon_seconds)}%`;
      for (const name of POLICIES) {
        const fleet = now.policies[name];
        parts.figures[name].replaceChildren(
          figure("within the SLO so far", share(fleet.slo), fleet.slo == null ? "" : fleet.slo >= 0.95 ? "good" : "bad"),
          figure("waiting now", count(fleet.waiting), fleet.waiting > 20 ? "bad" : ""),
          figure("TTFT p95, last 60 s", seconds(fleet.ttft_p95), fleet.ttft_p95 > setup.slo.ttft_seconds ? "bad" : ""),
          figure(`replica-hours (${fleet.ready} ready of ${fleet.replicas} asked)`, fleet.replica_hours.toFixed(2)));
        const tiles = fleet.pods.slice(0, 16).map(podTile);
        while (tiles.length < Math.min(8, setup.max_replicas)) tiles.push(podTile(null));
        parts.pods[name].replaceChildren(...tiles);
      }
    }
    parts.bar.replaceChildren(...line);
    if (done) showResults();
  }
  function showDecisions() {
    if (!parts) return;
    for (const name of POLICIES) {
      const mine = state.decisions.filter((one) => one.policy === name);
      const items = mine.slice().reverse().map((one) => element("li", { class: one.from === one.to ? "same" : "" },
        element("time", {}, clock(one.t)), element("b", {}, one.from === one.to ? `${one.to}` : `${one.from} → ${one.to}`), element("span", {}, one.reason)));
      parts.decisions[name].replaceChildren(...items);
    }
  }
  const COLUMNS = [
    ["within SLO", (p) => share(p.slo_attainment)], ["TTFT p50", (p) => seconds(p.ttft_seconds.p50)], ["p95", (p) => seconds(p.ttft_seconds.p95)],
    ["p99", (p) => seconds(p.ttft_seconds.p99)], ["ITL p95", (p) => p.itl_seconds.p95 == null ? "–" : `${(1000 * p.itl_seconds.p95).toFixed(0)} ms`],
    ["longest queue", (p) => count(p.longest_queue)], ["replicas mean", (p) => p.replicas.mean.toFixed(2)], ["peak", (p) => String(p.replicas.peak)],
    ["replica-hours", (p) => p.replica_hours.toFixed(2)], ["first decision", (p) => p.first_decision_seconds == null ? "–" : `${p.first_decision_seconds.toFixed(0)} s`],
  ];
  function showResults() {
    if (parts.shown === state.results) return;
    parts.shown = state.results;
    if (state.setup.report) return; // there the table stands in the file itself, for readers without scripts
    let simulated = false;
    const rows = state.results.policies.map((policy) => {
      const first = policy.source !== "live" && !simulated;
      if (first) simulated = true;
      return element("tr", { class: `${policy.source} ${policy.name} ${first ? "first-simulated" : ""}` },
        element("td", {}, policy.label), COLUMNS.map(([, form]) => element("td", {}, form(policy))));
    });
    const table = element("table", {}, element("caption", {}, state.results.caption),
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "policy"), COLUMNS.map(([name]) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, rows));
    parts.results.replaceChildren(element("section", { class: "card" }, element("h2", {}, state.results.headline), element("div", { class: "scroll" }, table),
      state.results.report ? element("p", { class: "lead" }, "Report: ", element("code", {}, state.results.report)) : null));
  }

  // ---- where the state comes from --------------------------------------------------------------------------------
  function append(tick) {
    const columns = state.columns;
    columns.t.push(tick.t);
    const put = (key, value) => { (columns[key] = columns[key] || []).push(value); };
    put("load", tick.load);
    for (const name of POLICIES) for (const field of ["ready", "replicas", "running", "waiting", "kv", "ttft_p95"]) put(`${name}.${field}`, tick.policies[name][field]);
  }
  function listen() {
    const source = new EventSource(root.dataset.source);
    let queued = false;
    const soon = () => { if (!queued) { queued = true; requestAnimationFrame(() => { queued = false; refresh(); drawPlots(); }); } };
    const on = (name, act) => source.addEventListener(name, (event) => act(JSON.parse(event.data)));
    on("setup", (message) => {
      Object.assign(state, { setup: message.setup, columns: message.columns, decisions: message.decisions, now: message.now, results: message.results, link: "running" });
      refresh(); drawPlots(); showDecisions();
      if (message.results) source.close();
    });
    on("tick", (message) => { state.now = message; append(message); soon(); });
    on("decision", (message) => { state.decisions.push(message); showDecisions(); });
    on("phase", (message) => { state.link = message.text; refresh(); });
    on("results", (message) => { state.results = message; refresh(); source.close(); });
    source.addEventListener("error", () => { if (!state.results) { state.link = "not connected"; refresh(); } });
  }
  const embedded = document.getElementById("lab-data");
  if (embedded) {
    Object.assign(state, JSON.parse(embedded.textContent), { link: "report" });
    refresh(); drawPlots(); showDecisions();
  } else listen();
})();
