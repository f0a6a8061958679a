/* How the frame behaves: moving between pages, theme, search, copying a link, following the snapshot.
   Drawing is in marks.js. */
(function () {
  "use strict";

  const POLL_MS = 2500;
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const page = () => document.querySelector("#main > .page");

  function toast(text) {
    const box = byId("toast");
    box.textContent = text;
    box.classList.add("on");
    clearTimeout(toast.timer);
    toast.timer = setTimeout(() => box.classList.remove("on"), 2600);
  }

  /* Moving: pages change in place, and the address is the state */
  let scrollAfter = null;
  function go(url) {
    const target = new URL(url, location.href);
    if (target.href === location.href) { return; }
    history.replaceState({ ...history.state, y: scrollY }, "");
    scrollAfter = target.pathname === location.pathname ? null : 0;
    history.pushState({}, "", target);
    dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    closeMenu();
  }

  function isOurs(link, event) {
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    return isPlain && link.origin === location.origin && !link.target && !link.hasAttribute("download")
      && !link.pathname.startsWith("/api/") && !(link.hash && link.pathname === location.pathname);
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (link && isOurs(link, event)) {
      event.preventDefault();
      if (link.dataset.setWindow) {
        const url = new URL(location.href);
        url.searchParams.set("window", link.dataset.setWindow);
        go(url);
      } else {
        go(link.href);
      }
      return;
    }
    if (event.target.closest("[data-copy-link]")) { copyLink(); }
    if (event.target.closest("[data-reload]")) { location.reload(); }
    if (event.target.closest("#theme")) { setTheme(root.dataset.theme === "dark" ? "light" : "dark"); }
    if (event.target.closest("#menu")) { toggleMenu(); } else if (!event.target.closest("aside")) { closeMenu(); }
  });
  addEventListener("popstate", () => { scrollAfter = history.state?.y ?? 0; });

  async function copyLink() {
    try {
      await navigator.clipboard.writeText(location.href);
      toast("Link copied");
    } catch {
      toast(location.href);
    }
  }

  let shown = null;
  let titled = null;
  new MutationObserver(() => {
    const now = page();
    if (!now?.dataset.title) { return; }
    // What was set is remembered: the document gives its title back without double blanks and tabs, and setting it
    // wakes this observer.
    if (titled !== now.dataset.title) { titled = now.dataset.title; document.title = `${titled} · Feature Quality`; }
    if (shown !== now.dataset.path) {
      if (shown !== null) { byId("main").focus({ preventScroll: true }); }
      shown = now.dataset.path;
    }
    if (scrollAfter !== null) { scrollTo(0, scrollAfter); scrollAfter = null; }
  }).observe(root, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-title", "data-path"] });

  /* Theme */
  function setTheme(theme) {
    root.dataset.theme = theme;
    localStorage.setItem("theme", theme);
    dispatchEvent(new Event("themechange"));
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
    if (!localStorage.getItem("theme")) { root.dataset.theme = event.matches ? "dark" : "light"; dispatchEvent(new Event("themechange")); }
  });

  /* Navigation on small screens */
  function toggleMenu() {
    const isOpen = document.body.classList.toggle("nav-open");
    byId("menu").setAttribute("aria-expanded", String(isOpen));
  }
  function closeMenu() {
    document.body.classList.remove("nav-open");
    byId("menu")?.setAttribute("aria-expanded", "false");
  }

  /* Search: a combobox over the features of the snapshot */
  let asked = null;
  let askedToken = null;
  let active = -1;
  function features() {
    const token = page()?.dataset.token;
    if (!asked || token !== askedToken) {
      askedToken = token;
      asked = fetch("/api/v1/search")
        .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(answer.statusText))))
        .catch(() => { asked = null; return []; });
    }
    return asked;
  }

  async function showResults() {
    const list = byId("search-results");
    const all = await features();
    // What stands there now: more may have been typed meanwhile.
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = all.filter((f) => words.every((word) => `${f.name} ${f.team}`.toLowerCase().includes(word))).slice(0, 12);
    active = found.length ? 0 : -1;
    list.replaceChildren(...found.map((feature, i) => {
      const item = document.createElement("li");
      item.id = `result-${i}`;
      item.role = "option";
      item.dataset.href = feature.href;
      item.append(feature.name, Object.assign(document.createElement("small"), { textContent: feature.team }));
      return item;
    }));
    if (!found.length) {
      list.append(Object.assign(document.createElement("li"), { textContent: "No feature matches", role: "option", ariaDisabled: "true" }));
    }
    list.hidden = false;
    byId("search").setAttribute("aria-expanded", "true");
    mark();
  }

  function mark() {
    document.querySelectorAll("#search-results li").forEach((item, i) => {
      item.setAttribute("aria-selected", String(i === active));
      if (i === active) { item.scrollIntoView({ block: "nearest" }); }
    });
    byId("search").setAttribute("aria-activedescendant", active >= 0 ? `result-${active}` : "");
  }

  function hideResults() {
    byId("search-results").hidden = true;
    byId("search").setAttribute("aria-expanded", "false");
    byId("search").removeAttribute("aria-activedescendant");
  }

  function pick(item) {
    if (!item?.dataset.href) { return; }
    byId("search").blur();
    hideResults();
    go(item.dataset.href);
  }

  function searchKey(event) {
    const items = document.querySelectorAll("#search-results li[data-href]");
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && items.length) { active = (active + step + items.length) % items.length; mark(); event.preventDefault(); }
    if (event.key === "Enter") { pick(items[active]); }
    if (event.key === "Escape") { hideResults(); event.target.blur(); }
  }

  function readySearch(input) {
    Object.entries({ role: "combobox", "aria-label": "Jump to a feature", "aria-expanded": "false", "aria-controls": "search-results", "aria-autocomplete": "list" })
      .forEach(([name, value]) => input.setAttribute(name, value));
    input.addEventListener("focus", showResults);
    input.addEventListener("input", showResults);
    input.addEventListener("keydown", searchKey);
    input.addEventListener("blur", () => setTimeout(hideResults, 150));
    byId("search-results").addEventListener("mousedown", (event) => { event.preventDefault(); pick(event.target.closest("li")); });
  }

  document.addEventListener("keydown", (event) => {
    const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "");
    if (event.key === "/" && !isTyping) { event.preventDefault(); byId("search")?.focus(); }
    if (event.key === "Escape") { closeMenu(); }
  });

  new MutationObserver((_, observer) => {
    const input = byId("search");
    if (input && byId("search-results")) { observer.disconnect(); readySearch(input); }
  }).observe(root, { childList: true, subtree: true });

  /* Following the snapshot: the page is asked for again, and scroll, filters and open tables stay */
  /* Whoever is in the middle of a form is not interrupted. */
  const isWriting = () => Boolean(document.activeElement?.closest("form[data-write]"));
  let isLost = false;
  async function follow() {
    const token = page()?.dataset.token;
    if (document.hidden || token === undefined) { return; }
    try {
      const answer = await fetch("/api/v1/token");
      const now = (await answer.json()).token;
      if (isLost) { isLost = false; toast("The server answers again"); }
      if (now !== token && follow.asked !== now && !isWriting()) {
        follow.asked = now;
        window.dash_clientside.set_props("token", { data: now });
        if (now.split("#")[0] !== token.split("#")[0]) { toast("New data: the page is up to date"); }
      }
    } catch {
      if (!isLost) { isLost = true; toast("The dashboard's server does not answer; what you see may be old"); }
    }
  }
  setInterval(follow, POLL_MS);
  document.addEventListener("visibilitychange", follow);
})();
