/* Places where files are dropped or chosen: [data-drop] says where they go. How far each is, and what became of it, is
   said in the place itself, a line a file, and stays while the page is open, however often it is drawn anew. */
(function () {
  "use strict";

  const MOST_LINES = 50;
  const placeOf = (event) => event.target.closest?.("[data-drop]");
  const ofPlace = (place) => `${location.pathname} ${place.dataset.dataset || ""}`;
  let lines = [];

  function show() {
    document.querySelectorAll("[data-drop]").forEach((place) => {
      const said = place.querySelector(".form-said");
      const text = lines.filter((line) => line.place === ofPlace(place)).map((line) => line.text).join("\n");
      if (said && said.textContent !== text) { said.textContent = text; }
    });
  }

  function begun(place, name) {
    const line = { place: ofPlace(place), text: `${name} waits to be sent` };
    lines = [...lines, line].slice(-MOST_LINES);
    return (text) => { line.text = text; show(); };
  }

  function send(place, file) {
    const say = begun(place, file.name);
    const query = place.dataset.dataset ? `?dataset=${encodeURIComponent(place.dataset.dataset)}` : "";
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("file", file);
    request.open("POST", place.dataset.drop + query);
    request.setRequestHeader("x-quality", "1");
    const actor = localStorage.getItem("actor");
    if (actor) { request.setRequestHeader("x-quality-actor", encodeURIComponent(actor)); }
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) { say(`${file.name}: ${Math.floor(100 * event.loaded / event.total)} %`); }
    };
    request.onload = () => {
      let answer = {};
      try { answer = JSON.parse(request.responseText); } catch { answer = { detail: request.statusText }; }
      if (request.status === 202) { say(`${file.name} has arrived as a batch of ${answer.dataset}, and is judged in a moment.`); }
      else if (request.status === 200) { say(`${file.name} was there already, as a batch of ${answer.dataset}.`); }
      else { say(`${file.name}: ${answer.detail || `the server answers ${request.status}`}`); }
      if (request.status < 300) { setTimeout(() => window.dash_clientside.set_props("token", { data: `written ${Date.now()}` }), 1500); }
    };
    request.onerror = () => { say(`${file.name} did not arrive: the connection broke, or the file changed meanwhile. Try again.`); };
    request.send(form);
  }

  function all(place, files) { [...files].forEach((file) => send(place, file)); }

  function dropped(place, transfer) {
    [...transfer.items].filter((item) => item.kind === "file").forEach((item) => {
      const entry = item.webkitGetAsEntry?.();
      if (entry?.isDirectory) { begun(place, entry.name)(`${entry.name} is a folder: drop the files that are in it.`); }
      else { send(place, item.getAsFile()); }
    });
  }

  document.addEventListener("dragover", (event) => { const place = placeOf(event); if (place) { event.preventDefault(); place.classList.add("over"); } });
  document.addEventListener("dragleave", (event) => { placeOf(event)?.classList.remove("over"); });
  document.addEventListener("drop", (event) => {
    const place = placeOf(event);
    if (!place) { return; }
    event.preventDefault();
    place.classList.remove("over");
    dropped(place, event.dataTransfer);
  });
  document.addEventListener("change", (event) => {
    const place = placeOf(event);
    if (place && event.target.type === "file") { all(place, event.target.files); event.target.value = ""; }
  });
  new MutationObserver(() => { if (lines.length) { show(); } }).observe(document.documentElement, { childList: true, subtree: true });
})();
