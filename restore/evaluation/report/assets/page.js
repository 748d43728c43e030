"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const make = (tag, properties = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };
  const options = (select, names) => names.forEach((name, i) => select.append(make("option", { value: String(i) }, name)));

  // ---- before and after -----------------------------------------------------------------------------------------

  const viewer = () => {
    const stage = byId("stage");
    if (!stage) return;
    const images = { left: byId("image-left"), right: byId("image-right") };
    const choice = { left: byId("choose-left"), right: byId("choose-right") };
    const tag = { left: byId("tag-left"), right: byId("tag-right") };
    const slide = byId("slide"), handle = byId("handle"), top = byId("layer-left");
    const row = byId("choose-row"), roles = byId("choose-role");
    const view = { zoom: 1, x: 0, y: 0 };
    let entry = null;

    const names = {
      "input": "before", "output": "after", "truth": "truth",
      "input error": "error before", "output error": "error after",
    };

    const place = () => {
      const { clientWidth: w, clientHeight: h } = stage;
      view.x = Math.min(0, Math.max(w * (1 - view.zoom), view.x));
      view.y = Math.min(0, Math.max(h * (1 - view.zoom), view.y));
      const transform = `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;
      images.left.style.transform = images.right.style.transform = transform;
      stage.classList.toggle("zoomed", view.zoom > 1);
      stage.classList.toggle("pixels", view.zoom >= 3);
      byId("zoom-level").textContent = `${view.zoom.toFixed(view.zoom % 1 ? 1 : 0)}\u00d7`;
    };
    const zoomAt = (zoom, x, y) => {
      zoom = Math.min(16, Math.max(1, zoom));
      view.x = x - (x - view.x) * (zoom / view.zoom);
      view.y = y - (y - view.y) * (zoom / view.zoom);
      view.zoom = zoom;
      place();
    };
    const zoomCentre = (zoom) => zoomAt(zoom, stage.clientWidth / 2, stage.clientHeight / 2);
    const split = (percent) => {
      slide.value = String(percent);
      top.style.clipPath = `inset(0 ${100 - percent}% 0 0)`;
      handle.style.left = `${percent}%`;
    };
    const layers = () => {
      for (const side of ["left", "right"]) {
        const name = choice[side].value;
        images[side].src = data.images[entry.images[name]];
        images[side].alt = `${entry.name}, ${names[name]}`;
        tag[side].textContent = names[name];
      }
      byId("legend").hidden = ![choice.left.value, choice.right.value].some((name) => name.endsWith("error"));
    };
    const open = (next) => {
      const kept = { left: choice.left.value, right: choice.right.value };
      entry = next;
      const known = Object.keys(names).filter((name) => name in entry.images);
      for (const side of ["left", "right"]) {
        choice[side].replaceChildren(...known.map((name) => make("option", { value: name }, names[name])));
      }
      choice.left.value = known.includes(kept.left) ? kept.left : known[0];
      choice.right.value = known.includes(kept.right) ? kept.right : known[1];
      stage.style.aspectRatio = `${entry.width} / ${entry.height}`;
      stage.style.maxWidth = `min(100%, calc(78vh * ${entry.width / entry.height}))`;
      byId("image-caption").textContent = entry.caption;
      view.zoom = 1;
      row.value = String(entry.row);
      const shown = data.entries.filter((other) => other.row === entry.row);
      roles.replaceChildren(...shown.map((other) => {
        const button = make("button", { type: "button", onclick: () => open(other) }, `${other.role} ${other.gain}`);
        button.setAttribute("aria-pressed", String(other === entry));
        return button;
      }));
      layers();
      place();
    };

    options(row, data.rows);
    [...row.options].forEach((option, i) => { option.hidden = option.disabled = !data.entries.some((e) => e.row === i); });
    byId("row-label").hidden = new Set(data.entries.map((e) => e.row)).size < 2;
    row.onchange = () => open(data.entries.find((e) => e.row === Number(row.value)));
    choice.left.onchange = choice.right.onchange = layers;
    slide.oninput = () => split(Number(slide.value));
    byId("zoom-in").onclick = () => zoomCentre(view.zoom * 2);
    byId("zoom-out").onclick = () => zoomCentre(view.zoom / 2);
    byId("zoom-fit").onclick = () => zoomCentre(1);

    let drag = null;
    stage.onpointerdown = (event) => {
      const box = stage.getBoundingClientRect();
      const x = event.clientX - box.left;
      const near = Math.abs(x - (Number(slide.value) / 100) * box.width) < 24;
      drag = { panning: view.zoom > 1 && !near, x: event.clientX, y: event.clientY };
      stage.setPointerCapture(event.pointerId);
      if (!drag.panning) split((100 * x) / box.width);
    };
    stage.onpointermove = (event) => {
      if (!drag) return;
      if (drag.panning) {
        view.x += event.clientX - drag.x;
        view.y += event.clientY - drag.y;
        Object.assign(drag, { x: event.clientX, y: event.clientY });
        place();
      } else {
        const box = stage.getBoundingClientRect();
        split(Math.min(100, Math.max(0, (100 * (event.clientX - box.left)) / box.width)));
      }
    };
    stage.onpointerup = stage.onpointercancel = () => { drag = null; };
    stage.ondblclick = (event) => {
      const box = stage.getBoundingClientRect();
      zoomAt(view.zoom > 1 ? 1 : 4, event.clientX - box.left, event.clientY - box.top);
    };
    stage.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && view.zoom === 1) return; // a plain wheel scrolls the page
      event.preventDefault();
      const box = stage.getBoundingClientRect();
      zoomAt(view.zoom * Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    stage.onkeydown = (event) => {
      const pan = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
      if (event.key === "+" || event.key === "=") zoomCentre(view.zoom * 2);
      else if (event.key === "-") zoomCentre(view.zoom / 2);
      else if (event.key === "0") zoomCentre(1);
      else if (pan && view.zoom > 1) { view.x += pan[0]; view.y += pan[1]; place(); }
      else return;
      event.preventDefault();
    };
    addEventListener("resize", place);
    open(data.entries[0]);
    split(50);
    return open;
  };
  const open = viewer();

  // ---- every image --------------------------------------------------------------------------------------------

  const table = () => {
    const host = byId("images-table");
    if (!host) return;
    const FIRST = 100;
    const protocol = byId("table-protocol"), row = byId("table-row"), search = byId("table-search");
    options(protocol, data.protocols);
    row.append(make("option", { value: "" }, "all"));
    options(row, data.rows);
    byId("table-row-label").hidden = data.rows.length < 2;
    byId("table-protocol-label").hidden = data.protocols.length < 2;

    const number = (value) => (value === null ? NaN : value === "inf" ? Infinity : value);
    const score = (metric, side) => (r) => number(r.scores[Number(protocol.value)][2 * metric + side]);
    const fixed = (places, sign = false) => (v) =>
      Number.isNaN(v) ? "\u2013" : v === Infinity ? "identical" : (sign && v > 0 ? "+" : "") + v.toFixed(places);
    const columns = [{ name: "image", text: true, get: (r) => r.name }];
    if (data.rows.length > 1) columns.push({ name: "row", text: true, get: (r) => data.rows[r.row] });
    if (new Set(data.scored.map((r) => r[2])).size > 1) columns.push({ name: "seed", get: (r) => r.seed, show: String });
    columns.push({ name: "size", get: (r) => r.width * r.height, cell: (r) => `${r.width}\u00d7${r.height}` });
    data.metrics.forEach((metric, i) => {
      const show = fixed(metric.decimals);
      if (data.paired) columns.push({ name: `${metric.name} before`, get: score(i, 0), show });
      columns.push({ name: data.paired ? "after" : metric.name, get: score(i, 1), show, label: `${metric.name} after` });
      if (data.paired) {
        const gain = (r) => { const g = score(i, 1)(r) - score(i, 0)(r); return Number.isFinite(g) ? g : NaN; };
        const shade = (v) => (Number.isNaN(v) || v === 0 ? "" : (v > 0) === metric.higher ? "good" : "bad");
        columns.push({ name: "gain", get: gain, show: fixed(metric.decimals, true), shade, label: `gain in ${metric.name}` });
      }
    });
    if (data.scored.some((r) => r[5] !== null)) columns.push({ name: "seconds", get: (r) => number(r.seconds), show: fixed(2) });

    const all = data.scored.map(([row, name, seed, height, width, seconds, scores]) =>
      ({ row, name, seed, height, width, seconds, scores }));
    const drawn = new Map(data.entries.map((e) => [`${e.row}|${e.name}|${e.seed}`, e]));
    const order = { column: columns.findIndex((c) => c.name === "gain"), down: true };
    if (order.column < 0) order.column = 0, order.down = false;
    let limit = FIRST;

    const head = columns.map((column, i) => {
      const button = make("button", { type: "button" }, column.name);
      if (column.label) button.setAttribute("aria-label", column.label);
      const cell = make("th", { scope: "col", className: column.text ? "" : "n" }, button);
      button.onclick = () => {
        order.down = order.column === i ? !order.down : !column.text;
        order.column = i;
        render();
      };
      return cell;
    });
    const body = make("tbody");
    host.append(make("thead", {}, make("tr", {}, ...head)), body);

    const compare = (a, b) => {
      if (typeof a === "string") return a.localeCompare(b, undefined, { numeric: true });
      return a === b ? 0 : a - b;
    };
    const sorted = (rows) => {
      const { get } = columns[order.column];
      const missing = (v) => typeof v === "number" && Number.isNaN(v);
      return rows.map((r) => [get(r), r]).sort(([a, x], [b, y]) => {
        if (missing(a) || missing(b)) return missing(a) - missing(b); // what has no value stays below
        return (order.down ? -1 : 1) * compare(a, b) || compare(x.name, y.name);
      }).map(([, r]) => r);
    };
    const line = (r) => make("tr", {}, ...columns.map((column, i) => {
      const value = column.get(r);
      const cell = make("td", { className: column.text ? "" : "n" });
      if (column.shade) cell.className += ` ${column.shade(value)}`;
      const entry = i === 0 && open && drawn.get(`${r.row}|${r.name}|${r.seed}`);
      if (entry) {
        const show = () => { open(entry); byId("images").scrollIntoView(); };
        cell.append(make("button", { type: "button", className: "link", title: "show the image", onclick: show }, value));
      } else cell.textContent = column.cell ? column.cell(r) : column.show ? column.show(value) : value;
      return cell;
    }));
    const render = () => {
      const words = search.value.toLowerCase();
      const kept = all.filter((r) =>
        (row.value === "" || r.row === Number(row.value)) && r.name.toLowerCase().includes(words)
        && r.scores[Number(protocol.value)]);
      body.replaceChildren(...sorted(kept).slice(0, limit).map(line));
      head.forEach((cell, i) => {
        if (i === order.column) cell.setAttribute("aria-sort", order.down ? "descending" : "ascending");
        else cell.removeAttribute("aria-sort");
      });
      byId("table-count").textContent = kept.length > limit ? `${limit} of ${kept.length} shown` : `${kept.length} shown`;
      byId("table-more").hidden = kept.length <= limit;
    };
    byId("table-more").onclick = () => { limit = Infinity; render(); };
    protocol.onchange = row.onchange = search.oninput = () => { limit = FIRST; render(); };
    render();
  };
  table();
})();
