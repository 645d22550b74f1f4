// Pictures of a few models of one protocol: a radar on the official scale, and intervals per dimension.

const MOST_DRAWN = 6;
// Colour, dash and marker each tell models apart on their own; the colours are in the style sheet.
const DASHES = ["", "7 3", "2 2", "8 3 2 3", "1 3", "12 3"];
const MARKERS = [
  "M-4 0A4 4 0 1 0 4 0A4 4 0 1 0-4 0Z",
  "M-3.6-3.6H3.6V3.6H-3.6Z",
  "M0-4.6L4.4 3.4H-4.4Z",
  "M0-5L5 0L0 5L-5 0Z",
  "M0 4.6L4.4-3.4H-4.4Z",
  "M-4.5-1.5H-1.5V-4.5H1.5V-1.5H4.5V1.5H1.5V4.5H-1.5V1.5H-4.5Z",
];

const plots = { group: 0, chosen: [] };

function setUpPlots() {
  const choices = DATA.groups.map((group, i) => [String(i), group.title, ""]);
  const select = byId("plot-group");
  fillSelect(select, choices, "0");
  select.closest("label").hidden = choices.length < 2;
  select.addEventListener("change", () => choosePlotGroup(Number(select.value)));
  choosePlotGroup(0);
}

/** A new protocol starts with its runs and, where there is room, its fullest published rows. */
function choosePlotGroup(group) {
  const models = DATA.groups[group].models;
  const runs = models.filter((i) => !DATA.models[i].published);
  const scores = (i) => Object.keys(DATA.models[i].cells).length;
  const others = models.filter((i) => DATA.models[i].published);
  const fullest = [...others].sort((a, b) => scores(b) - scores(a));
  plots.group = group;
  plots.chosen = [...runs, ...fullest.slice(0, runs.length ? 2 : 4)].slice(0, MOST_DRAWN);
  const rest = others.filter((i) => !plots.chosen.includes(i));
  byId("plot-models").replaceChildren(
    el("div", null, [...runs, ...others.filter((i) => plots.chosen.includes(i))].map(chip)),
    rest.length ? el("details", null, el("summary", null, `${rest.length} more published rows`), el("div", null, rest.map(chip))) : ""
  );
  drawPlots();
}

/** A box to tick for a model, with room for its line. */
const chip = (model) =>
  el(
    "label",
    { class: "chip" },
    el("input", { type: "checkbox", value: model, checked: plots.chosen.includes(model), change: pick }),
    svg("svg", { class: "key", width: 30, height: 12, viewBox: "-15 -6 30 12", "aria-hidden": "true" }),
    foreign(DATA.models[model].label)
  );

/** Keep each drawn model's look while others come and go: a model keeps its place in the list. */
function pick(event) {
  const model = Number(event.target.value);
  const free = plots.chosen.indexOf(null);
  if (!event.target.checked) plots.chosen[plots.chosen.indexOf(model)] = null;
  else if (free >= 0) plots.chosen[free] = model;
  else plots.chosen.push(model);
  drawPlots();
}

function drawPlots() {
  const drawn = plots.chosen.map((model, look) => ({ model, look })).filter(({ model }) => model !== null);
  const full = drawn.length >= MOST_DRAWN;
  for (const input of byId("plot-models").querySelectorAll("input")) {
    const found = drawn.find(({ model }) => model === Number(input.value));
    input.disabled = full && !found;
    const key = input.nextElementSibling;
    key.replaceChildren(...(found ? [keyLine(found.look), marker(found.look, 0, 0)] : []));
  }
  byId("plot-full").hidden = !full || DATA.groups[plots.group].models.length <= MOST_DRAWN;
  const names = DATA.columns
    .filter((column) => drawn.some(({ model }) => isNumber(DATA.models[model].cells[column.name]?.value)))
    .map((column) => column.name);
  const axes = names.filter((name) => isNumber(COLUMNS.get(name).minimum));
  byId("radar").replaceChildren(...(axes.length > 2 ? radar(drawn, axes) : []));
  byId("radar").closest("figure").hidden = axes.length < 3;
  byId("radar-gap").hidden = !axes.some((name) => drawn.some(({ model }) => !DATA.models[model].cells[name]));
  byId("panels").replaceChildren(...names.map((name) => panel(drawn, COLUMNS.get(name))));
}

const keyLine = (look) =>
  svg("path", { class: `line look-${look}`, d: "M-14 0H14", "stroke-dasharray": DASHES[look] });

const marker = (look, x, y) =>
  svg("path", { class: `marker look-${look}`, d: MARKERS[look], transform: `translate(${x} ${y})` });

/** The official scale: 0 at the published minimum, 1 at the maximum; beyond it the edge. */
function normal(column, value) {
  const share = (value - column.minimum) / (column.maximum - column.minimum);
  return Math.min(1, Math.max(0, share));
}

