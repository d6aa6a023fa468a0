"use strict";
// Searching, filtering and paging of pairs and outcomes. Texts become text nodes, never mark-up.
(() => {
  const PER_PAGE = { pair: 5, outcome: 10 };
  const WAIT = 120;

  function make(name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
    element.append(...children.filter((one) => one !== null && one !== undefined));
    return element;
  }
  const SIGNS = new Map([["right", ["✓", "right"]], ["wrong", ["✗", "wrong"]], ["none", ["○", "no answer"]]]);
  const bdi = (text, attributes) => make("bdi", attributes, text);
  const known = (value) => value !== null && value !== undefined;
  const counted = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");

  // A line of parts with a dot between them.
  function said(parts) {
    const line = make("p", { class: "said" });
    parts.filter(known).forEach((part, place) => line.append(place ? " · " : "", ...[part].flat()));
    return line;
  }

  function heading(kind, row) {
    return make("h3", null, make("a", { href: `#${kind}=${row.link}` }, bdi(row.id)));
  }

  function gold(row) {
    return known(row.answer) ? make("p", { class: "said" }, "Answer: ", bdi(row.answer, { class: "answer" })) : null;
  }

  function chain(found, side) {
    const box = make("div", { class: `chain ${side}`, role: "group", "aria-label": `${side} chain` });
    const sign = make("span", { class: "sign", "aria-hidden": "true" }, side === "right" ? "✓" : "✗");
    box.append(make("h4", null, sign, side === "right" ? " Right chain" : " Wrong chain"));
    if (!found) {
      box.append(make("p", { class: "said" }, "none"));
      return box;
    }
    box.append(said([
      bdi(found.origin),
      known(found.answer) ? ["answers ", bdi(found.answer, { class: "answer" })] : null,
      known(found.share) ? `${found.share} key` : null,
    ]));
    const text = make("p", { class: "text", dir: "auto" });
    for (const [piece, kind] of found.pieces) {
      if (kind > 1) text.append(make("span", { class: "step" }));
      text.append(kind % 2 ? make("mark", null, piece) : piece);
    }
    box.append(text);
    return box;
  }

  function pair(row) {
    return make("article", { class: "card", tabindex: "-1" },
      heading("pair", row),
      said([
        bdi(row.task), bdi(row.mistake), bdi(row.outcome),
        known(row.alike) ? `similarity ${row.alike}` : null,
        row.unit ? ["by ", bdi(row.unit)] : null, bdi(row.file),
      ]),
      make("p", { class: "question", dir: "auto" }, row.question), gold(row),
      make("div", { class: "sides" }, chain(row.right, "right"), chain(row.wrong, "wrong")));
  }

  function verdict(name) {
    const [sign, word] = SIGNS.get(name) || ["○", name];
    const kind = name === "right" || name === "wrong" ? name : "none";
    return make("span", { class: `verdict ${kind}` }, make("span", { "aria-hidden": "true" }, sign), ` ${word}`);
  }

  function answered(one) {
    const kind = one.verdict === "right" || one.verdict === "wrong" ? one.verdict : "none";
    return make("div", { class: `chain ${kind}`, role: "group", "aria-label": one.method },
      make("h4", null, bdi(one.method)),
      said([
        verdict(one.verdict),
        known(one.prediction) ? ["answers ", bdi(one.prediction, { class: "answer" })] : null,
        one.reason ? bdi(one.reason) : null,
      ]),
      make("p", one.long ? { class: "text long", dir: "auto", tabindex: "0" } : { class: "text", dir: "auto" }, one.text));
  }

  function outcome(row) {
    return make("article", { class: "card", tabindex: "-1" },
      heading("outcome", row), said([bdi(row.task)]),
      make("p", { class: "question", dir: "auto" }, row.question), gold(row),
      make("div", { class: "sides" }, ...row.answered.map(answered)));
  }

  const KINDS = {
    pair: {
      data: "pairs-data", draw: pair, one: "pair", many: "pairs",
      words: (row) => [row.id, row.question, ...[row.right, row.wrong].filter(known)
        .map((side) => side.pieces.map(([text]) => text).join(""))],
    },
    outcome: {
      data: "outcomes-data", draw: outcome, one: "question", many: "questions",
      words: (row) => [row.id, row.question, row.answer || "", ...row.answered
        .flatMap((one) => [one.text, one.prediction || "", one.reason || ""])],
    },
  };

  // What a choice of the verdicts' filter keeps.
  const VERDICTS = {
    differ: (row) => new Set(row.answered.map((one) => one.verdict === "right")).size > 1,
    "all-right": (row) => row.answered.every((one) => one.verdict === "right"),
    "none-right": (row) => row.answered.every((one) => one.verdict !== "right"),
  };
  const fold = (text) => text.normalize("NFKC").toLowerCase();

  class Browser {
    constructor(root) {
      this.root = root;
      this.kind = root.dataset.kind;
      this.how = KINDS[this.kind];
      this.rows = JSON.parse(document.getElementById(this.how.data).textContent);
      this.texts = null;
      this.list = root.querySelector("[data-list]");
      this.found = root.querySelector("[data-found]");
      this.search = root.querySelector("[data-search]");
      this.filters = [...root.querySelectorAll("[data-filter]")];
      this.verdicts = root.querySelector("[data-verdicts]");
      this.least = root.querySelector("[data-least]");
      this.order = root.querySelector("[data-order]");
      this.page = 0;
      root.querySelectorAll("[hidden]").forEach((element) => { element.hidden = false; });
      this.fill();
      this.listen();
      root.querySelectorAll("[data-static]").forEach((element) => element.remove());
      this.choose();
    }

    fill() {
      for (const select of this.filters) {
        const counts = new Map();
        for (const row of this.rows) counts.set(row[select.dataset.filter], (counts.get(row[select.dataset.filter]) || 0) + 1);
        // A choice of one is none.
        select.parentNode.hidden = counts.size < 2;
        select.append(make("option", { value: "" }, "all"));
        [...counts.keys()].sort().forEach((value) =>
          select.append(make("option", { value: `=${value}` }, `${value || "–"} (${counted(counts.get(value))})`)));
      }
      if (!this.verdicts) return;
      const methods = [...new Set(this.rows.flatMap((row) => row.answered.map((one) => one.method)))];
      const choices = [["", "all"], ["all-right", "all right"], ["none-right", "none right"]];
      if (methods.length > 1) choices.push(["differ", "methods differ"]);
      methods.forEach((method, place) => {
        for (const name of ["right", "wrong", "none"])
          choices.push([`${place} ${name}`, `${method}: ${name === "none" ? "no answer" : name}`]);
      });
      this.methods = methods;
      choices.forEach(([value, text]) => this.verdicts.append(make("option", { value }, text)));
    }

    listen() {
      let timer = 0;
      // A field that is left says that it has changed, though all is shown already: drawn again, a link's card lost its mark.
      const again = () => { if (this.wanted() !== this.shown) this.choose(); };
      const later = () => { clearTimeout(timer); timer = setTimeout(again, WAIT); };
      const form = this.root.querySelector(".tools");
      form.addEventListener("input", later);
      form.addEventListener("change", later);
      form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(timer); this.choose(); });
      this.root.querySelectorAll("[data-paging]").forEach((paging, place) => {
        paging.addEventListener("click", (event) => {
          const button = event.target.closest("button");
          if (button && button.getAttribute("aria-disabled") !== "true") this.go(button.dataset.go, place > 0);
        });
      });
    }

    pages() { return Math.max(Math.ceil(this.chosen.length / PER_PAGE[this.kind]), 1); }

    go(where, below) {
      const last = this.pages() - 1;
      this.page = { first: 0, previous: Math.max(this.page - 1, 0), next: Math.min(this.page + 1, last), last }[where];
      this.draw();
      if (below) {
        this.list.scrollIntoView({ block: "start" });
        this.list.focus({ preventScroll: true });
      }
    }

    keeps(row, place, words) {
      if (words.length) {
        this.texts = this.texts || this.rows.map((one) => fold(this.how.words(one).join("\n")));
        if (!words.every((word) => this.texts[place].includes(word))) return false;
      }
      if (!this.filters.every((select) => !select.value || `=${row[select.dataset.filter]}` === select.value)) return false;
      const least = this.least ? parseFloat(this.least.value) : NaN;
      // A hundredth part and a hundredfold are rounded each: 0.29 is shown as 29 %, and is to be found from 29 % on.
      if (!Number.isNaN(least) && !(known(row.ratio) && row.ratio >= least / 100 - 1e-9)) return false;
      if (!this.verdicts || !this.verdicts.value) return true;
      if (VERDICTS[this.verdicts.value]) return VERDICTS[this.verdicts.value](row);
      const [method, name] = this.verdicts.value.split(" ");
      return row.answered.some((one) => one.method === this.methods[Number(method)] && one.verdict === name);
    }

    // All that the form asks for, as one text.
    wanted() {
      const fields = [this.search, ...this.filters, this.verdicts, this.least, this.order];
      return JSON.stringify(fields.map((field) => field && field.value));
    }

    choose() {
      this.shown = this.wanted();
      const words = fold(this.search.value).split(/\s+/).filter(Boolean);
      this.chosen = this.rows.filter((row, place) => this.keeps(row, place, words));
      if (this.order && this.order.value) this.sort(...this.order.value.split(":"));
      this.page = 0;
      this.draw();
      const { one, many } = this.how;
      const all = this.rows.length;
      this.found.textContent = this.chosen.length === all
        ? `${counted(all)} ${all === 1 ? one : many}`
        : `${this.chosen.length ? counted(this.chosen.length) : "None"} of ${counted(all)} ${many} found`;
    }

    sort(key, sign) {
      const compare = (left, right) => (left < right ? -1 : left > right ? 1 : 0);
      this.chosen.sort((left, right) => {
        if (known(left[key]) !== known(right[key])) return known(left[key]) ? -1 : 1;
        return Number(sign) * compare(left[key], right[key]);
      });
    }

    draw() {
      const size = PER_PAGE[this.kind];
      const from = this.page * size;
      const shown = this.chosen.slice(from, from + size);
      this.list.replaceChildren(...shown.map(this.how.draw));
      this.root.querySelectorAll("[data-paging]").forEach((paging) => {
        paging.hidden = this.chosen.length <= size;
        paging.querySelector("[data-place]").textContent =
          `${counted(from + 1)}–${counted(from + shown.length)} of ${counted(this.chosen.length)}`;
        paging.querySelectorAll("button").forEach((button) => {
          const end = button.dataset.go === "first" || button.dataset.go === "previous" ? 0 : this.pages() - 1;
          button.setAttribute("aria-disabled", String(this.page === end));
        });
      });
    }

    // Show the row that a link names, whatever is filtered now.
    show(link) {
      const row = this.rows.find((one) => one.link === link);
      if (!row) return;
      if (!this.chosen.includes(row)) {
        this.root.querySelector(".tools").reset();
        this.choose();
      }
      const place = this.chosen.indexOf(row);
      this.page = Math.floor(place / PER_PAGE[this.kind]);
      this.draw();
      const card = this.list.children[place % PER_PAGE[this.kind]];
      card.classList.add("linked");
      card.scrollIntoView({ block: "start" });
      card.focus({ preventScroll: true });
    }
  }

  const browsers = {};
  document.querySelectorAll(".browser").forEach((root) => { browsers[root.dataset.kind] = new Browser(root); });

  function follow() {
    const [, kind, link] = /^#(pair|outcome)=(.*)$/s.exec(location.hash) || [];
    if (browsers[kind]) browsers[kind].show(link);
  }
  addEventListener("hashchange", follow);
  follow();

  // Paper shows what is folded on a screen.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
})();
