/* What is drawn in the browser: sparklines, charts, large tables, the table over all features, edges of the lineage.
   Python puts the data into data-… attributes; an observer draws whatever appears or changes. Numbers arrive as they
   are to be read: nothing is formatted here. */
(function () {
  "use strict";

  const PLOTLY = "/assets/vendor/plotly-basic-4.1.1.min.js";
  const CONFIG = { displayModeBar: false, showSendToCloud: false, responsive: false };
  const FIRST_ROWS = 60;
  const escape = (text) =>
    String(text ?? "").replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[c]);

  /* Sparklines */
  const decode = (text) => Array.from(text, (c) => (c === " " ? null : (c.charCodeAt(0) - 48) / 63));

  /* Points as SVG writes them; null where there is no value. */
  function points(values, width, height) {
    const step = width / Math.max(values.length - 1, 1);
    return values.map((value, i) => (value === null ? null : `${(i * step).toFixed(1)} ${(height - 1 - value * (height - 2)).toFixed(1)}`));
  }

  function path(values, width, height) {
    let isDown = false;
    return points(values, width, height).map((point) => {
      const verb = isDown ? "L" : "M";
      isDown = point !== null;
      return isDown ? verb + point : "";
    }).join("");
  }

  function lineSvg(values, low, high, color, width, height) {
    let band = "";
    if (low?.length && !low.includes(null) && !high.includes(null)) {
      const outline = [...points(high, width, height), ...points(low, width, height).reverse()];
      band = `<path d="M${outline.join("L")}Z" fill="var(--band)"/>`;
    }
    const last = values.length - 1;
    const end = values[last] ?? null;
    const dot = end === null ? "" : `<circle cx="${width}" cy="${(height - 1 - end * (height - 2)).toFixed(1)}" r="2.2" fill="${color}"/>`;
    return `<svg viewBox="-1 -1 ${width + 4} ${height + 2}" aria-hidden="true">${band}<path d="${path(values, width, height)}" fill="none" stroke="${color}" stroke-width="1.4" stroke-linejoin="round"/>${dot}</svg>`;
  }

  function drawSpark(element) {
    const values = JSON.parse(element.dataset.spark).v;
    const known = values.filter((v) => v !== null);
    const bottom = Math.min(...known);
    const height = Math.max(...known) - bottom;
    const scaled = values.map((v) => (v === null ? null : height ? (v - bottom) / height : 0.5));
    element.innerHTML = known.length ? lineSvg(scaled, null, null, "currentColor", element.classList.contains("wide") ? 110 : 58, 24) : "";
  }

  /* Charts */
  let plotly = null;
  function loadPlotly() {
    plotly ??= new Promise((resolve, reject) => {
      if (window.Plotly) { resolve(window.Plotly); return; }
      const script = document.createElement("script");
      script.src = PLOTLY;
      script.onload = () => resolve(window.Plotly);
      script.onerror = reject;
      document.head.append(script);
    });
    return plotly;
  }

  function withColors(node, style) {
    if (typeof node === "string") {
      return node.startsWith("var(--") ? style.getPropertyValue(node.slice(4, -1)).trim() : node;
    }
    if (Array.isArray(node)) { return node.map((item) => withColors(item, style)); }
    if (node && typeof node === "object") {
      return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, withColors(value, style)]));
    }
    return node;
  }

  const inView = new IntersectionObserver((entries) => {
    entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
      inView.unobserve(entry.target);
      drawChart(entry.target);
    });
  }, { rootMargin: "250px" });

  /* What is in view is drawn first, the rest when the browser has time: a page is printed and captured as a whole. */
  const whenIdle = window.requestIdleCallback ?? ((action) => setTimeout(action, 200));
  let isDrawingRest = false;
  function drawRest() {
    const next = document.querySelector(".chart:not(.drawn):not(.drawing)");
    isDrawingRest = Boolean(next);
    if (!next) { return; }
    inView.unobserve(next);
    drawChart(next).finally(() => whenIdle(drawRest));
  }

  const sizes = new ResizeObserver((entries) => {
    entries.forEach(({ target, contentRect }) => {
      if (window.Plotly && target.classList.contains("drawn") && contentRect.width && target.dataset.width !== String(contentRect.width)) {
        target.dataset.width = String(contentRect.width);
        window.Plotly.relayout(target, { width: contentRect.width });
      }
    });
  });

  async function drawChart(element) {
    element.classList.add("drawing");
    const Plotly = await loadPlotly();
    if (!element.isConnected) { return; }
    const figure = withColors(JSON.parse(element.dataset.figure), getComputedStyle(document.documentElement));
    figure.layout.width = element.clientWidth;
    figure.layout.height = element.clientHeight;
    element.dataset.width = String(element.clientWidth);
    await Plotly.react(element, figure.data, figure.layout, CONFIG);
    element.classList.add("drawn");
    sizes.observe(element);
  }

  function forgetChart(element) {
    inView.unobserve(element);
    sizes.unobserve(element);
    if (window.Plotly && element.classList.contains("drawn")) { window.Plotly.purge(element); }
  }

  /* The table over all features; what is filtered and sorted stands in the address */
  const state = () => new URLSearchParams(location.search);
  function setState(changes) {
    const query = state();
    Object.entries(changes).forEach(([key, value]) => (value ? query.set(key, value) : query.delete(key)));
    const text = query.toString();
    history.replaceState(history.state, "", location.pathname + (text ? `?${text}` : ""));
  }

  const cells = {
    feature: (c) => `<td><a href="${escape(c.h)}">${escape(c.t)}</a><small>${escape(c.s)}</small></td>`,
    status: (c, looks) => {
      const [tone, icon, word] = looks[c.k];
      return `<td><span class="badge ${tone}"><span class="i i-${icon}" aria-hidden="true"></span>${word}</span></td>`;
    },
    risk: (c) => {
      if (c.v === null) { return `<td><div class="risk-cell">${escape(c.t)}<span class="risk-track" style="visibility:hidden"></span></div></td>`; }
      const interval = c.l === null || c.u === null ? "" : `<s style="left:${c.l * 100}%;width:${Math.max((c.u - c.l) * 100, 1)}%"></s>`;
      return `<td><div class="risk-cell"><b>${escape(c.t)}</b><span class="risk-track"><i class="tone-fill-${c.k}" style="width:${c.v * 100}%"></i>${interval}</span></div></td>`;
    },
    spark: (c) => {
      const [line, low, high] = c.p ? c.p.map(decode) : [[], null, null];
      const drawn = line.length ? lineSvg(line, low, high, c.b ? "var(--bad)" : "var(--c1)", 72, 26) : "<span></span>";
      return `<td class="spark-cell"><div class="pair">${drawn}<span><b>${escape(c.t)}</b><small class="${c.b ? "bad" : ""}">${escape(c.s)}</small></span></div></td>`;
    },
    number: (c) => `<td class="num"><b>${escape(c.t)}</b>${c.s ? `<small>${escape(c.s)}</small>` : ""}</td>`,
  };

  function drawTable(element) {
    const data = JSON.parse(element.dataset.table);
    const filters = element.closest(".card").querySelector("[data-filters]");
    const head = data.columns.map((c) => `<th scope="col" class="${c.kind === "number" ? "num" : ""}" data-key="${c.key}"><button type="button">${escape(c.title)}<span class="i i-arrow-down" aria-hidden="true"></span></button></th>`);
    element.innerHTML = `<table><caption class="unseen">All features</caption><thead><tr>${head.join("")}</tr></thead><tbody></tbody></table>`;
    element.tabIndex = 0;
    element.setAttribute("role", "region");
    element.setAttribute("aria-label", "Table of all features");
    drawFilters(filters, data, () => drawRows(element, filters, data));
    element.onclick = (event) => {
      const header = event.target.closest("th");
      if (header) { sortBy(header.dataset.key, data); drawRows(element, filters, data); return; }
      const link = event.target.closest("tr")?.querySelector("a");
      if (link && !event.target.closest("a") && !String(getSelection())) { link.click(); }
    };
    drawRows(element, filters, data);
  }

  function sortBy(key) {
    const [now, way] = (state().get("sort") || "").split(".");
    const flipped = way === "asc" ? "desc" : "asc";
    const first = key === "feature" ? "asc" : "desc";
    setState({ sort: `${key}.${now === key ? flipped : first}` });
  }

  function drawFilters(box, data, changed) {
    const asked = state();
    const total = data.rows.length;
    const chips = [["", "All", total], ...Object.entries(data.counts).filter(([, n]) => n).map(([key, n]) => [key, data.looks[key][2], n])];
    const teams = data.teams.map((team) => `<option ${asked.get("team") === team ? "selected" : ""}>${escape(team)}</option>`);
    box.innerHTML = chips.map(([key, word, n]) => `<button type="button" data-status="${key}" aria-pressed="${(asked.get("status") || "") === key}">${word} ${n}</button>`).join("")
      + `<select aria-label="Team"><option value="">All teams</option>${teams.join("")}</select>`
      + `<input type="search" aria-label="Filter features" placeholder="Filter…" value="${escape(asked.get("q") || "")}">`;
    box.onclick = (event) => {
      const chip = event.target.closest("button");
      if (!chip) { return; }
      setState({ status: chip.dataset.status });
      box.querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", String(other === chip)));
      changed();
    };
    box.querySelector("select").onchange = (event) => { setState({ team: event.target.value }); changed(); };
    box.querySelector("input").oninput = (event) => { setState({ q: event.target.value.trim() }); changed(); };
  }

  function chosen(data) {
    const asked = state();
    const words = (asked.get("q") || "").toLowerCase().split(/\s+/).filter(Boolean);
    const rows = data.rows.filter((row) =>
      (!asked.get("status") || row.status.k === asked.get("status"))
      && (!asked.get("team") || row.feature.m === asked.get("team"))
      && words.every((word) => row.feature.q.includes(word)));
    const [key, way] = (asked.get("sort") || "").split(".");
    if (!data.columns.some((column) => column.key === key)) { return rows; }
    const sign = way === "asc" ? 1 : -1;
    const value = (row) => (key === "feature" ? row.feature.t.toLowerCase() : row[key].v);
    return rows.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) { return (x === null) - (y === null); }
      return sign * (x < y ? -1 : x > y ? 1 : 0);
    });
  }

  function drawRows(element, filters, data) {
    const [key, way] = (state().get("sort") || "").split(".");
    element.querySelectorAll("th").forEach((th) => {
      if (th.dataset.key === key) { th.setAttribute("aria-sort", way === "asc" ? "ascending" : "descending"); } else { th.removeAttribute("aria-sort"); }
    });
    const rows = chosen(data);
    const html = (row) => `<tr>${data.columns.map((column) => cells[column.kind](row[column.key], data.looks)).join("")}</tr>`;
    const body = element.querySelector("tbody");
    element.dataset.rows = String(rows.length);
    if (!rows.length) {
      body.innerHTML = `<tr class="none"><td colspan="${data.columns.length}">No feature matches. <button type="button" class="button" data-clear>Clear the filters</button></td></tr>`;
      body.querySelector("[data-clear]").onclick = () => {
        setState({ status: "", team: "", q: "" });
        drawFilters(filters, data, () => drawRows(element, filters, data));
        drawRows(element, filters, data);
      };
      return;
    }
    body.innerHTML = rows.slice(0, FIRST_ROWS).map(html).join("");
    const drawn = (element.drawing = Symbol("drawing"));
    if (rows.length > FIRST_ROWS) {
      setTimeout(() => {
        if (element.drawing === drawn) { body.insertAdjacentHTML("beforeend", rows.slice(FIRST_ROWS).map(html).join("")); }
      }, 30);
    }
  }

  /* What is large comes as text: Dash's renderer would walk each of its components many times over */
  function drawMarkup(element) { element.innerHTML = element.dataset.markup; }

  /* Lineage */
  function drawEdges(element) {
    const { width, height, edges } = JSON.parse(element.dataset.edges);
    element.innerHTML = `<svg width="${width}" height="${height}" aria-hidden="true">${edges
      .map(([kind, x1, y1, ...bends]) => `<path class="${kind}" d="M${x1} ${y1}C${bends.join(" ")}"/>`)
      .join("")}</svg>`;
  }

  /* One observer for all of them */
  const drawers = { markup: drawMarkup, spark: drawSpark, table: drawTable, edges: drawEdges, figure: (element) => (element.classList.contains("drawn") ? drawChart(element) : (inView.observe(element), soon())) };
  const selector = Object.keys(drawers).map((name) => `[data-${name}]`).join(",");
  function soon() {
    if (isDrawingRest) { return; }
    isDrawingRest = true;
    setTimeout(() => whenIdle(drawRest), 800);
  }
  function draw(element) {
    Object.keys(drawers).filter((name) => element.dataset[name] !== undefined).forEach((name) => drawers[name](element));
  }
  const each = (node, action) => {
    if (node.nodeType !== 1) { return; }
    if (node.matches(selector)) { action(node); }
    node.querySelectorAll(selector).forEach(action);
  };

  new MutationObserver((records) => {
    records.forEach((record) => {
      if (record.type === "attributes") { draw(record.target); return; }
      record.addedNodes.forEach((node) => each(node, draw));
      record.removedNodes.forEach((node) => each(node, (element) => element.dataset.figure && forgetChart(element)));
    });
  }).observe(document.documentElement, { childList: true, subtree: true, attributes: true, attributeFilter: Object.keys(drawers).map((name) => `data-${name}`) });

  addEventListener("themechange", () => document.querySelectorAll(".chart.drawn").forEach(drawChart));
  each(document.body ?? document.documentElement, draw);
  // All pages but the overview have charts: their library comes while Dash starts. It is run once there is a chart to
  // draw, since running it takes a third of a second, in which Dash could not ask for the page.
  if (location.pathname !== "/") {
    document.head.append(Object.assign(document.createElement("link"), { rel: "preload", as: "script", href: PLOTLY }));
  }
})();
