/* Bringing a model: [data-deploy] is sent once to learn the contract, which is shown, and again, confirmed, to keep it. */
(function () {
  "use strict";

  const part = (tag, text, inside = []) => { const made = document.createElement(tag); if (text) { made.textContent = text; } made.append(...inside); return made; };
  const keepOf = (form) => form.querySelector("[data-keep]");

  function say(form, text) { form.querySelector(".form-said").textContent = text; }

  function forget(form) {
    delete form.dataset.contract;
    keepOf(form).hidden = true;
    form.querySelector(".deploy-contract").replaceChildren();
  }

  async function send(form, onlyCheck) {
    const body = new FormData(form);
    body.set("only_check", onlyCheck ? "true" : "false");
    if (!onlyCheck) { body.set("contract_sha256", form.dataset.contract); }
    const headers = { "x-quality": "1" };
    const actor = localStorage.getItem("actor");
    if (actor) { headers["x-quality-actor"] = encodeURIComponent(actor); }
    form.setAttribute("aria-busy", "true");
    say(form, onlyCheck ? "The model is read and asked in a process of its own …" : "Deploying …");
    try {
      const answer = await fetch(form.dataset.deploy, { method: "POST", headers, body });
      const said = await answer.json();
      if (!answer.ok) { throw new Error(said.detail || answer.statusText); }
      return said;
    } finally { form.removeAttribute("aria-busy"); }
  }

  const seen = (input) => input.type === "number" ? `${input.minimum} to ${input.maximum}` : input.values ? input.values.join(", ") : "any text";

  function show(form, told) {
    const head = part("tr", "", ["Input", "Type", "Seen in the sample", "Presence"].map((each) => part("th", each)));
    const rows = told.contract.inputs.map((each) => part("tr", "", [each.name, each.type, seen(each), each.nullable ? "may be unknown" : "needed"].map((text) => part("td", text))));
    const table = part("table", "", [part("thead", "", [head]), part("tbody", "", rows)]);
    table.className = "table";
    const how = Object.entries(told.on_sample || {}).map(([name, value]) => `${name} ${Number(value).toPrecision(3)}`).join(", ");
    const target = told.contract.target ? `, target ${told.contract.target}` : ", no target";
    const words = part("p", `${told.learner}, ${told.contract.rows} rows${target}. First row: ${told.first.prediction}${told.first.confidence == null ? "" : ` (confidence ${told.first.confidence.toPrecision(3)})`}.${how ? ` On the sample: ${how}.` : ""} Rows that are asked are held to this contract:`);
    form.querySelector(".deploy-contract").replaceChildren(words, table);
    form.dataset.contract = told.contract_sha256;
    keepOf(form).hidden = false;
    say(form, "");
    keepOf(form).focus();
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-deploy]");
    if (!form) { return; }
    event.preventDefault();
    forget(form);
    try { show(form, await send(form, true)); } catch (error) { say(form, error.message); }
  });

  document.addEventListener("change", (event) => { const form = event.target.closest?.("form[data-deploy]"); if (form) { forget(form); } });

  document.addEventListener("click", async (event) => {
    const example = event.target.closest?.("[data-deploy-example]");
    if (example) { await fill(example.closest(".card").querySelector("form[data-deploy]"), example.dataset.deployExample); return; }
    const keep = event.target.closest?.("[data-keep]");
    if (!keep) { return; }
    const form = keep.closest("form");
    try {
      const told = await send(form, false);
      location.assign(`/models/${encodeURIComponent(told.name)}`);
    } catch (error) { say(form, error.message); }
  });

  /* The files of a shipped example, as if they had been chosen. */
  async function fill(form, kind) {
    const known = await (await fetch("/api/v1/model-monitoring/samples")).json();
    const example = known.find((each) => each.kind === kind);
    for (const what of ["model", "sample"]) {
      const content = await (await fetch(example[what])).blob();
      const files = new DataTransfer();
      files.items.add(new File([content], example[what].split("/").at(-1)));
      form.elements[what].files = files.files;
    }
    form.elements.name.value = example.name;
    form.elements.kind.value = kind;
    forget(form);
    say(form, "");
  }
})();
