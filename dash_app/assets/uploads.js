/* Places where files are dropped or chosen: [data-drop] says where they go. How far each is, and what became of it, is
   said in the place itself. */
(function () {
  "use strict";

  const placeOf = (event) => event.target.closest?.("[data-drop]");

  function send(place, file) {
    const said = place.querySelector(".form-said");
    const query = place.dataset.dataset ? `?dataset=${encodeURIComponent(place.dataset.dataset)}` : "";
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("file", file);
    request.open("POST", place.dataset.drop + query);
    request.setRequestHeader("x-quality", "1");
    const actor = localStorage.getItem("actor");
    if (actor) { request.setRequestHeader("x-quality-actor", encodeURIComponent(actor)); }
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) { said.textContent = `${file.name}: ${Math.floor(100 * event.loaded / event.total)} %`; }
    };
    request.onload = () => {
      let answer = {};
      try { answer = JSON.parse(request.responseText); } catch { answer = { detail: request.statusText }; }
      if (request.status === 202) { said.textContent = `${file.name} has arrived as a batch of ${answer.dataset}, and is judged in a moment.`; }
      else if (request.status === 200) { said.textContent = `${file.name} was there already, as a batch of ${answer.dataset}.`; }
      else { said.textContent = `${file.name}: ${answer.detail}`; }
      if (request.status < 300) { setTimeout(() => window.dash_clientside.set_props("token", { data: `written ${Date.now()}` }), 1500); }
    };
    request.onerror = () => { said.textContent = `${file.name} did not arrive: the connection broke. Try again.`; };
    request.send(form);
  }

  function all(place, files) { [...files].forEach((file) => send(place, file)); }

  document.addEventListener("dragover", (event) => { const place = placeOf(event); if (place) { event.preventDefault(); place.classList.add("over"); } });
  document.addEventListener("dragleave", (event) => { placeOf(event)?.classList.remove("over"); });
  document.addEventListener("drop", (event) => {
    const place = placeOf(event);
    if (!place) { return; }
    event.preventDefault();
    place.classList.remove("over");
    all(place, event.dataTransfer.files);
  });
  document.addEventListener("change", (event) => {
    const place = placeOf(event);
    if (place && event.target.type === "file") { all(place, event.target.files); event.target.value = ""; }
  });
})();
