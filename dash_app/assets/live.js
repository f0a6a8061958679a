/* Parts that are asked for again and again: [data-live] says where, [data-each] how often in ms. What has changed is
   changed in place, so that focus and selection stay, and what is marked [data-keep] is left as it is while the mark is
   the same; the next question waits for the answer to the one before. */
(function () {
  "use strict";

  const LOOK_MS = 100;
  const STALE = "data-stale";
  const asked = new WeakMap();

  function attributesLike(old, now) {
    for (const { name } of [...old.attributes]) { if (!now.hasAttribute(name)) { old.removeAttribute(name); } }
    for (const { name, value } of now.attributes) { if (old.getAttribute(name) !== value) { old.setAttribute(name, value); } }
  }

  /* Makes the children of `old` those of `now`, and touches nothing that is the same already. */
  function childrenLike(old, now) {
    const wanted = [...now.childNodes];
    while (old.childNodes.length > wanted.length) { old.lastChild.remove(); }
    wanted.forEach((node, i) => {
      const there = old.childNodes[i];
      if (!there) { old.append(node); return; }
      if (there.nodeType !== node.nodeType || there.nodeName !== node.nodeName) { there.replaceWith(node); return; }
      if (node.nodeType !== Node.ELEMENT_NODE) {
        if (there.data !== node.data) { there.data = node.data; }
        return;
      }
      if (node.dataset.keep !== undefined && there.dataset.keep === node.dataset.keep) { return; }
      attributesLike(there, node);
      childrenLike(there, node);
    });
  }

  async function ask(place, state) {
    state.isBusy = true;
    state.due = Date.now() + Number(place.dataset.each);
    try {
      const answer = await fetch(place.dataset.live, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(10000) });
      if (!answer.ok) { throw new Error(`it answers ${answer.status}`); }
      const text = await answer.text();
      if (text !== state.text) {
        const now = document.createElement("template");
        now.innerHTML = text;
        childrenLike(place, now.content);
        state.text = text;
      }
      place.removeAttribute(STALE);
    } catch {
      // What was said last stays, and is told to be old.
      place.setAttribute(STALE, "The dashboard does not answer: what is shown is not of now.");
    } finally {
      state.isBusy = false;
    }
  }

  setInterval(() => {
    if (document.hidden) { return; }
    document.querySelectorAll("[data-live]").forEach((place) => {
      let state = asked.get(place);
      if (!state) { asked.set(place, state = { due: 0, isBusy: false, text: null }); }
      if (!state.isBusy && Date.now() >= state.due) { ask(place, state); }
    });
  }, LOOK_MS);
})();