function radar(drawn, names) {
  const radius = 150;
  const at = (k, share) => {
    const angle = (2 * Math.PI * k) / names.length;
    return [radius * share * Math.sin(angle), -radius * share * Math.cos(angle)];
  };
  const said = drawn.map(({ model }) => DATA.models[model].label).join(", ");
  const picture = svg("svg", { viewBox: "-265 -200 530 400", role: "img", "aria-label": `Radar of ${said}; the table above holds its numbers` });
  for (const ring of [0.2, 0.4, 0.6, 0.8, 1]) {
    picture.append(svg("circle", { class: ring === 1 ? "rim" : "ring", r: radius * ring }));
  }
  names.forEach((name, k) => {
    const [x, y] = at(k, 1);
    picture.append(svg("line", { class: "ring", x2: x, y2: y }), spoke(COLUMNS.get(name).title, ...at(k, 1.07)));
  });
  for (const ring of [20, 40, 60, 80]) {
    picture.append(svg("text", { class: "tick", x: -3, y: (-radius * ring) / 100 + 3, "text-anchor": "end" }, String(ring)));
  }
  for (const { model, look } of drawn) {
    const points = names.map((name, k) => {
      const value = DATA.models[model].cells[name]?.value;
      return isNumber(value) ? at(k, normal(COLUMNS.get(name), value)) : null;
    });
    picture.append(
      svg("path", { class: `line look-${look}`, d: outline(points), "stroke-dasharray": DASHES[look] }),
      ...points.filter(Boolean).map(([x, y]) => marker(look, x, y))
    );
  }
  return [picture];
}

/** A closed path with a gap where a score is missing. */
function outline(points) {
  let path = "";
  points.forEach((point, k) => {
    const next = points[(k + 1) % points.length];
    if (point && next) path += `M${point.map(round)}L${next.map(round)}`;
  });
  return path;
}

const round = (x) => Math.round(10 * x) / 10;

/** A dimension's name at its spoke, on two lines. */
function spoke(title, x, y) {
  const anchor = Math.abs(x) < 15 ? "middle" : x > 0 ? "start" : "end";
  const [first, ...rest] = title.split(" ");
  const lines = rest.length ? [first, rest.join(" ")] : [first];
  const top = Math.abs(x) < 15 ? (y < 0 ? -13 * (lines.length - 1) : 10) : 4 - 6.5 * (lines.length - 1);
  return svg(
    "text",
    { class: "spoke", x, y: y + top, "text-anchor": anchor },
    lines.map((line, k) => svg("tspan", { x, dy: k ? 13 : 0 }, line))
  );
}

/** One dimension: a line per model with its point and interval, on a scale of their own. */
function panel(drawn, column) {
  const rows = drawn
    .map(({ model, look }) => ({ look, label: DATA.models[model].label, cell: DATA.models[model].cells[column.name] }))
    .filter(({ cell }) => isNumber(cell?.value));
  const ends = extent(rows.flatMap(({ cell }) => [cell.value, cell.low, cell.high]));
  const [low, high] = roomFor(ends);
  const lines = rows.map(({ look, label, cell }) =>
    el(
      "li",
      null,
      el("span", { class: "who", title: label }, foreign(brief(label, 20))),
      whisker(cell, low, high, look),
      el("span", { class: "num", title: showInterval(column, cell) }, show(column, cell.value)),
      el("span", { class: "unseen" }, `, ${showInterval(column, cell)}`)
    )
  );
  const scale = el("p", { class: "scale", "aria-hidden": "true", hidden: ends[0] === ends[1] }, ends.map((end) => el("span", null, show(column, end))));
  return el("section", { class: "panel" }, el("h3", null, column.title), el("ul", null, lines), scale);
}

/** Least and greatest of some values, some of which may be unknown. */
function extent(values) {
  const known = values.filter(isNumber);
  return [Math.min(...known), Math.max(...known)];
}

/** The ends of a picture that holds these values with a little air around them. */
function roomFor(values) {
  const [low, high] = extent(values);
  const air = (high - low || 1) * 0.06;
  return [low - air, high + air];
}

/** A point and its interval on 0..100 percent of the picture's width. */
function whisker(cell, low, high, look) {
  const place = (value) => `${(100 * (value - low)) / (high - low)}%`;
  const picture = svg("svg", { class: "whisker", width: "100%", height: 16, "aria-hidden": "true" });
  picture.append(svg("line", { class: "ring", x1: 0, x2: "100%", y1: 8, y2: 8 }));
  if (isNumber(cell.low)) {
    picture.append(svg("line", { class: `span look-${look}`, x1: place(cell.low), x2: place(cell.high), y1: 8, y2: 8 }));
  }
  picture.append(svg("svg", { x: place(cell.value), y: 8, overflow: "visible" }, marker(look, 0, 0)));
  return picture;
}
