"use strict";
{
  const data = JSON.parse(document.getElementById("data").textContent);
  const functionCount = data.sizes.length;
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  /** An element with attributes and children; texts become text and never markup. */
  const make = (name, attributes = {}, ...children) => {
    const isSvg = ["svg", "g", "path", "circle", "text", "title"].includes(name) || attributes.svg;
    const element = isSvg
      ? document.createElementNS("http://www.w3.org/2000/svg", name)
      : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (key !== "svg" && value !== undefined) element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  };

  document.body.classList.add("js");

  // Parts of the page as tabs, and a panel for the function that the address names.
  const sections = all("main > section");
  const tabs = all("header nav a");
  const showSection = (id) => {
    for (const section of sections) section.hidden = section.id !== id;
    for (const tab of tabs) {
      if (tab.hash === "#" + id) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    if (id === "overview") graph.fit();
  };
  const route = () => {
    const hash = location.hash.slice(1);
    const number = /^f(\d+)$/.exec(hash);
    if (number && Number(number[1]) < functionCount) panel.open(Number(number[1]));
    else {
      panel.close();
      if (sections.some((section) => section.id === hash)) showSection(hash);
    }
    if (sections.every((section) => !section.hidden)) showSection("overview");
  };

  // Tables that sort by a click on a column's head.
  const sortKey = (cell, isNumber) => {
    const text = cell ? cell.textContent.trim() : "";
    if (!isNumber) return text;
    const number = parseFloat(text);
    return Number.isNaN(number) ? -Infinity : number;
  };
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const sortable = (table) => {
    const heads = all("thead th", table);
    const body = table.tBodies[0];
    const sort = (column, descending) => {
      const isNumber = heads[column].classList.contains("num");
      const order = isNumber ? (a, b) => a - b : compare;
      const rows = [...body.rows].map((row) => ({ row, key: sortKey(row.cells[column], isNumber) }));
      rows.sort((a, b) => (descending ? order(b.key, a.key) : order(a.key, b.key)));
      body.append(...rows.map(({ row }) => row));
      for (const head of heads) head.removeAttribute("aria-sort");
      heads[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
    };
    heads.forEach((head, column) => {
      const click = () => {
        // Numbers sort the greatest first.
        const before = head.getAttribute("aria-sort");
        const isNumber = head.classList.contains("num");
        sort(column, before ? before === "ascending" : isNumber);
      };
      const button = make("button", { type: "button", onclick: click }, ...head.childNodes);
      head.append(button);
    });
  };

  // A field that filters rows by words, and boxes for decisions.
  const filters = (section, verdicts) => {
    const rows = all("tbody tr", section).map((row) => ({
      row,
      text: row.textContent.toLowerCase(),
    }));
    const count = make("span", { class: "count", role: "status" });
    const apply = () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      const shown = boxes.filter((box) => box.checked).map((box) => box.value);
      let left = 0;
      for (const { row, text } of rows) {
        const fits = words.every((word) => text.includes(word));
        row.hidden = !fits || (boxes.length > 0 && !shown.includes(row.className));
        left += row.hidden ? 0 : 1;
      }
      count.textContent = `${left} of ${rows.length}`;
    };
    const field = make("input", {
      type: "search",
      placeholder: "Filter by words",
      "aria-label": "Filter by words",
      oninput: apply,
    });
    const boxes = verdicts.map((value) =>
      make("input", { type: "checkbox", value, checked: "", onchange: apply }),
    );
    const labels = boxes.map((box) => make("label", { class: box.value }, box, box.value));
    one(".scroll", section).before(make("div", { class: "tools" }, field, ...labels, count));
    apply();
  };

  // The picture, with zoom and movement.
  const graph = (() => {
    const svg = one("#graph");
    const whole = svg.getAttribute("viewBox").split(" ").map(Number);
    let view = [...whole];
    svg.removeAttribute("width");
    svg.removeAttribute("height");
    const scale = () => {
      const box = svg.getBoundingClientRect();
      return Math.min(box.width / view[2], box.height / view[3]) || 1;
    };
    const show = () => {
      svg.setAttribute("viewBox", view.map((n) => n.toFixed(2)).join(" "));
      svg.classList.toggle("near-enough", scale() > 1.15);
    };
    const fit = () => {
      view = [...whole];
      // A small graph does not fill the screen.
      const surplus = Math.max(scale() / 1.6, 1) - 1;
      view = [
        whole[0] - (whole[2] * surplus) / 2,
        whole[1] - (whole[3] * surplus) / 2,
        whole[2] * (1 + surplus),
        whole[3] * (1 + surplus),
      ];
      show();
    };
    const place = (x, y) => {
      const matrix = svg.getScreenCTM();
      return matrix ? new DOMPoint(x, y).matrixTransform(matrix.inverse()) : new DOMPoint(x, y);
    };
    const zoom = (factor, x, y) => {
      const box = svg.getBoundingClientRect();
      const at = place(x ?? box.x + box.width / 2, y ?? box.y + box.height / 2);
      const width = Math.min(Math.max(view[2] * factor, 40), whole[2] * 2);
      const ratio = width / view[2];
      view = [
        at.x - (at.x - view[0]) * ratio,
        at.y - (at.y - view[1]) * ratio,
        width,
        view[3] * ratio,
      ];
      show();
    };
    const wheel = (event) => {
      event.preventDefault();
      zoom(Math.exp(Math.sign(event.deltaY) * 0.18), event.clientX, event.clientY);
    };
    svg.addEventListener("wheel", wheel, { passive: false });
    const fingers = new Map();
    let moved = 0;
    svg.addEventListener("pointerdown", (event) => {
      if (fingers.size === 0) moved = 0;
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
    });
    svg.addEventListener("pointermove", (event) => {
      const last = fingers.get(event.pointerId);
      if (!last) return;
      const now = [event.clientX, event.clientY];
      const [dx, dy] = [now[0] - last[0], now[1] - last[1]];
      moved += Math.hypot(dx, dy);
      // A click stays a click; longer movements are followed outside too.
      if (moved > 5 && !svg.hasPointerCapture(event.pointerId)) svg.setPointerCapture(event.pointerId);
      if (fingers.size === 2) {
        const [other] = [...fingers].filter(([id]) => id !== event.pointerId);
        const apart = (at) => Math.hypot(at[0] - other[1][0], at[1] - other[1][1]) || 1;
        zoom(apart(last) / apart(now), (now[0] + other[1][0]) / 2, (now[1] + other[1][1]) / 2);
      } else if (moved > 5) {
        view[0] -= dx / scale();
        view[1] -= dy / scale();
        show();
      }
      fingers.set(event.pointerId, now);
    });
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
      svg.addEventListener(name, (event) => fingers.delete(event.pointerId));
    }
    const noDrag = (event) => {
      if (moved > 5 && event.detail > 0) event.preventDefault();
    };
    svg.addEventListener("click", noDrag, true);
    svg.addEventListener("dragstart", (event) => event.preventDefault());
    const button = (text, label, onclick) =>
      make("button", { type: "button", "aria-label": label, title: label, onclick }, text);
    svg.after(
      make(
        "div",
        { class: "zoom" },
        button("+", "Zoom in", () => zoom(0.7)),
        button("−", "Zoom out", () => zoom(1 / 0.7)),
        button("Fit", "Show all", fit),
      ),
    );
    addEventListener("resize", show);

    /** Marks a function with its calls; -1 marks nothing. */
    const choose = (number) => {
      const beside = new Set([number]);
      svg.classList.toggle("choice", number >= 0);
      for (const line of all(".lines path", svg)) {
        const [from, to] = data.calls[line.dataset.c];
        const touches = from === number || to === number;
        line.classList.toggle("beside", touches);
        if (touches) beside.add(from).add(to);
      }
      for (const disc of all("[data-n]", svg)) {
        disc.classList.toggle("beside", number >= 0 && beside.has(Number(disc.dataset.n)));
        disc.classList.toggle("chosen", Number(disc.dataset.n) === number);
      }
    };
    return { fit, choose };
  })();

  // The functions around one: callers to the left, callees to the right.
  const around = (number, room) => {
    const side = (of, other) => {
      const ends = new Map();
      for (const call of data.calls) {
        if (call[of] !== number || call[other] === number) continue;
        const end = ends.get(call[other]) ?? { number: call[other], calls: [] };
        end.calls.push({ verdict: call[2], count: call[3] });
        ends.set(call[other], end);
      }
      const count = (end) => end.calls.reduce((sum, call) => sum + call.count, 0);
      const sorted = [...ends.values()].sort((a, b) => count(b) - count(a) || a.number - b.number);
      return { shown: sorted.slice(0, 12), more: sorted.length - 12 };
    };
    const callers = side(1, 0);
    const callees = side(0, 1);
    if (callers.shown.length + callees.shown.length === 0) return [];
    const rows = Math.max(callers.shown.length, callees.shown.length);
    const height = rows * 26 + 34;
    const width = Math.min(Math.max(room, 320), 640);
    const middle = rows * 13 + 6;
    const size = (n) => Math.max(...(data.sizes[n] ?? [0]).map(Number));
    const greatest = Math.max(1, ...[...callers.shown, ...callees.shown, { number }].map((end) => size(end.number)));
    const radius = (n) => 2 + 12 * Math.sqrt(size(n) / greatest);
    const svg = make("svg", {
      class: "around",
      viewBox: `0 0 ${width} ${height}`,
      role: "group",
      "aria-label": "Callers to the left, callees to the right",
    });
    // A character is about 7 wide.
    const most = Math.floor((width * 0.3 - 20) / 7.3);
    const cut = (name) => (name.length > most ? name.slice(0, most - 1) + "…" : name);
    const label = (n, attributes) => {
      const text = make("text", attributes, make("title", {}, data.names[n]), cut(data.names[n]));
      return n < functionCount ? make("a", { svg: true, href: "#f" + n }, text) : text;
    };
    const column = ({ shown, more }, left) => {
      const x = width * (left ? 0.3 : 0.7);
      const top = middle - shown.length * 13 + 13;
      shown.forEach((end, row) => {
        const y = top + row * 26;
        end.calls.forEach(({ verdict, count }, nth) => {
          const shift = (nth - (end.calls.length - 1) / 2) * 7;
          const [x1, x2] = left ? [x + 16, width / 2 - 18] : [width / 2 + 18, x - 16];
          const [y1, y2] = left ? [y + shift, middle] : [middle, y + shift];
          const half = (x1 + x2) / 2;
          svg.append(
            make("path", { class: verdict, d: `M${x1} ${y1}C${half} ${y1} ${half} ${y2} ${x2} ${y2}` },
              make("title", {}, `${verdict}, ${count} ${count === 1 ? "call" : "calls"}`)),
          );
          if (count > 1) {
            svg.append(make("text", { class: "n", x: left ? x + 18 : x - 34, y: y + shift - 2 }, `×${count}`));
          }
        });
        svg.append(
          make("circle", { cx: x, cy: y, r: radius(end.number).toFixed(1) }),
          label(end.number, { x: left ? x - 18 : x + 18, y: y + 4, "text-anchor": left ? "end" : "start" }),
        );
      });
      if (more > 0) {
        svg.append(make("text", { class: "n", x, y: height - 4, "text-anchor": "middle" }, `and ${more} more`));
      }
    };
    column(callers, true);
    column(callees, false);
    svg.append(
      make("circle", { cx: width / 2, cy: middle, r: radius(number).toFixed(1) }),
      make("text", { x: width / 2, y: middle + 28, "text-anchor": "middle" }, cut(data.names[number])),
    );
    return [svg];
  };

  // The texts of functions: a chunk is unpacked when its first text is shown.
  const chunks = new Map();
  const unpack = async (id) => {
    const bytes = Uint8Array.from(atob(one("#" + id).textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return JSON.parse(await new Response(stream).text());
  };
  // The place of a function's text: the id of its chunk, and its index there.
  const placesIn = (lists, prefix) => {
    const places = new Map();
    lists.forEach((numbers, chunk) =>
      numbers.forEach((number, place) => places.set(number, { chunk: prefix + chunk, place })),
    );
    return places;
  };
  const places = placesIn(data.texts, "t");
  const codePlaces = placesIn(data.code, "c");
  const entry = async ({ chunk, place }) => {
    if (!chunks.has(chunk)) chunks.set(chunk, unpack(chunk));
    return (await chunks.get(chunk))[place];
  };
  const textOf = async (number) => {
    const [before, pieces] = await entry(places.get(number));
    return { before: before.split("\n"), pieces };
  };
  const textAfter = ({ before, pieces }) => {
    const part = (piece) =>
      typeof piece === "string" ? [piece] : before.slice(piece[0], piece[0] + piece[1]);
    return pieces ? pieces.flatMap(part).join("\n") : before.join("\n");
  };
  /** Elements for removed and added lines, with some lines around them. */
  const changes = ({ before, pieces }) => {
    const AROUND = 3;
    const out = [];
    let next = 0;
    const went = (end) => {
      if (end > next) out.push(make("del", {}, before.slice(next, end).join("\n")));
    };
    pieces.forEach((piece, index) => {
      if (typeof piece === "string") {
        // The replaced lines come first.
        const following = pieces[index + 1];
        const end = following ? following[0] : before.length;
        went(end);
        next = end;
        out.push(make("ins", {}, piece));
        return;
      }
      went(piece[0]);
      next = piece[0] + piece[1];
      const lines = before.slice(piece[0], next);
      const head = index === 0 ? 0 : AROUND;
      const tail = index + 1 === pieces.length && next === before.length ? 0 : AROUND;
      if (lines.length <= head + tail + 2) out.push(lines.join("\n") + "\n");
      else {
        if (head) out.push(lines.slice(0, head).join("\n") + "\n");
        out.push(make("i", {}, `… ${lines.length - head - tail} lines stay …`));
        if (tail) out.push(lines.slice(-tail).join("\n") + "\n");
      }
    });
    went(before.length);
    return out;
  };
  /** Buttons for the tree and the texts of a function, and the chosen view below them. */
  const views = (number, tree) => {
    const shown = make("div");
    const buttons = make("div", { class: "views", role: "group", "aria-label": "View" });
    const view = (name, content) => {
      const show = async () => {
        for (const other of buttons.children) other.setAttribute("aria-pressed", other === button);
        try {
          shown.replaceChildren(...(await content()));
        } catch (error) {
          shown.replaceChildren(`This browser cannot unpack the text: ${error}`);
        }
      };
      const button = make("button", { type: "button", onclick: show }, name);
      buttons.append(button);
      return button;
    };
    const pre = (children) => [make("pre", { tabindex: "0" }, ...children)];
    const first = view("Inline tree", () => [tree]);
    if (places.has(number)) {
      view("CLIF before", async () => pre([(await textOf(number)).before.join("\n")]));
      view("CLIF after", async () => pre([textAfter(await textOf(number))]));
      view("Changes", async () => {
        const text = await textOf(number);
        return text.pieces ? pre(changes(text)) : [make("p", {}, "Inlining did not change the text.")];
      });
    }
    if (codePlaces.has(number)) {
      view("Machine code", async () => {
        const code = pre([await entry(codePlaces.get(number))]);
        if (!places.has(number)) return code;
        return [make("div", { class: "both" }, ...pre([textAfter(await textOf(number))]), ...code)];
      });
    }
    first.click();
    return [buttons, shown];
  };

  // The details of one function.
  const panel = (() => {
    const aside = make("aside", { "aria-label": "One function", hidden: "" });
    document.body.append(aside);
    let lastSection = "#overview";
    const leave = () => {
      location.hash = lastSection;
    };
    const open = (number) => {
      const shown = sections.find((section) => !section.hidden && sections.some((s) => s.hidden));
      if (shown) lastSection = "#" + shown.id;
      const source = document.getElementById("f" + number);
      const told = source.cloneNode(true);
      told.removeAttribute("id");
      const tree = one(".tree", told) ?? told.lastChild;
      tree.remove();
      const head = make("h2", { tabindex: "-1" }, data.names[number]);
      aside.hidden = false;
      aside.replaceChildren(
        make("button", { class: "close", type: "button", "aria-label": "Close", onclick: leave }, "✕"),
        head,
        told,
        ...around(number, aside.clientWidth - 32),
        ...views(number, tree),
      );
      aside.scrollTop = 0;
      document.body.classList.add("open");
      head.focus({ preventScroll: true });
      graph.choose(number);
    };
    const close = () => {
      if (aside.hidden) return;
      aside.hidden = true;
      document.body.classList.remove("open");
      graph.choose(-1);
    };
    addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !aside.hidden) leave();
    });
    return { open, close };
  })();

  // A field to find a function by its name.
  const search = () => {
    const options = data.names.slice(0, functionCount).map((value) => make("option", { value }));
    const go = (event) => {
      // One name may be the beginning of another: typing alone leads nowhere.
      if (event.type === "input" && event.inputType !== "insertReplacementText") return;
      if (event.type === "keydown" && event.key !== "Enter") return;
      const number = data.names.indexOf(event.target.value);
      if (number >= 0 && number < functionCount) location.hash = "f" + number;
    };
    one("header").append(
      make("input", {
        type: "search",
        list: "names",
        placeholder: "Go to a function",
        "aria-label": "Go to a function",
        oninput: go,
        onchange: go,
        onkeydown: go,
      }),
      make("datalist", { id: "names" }, ...options),
    );
  };

  all("table.sortable").forEach(sortable);
  filters(one("#functions"), []);
  filters(one("#sites"), ["inlined", "kept", "refused", "external"]);
  search();
  addEventListener("hashchange", route);
  route();
}
