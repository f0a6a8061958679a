/* Buttons and forms that write: [data-write] says where to, and how it went is said in place or in the toast.
   On lists of alerts: j and k move, x selects, a acknowledges, r resolves, s snoozes. */
(function () {
  "use strict";

  const ACTOR = "actor";
  const byId = (id) => document.getElementById(id);

  function toast(text) {
    const box = byId("toast");
    box.textContent = text;
    box.classList.add("on");
    clearTimeout(toast.timer);
    toast.timer = setTimeout(() => box.classList.remove("on"), 4000);
  }

  /* The page is asked for again: whatever was written shows. */
  function refresh() {
    window.dash_clientside.set_props("token", { data: `written ${Date.now()}` });
  }

  async function write(address, method, body, version) {
    const headers = { "content-type": "application/json", "x-quality": "1", "idempotency-key": crypto.randomUUID?.() ?? String(Math.random()) };
    const actor = localStorage.getItem(ACTOR);
    if (actor) { headers["x-quality-actor"] = encodeURIComponent(actor); }
    if (version) { headers["if-match"] = `"${version}"`; }
    const answer = await fetch(address, { method, headers, body: method === "DELETE" ? undefined : JSON.stringify(body) });
    const text = await answer.text();
    let said = {};
    try { said = text ? JSON.parse(text) : {}; } catch { said = { detail: text.slice(0, 200) }; }
    if (!answer.ok) { throw Object.assign(new Error(said.detail || answer.statusText), { status: answer.status }); }
    return said;
  }

  async function perform(element, body) {
    element.setAttribute("aria-busy", "true");
    try {
      const said = await write(element.dataset.write, element.dataset.method, body, element.dataset.version);
      if (said.delivered === false) { throw new Error(said.reason); }
      if (said.said !== undefined) { show(element, said.said, true); toast(said.said); return false; }
      toast(said.token ? `Copy it now, it is not shown again: ${said.token}` : element.dataset.done);
      // What was asked stays in its fields: the next question differs by one of them.
      if (said.prediction !== undefined) { show(element, predicted(said), true); return "kept"; }
      if (said.token) { show(element, `Copy it now, it is not shown again: ${said.token}`, true); } else { show(element, ""); refresh(); }
      return true;
    } catch (error) {
      show(element, error.message);
      toast(error.message);
      if (error.status === 409) { refresh(); }
      return false;
    } finally {
      element.removeAttribute("aria-busy");
    }
  }

  /* A prediction with its interval, and what each input adds to that of the reference row. */
  function predicted(said) {
    const write = (value) => Number(value).toLocaleString(undefined, { maximumSignificantDigits: 6 });
    // What is left of sums of floats is nothing.
    const least = 1e-9 * Math.max(1, Math.abs(Number(said.prediction)));
    const added = Object.entries(said.contributions || {}).filter(([, value]) => Math.abs(value) > least).map(([name, value]) => `${name} ${value > 0 ? "+" : ""}${write(value)}`);
    const unseen = said.outside_training?.length ? ` Not seen in training: ${said.outside_training.join(", ")}.` : "";
    const same = said.contributions ? " This is the row that others are compared with: no input adds anything." : "";
    const why = added.length ? ` From ${write(said.base)}: ${added.join(", ")}.` : same;
    if (said.p10 === undefined) {
      const sure = said.confidence == null ? "" : ` (confidence ${write(said.confidence)})`;
      return `${typeof said.prediction === "number" ? write(said.prediction) : said.prediction}${sure}.${unseen.replace("training", "the sample")}`;
    }
    return `${write(said.prediction)} (p10 ${write(said.p10)}, p90 ${write(said.p90)}; interval ${said.interval_status}).${why}${unseen}`;
  }

  function show(element, text, isWell = false) {
    const place = element.querySelector?.(".form-said");
    if (place) { place.textContent = text; place.classList.toggle("well", isWell); }
  }

  /* A form as JSON: options.host is a field within options, routes.0.severity one within the first of a list. */
  function bodyOf(form) {
    const body = {};
    for (const input of form.elements) {
      if (!input.name || input.disabled) { continue; }
      let value = input.value;
      if (input.type === "checkbox") { value = input.checked; }
      else if (value === "") { continue; }
      else if (input.type === "number") { value = Number(value); }
      else if (input.dataset.json !== undefined) { try { value = JSON.parse(value); } catch { /* the server says what is wrong */ } }
      const path = input.name.split(".");
      let place = body;
      path.slice(0, -1).forEach((part, i) => { place = place[part] ??= /^\d+$/.test(path[i + 1]) ? [] : {}; });
      const last = path.at(-1);
      place[last.replace(/\[\]$/, "")] = last.endsWith("[]") ? value.split(",").map((each) => each.trim()).filter(Boolean) : value;
    }
    return body;
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-write]");
    if (!form) { return; }
    event.preventDefault();
    const done = await perform(form, bodyOf(form));
    if (done === true && form.dataset.method === "POST") { form.reset(); document.activeElement?.blur(); }
  });

  /* Thresholds as they are typed: what they would have done to the last batches. */
  let asking;
  document.addEventListener("input", (event) => {
    const place = event.target.closest("[data-what-if]");
    if (!place || !event.target.name?.startsWith("thresholds.")) { return; }
    clearTimeout(asking);
    asking = setTimeout(async () => {
      const given = new URLSearchParams();
      for (const input of place.querySelectorAll("input[name^='thresholds.']")) {
        if (input.value !== "") { given.set(input.name.slice("thresholds.".length), input.value); }
      }
      const said = place.querySelector("[data-what-if-said]");
      try {
        const answer = await fetch(`${place.dataset.whatIf}?${given}`);
        const told = await answer.json();
        said.textContent = answer.ok ? `${told.sentence} As it is now: ${told.fail_now}.` : told.detail;
      } catch (error) { said.textContent = error.message; }
    }, 250);
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-write]");
    if (button) { perform(button, JSON.parse(button.dataset.body)); return; }
    const many = event.target.closest("button[data-bulk]");
    if (many) { bulk(many.dataset.bulk); }
    if (event.target.closest("[data-select-all]")) {
      const boxes = [...document.querySelectorAll("input[data-alert]")];
      const all = boxes.every((box) => box.checked);
      boxes.forEach((box) => { box.checked = !all; });
      counted();
    }
  });

  /* Lists of alerts */
  const chosen = () => [...document.querySelectorAll("input[data-alert]:checked")].map((box) => box.dataset.alert);

  function counted() {
    const n = chosen().length;
    document.querySelectorAll("[data-chosen]").forEach((place) => { place.textContent = n ? `${n} selected` : "None selected"; });
  }

  async function bulk(action) {
    const row = document.activeElement?.closest("[data-row]");
    const ids = chosen().length ? chosen() : row ? [row.dataset.row] : [];
    if (!ids.length) { toast("Select alerts first, or move to one with j and k"); return; }
    try {
      const said = await write("/api/v1/alerts/bulk", "POST", { alert_ids: ids, action });
      const failed = said.outcomes.filter((each) => !each.done);
      toast(failed.length ? `${ids.length - failed.length} done; ${failed[0].detail}` : `${ids.length} done`);
    } catch (error) { toast(error.message); }
    refresh();
  }

  function move(step) {
    const rows = [...document.querySelectorAll("[data-row]")];
    const at = rows.indexOf(document.activeElement?.closest("[data-row]"));
    rows[Math.min(Math.max(at + step, 0), rows.length - 1)]?.focus();
  }

  const bulkKeys = { a: "acknowledge", r: "resolve", s: "snooze" };
  document.addEventListener("keydown", (event) => {
    const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "") && document.activeElement.type !== "checkbox";
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) { return; }
    const button = document.querySelector(`button[data-key="${CSS.escape(event.key)}"]`);
    if (button) { event.preventDefault(); button.click(); return; }
    if (!document.querySelector("[data-row]")) { return; }
    if (event.key === "j") { move(1); }
    if (event.key === "k") { move(-1); }
    if (event.key === "x") {
      const box = document.activeElement?.closest("[data-row]")?.querySelector("input[data-alert]");
      if (box) { box.checked = !box.checked; counted(); }
    }
    if (bulkKeys[event.key]) { event.preventDefault(); bulk(bulkKeys[event.key]); }
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("input[data-actor]")) { localStorage.setItem(ACTOR, event.target.value.trim()); toast("Your name is written beside what you do"); }
    if (event.target.matches("input[data-alert]")) { counted(); }
    if (event.target.matches("select[data-kind-of]")) { fit(event.target); }
  });

  /* Of a new channel only the fields of its kind are shown. */
  function fit(select) {
    select.form.querySelectorAll("[data-for]").forEach((part) => {
      const isOurs = part.dataset.for.split(" ").includes(select.value);
      part.hidden = !isOurs;
      part.querySelectorAll("input,select").forEach((input) => { input.disabled = !isOurs; });
    });
  }

  new MutationObserver(() => {
    document.querySelectorAll("input[data-actor]:not([data-known])").forEach((input) => {
      input.dataset.known = "1";
      input.value = localStorage.getItem(ACTOR) ?? "";
    });
    document.querySelectorAll("select[data-kind-of]:not([data-known])").forEach((select) => { select.dataset.known = "1"; fit(select); });
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
