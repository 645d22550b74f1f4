// Small tools. Text from the data reaches the page as text nodes and attribute values, never as markup.

const DATA = JSON.parse(document.getElementById("data").textContent);
const COLUMNS = new Map(DATA.columns.map((column) => [column.name, column]));
const byId = (id) => document.getElementById(id);

/** An element. Attributes that are functions become listeners, true an empty attribute, false none. */
function el(name, attributes, ...children) {
  return dress(document.createElement(name), attributes, children);
}

/** The same for drawings. */
function svg(name, attributes, ...children) {
  return dress(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function dress(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") node.addEventListener(key, value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** Text somebody else wrote: kept apart from its neighbours whatever direction it runs in. */
const foreign = (text) => el("bdi", null, /\S/.test(text) ? text : "(empty)");

/** A name of bounded length; the middle goes, since ends tell apart. */
const brief = (text, length) =>
  text.length <= length ? text : `${text.slice(0, length - 9)}…${text.slice(-8)}`;

const isNumber = (value) => typeof value === "number";

/** A value as people read it: percent with two decimals, or raw with four. */
function show(column, value, signed = false) {
  if (!isNumber(value)) return "–";
  const text = column.percent ? (100 * value).toFixed(2) : value.toFixed(4);
  const plain = Number(text) === 0 ? text.replace("-", "") : text;
  return (signed && Number(plain) > 0 ? "+" + plain : plain).replace("-", "−");
}

const showInterval = (column, cell) =>
  cell && isNumber(cell.low) ? `${show(column, cell.low)} to ${show(column, cell.high)}` : "no interval";

/** Numbers from least to greatest or the other way; what has no value comes last either way. */
function compareValues(a, b, descending) {
  if (isNumber(a) !== isNumber(b)) return isNumber(a) ? -1 : 1;
  if (!isNumber(a)) return 0;
  return descending ? b - a : a - b;
}

/** The next direction of a sortable header, written to `aria-sort` of it and its neighbours. */
function turn(header, first) {
  const now = header.getAttribute("aria-sort");
  const second = first === "descending" ? "ascending" : "descending";
  const next = now === first ? second : now === second ? "none" : first;
  for (const other of header.parentElement.children) {
    if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
  }
  header.setAttribute("aria-sort", next);
  return next;
}

/** A table header that sorts when pressed. */
function sortHeader(text, state, key, first, pressed) {
  const header = el("th", { scope: "col", "aria-sort": state.key === key ? state.direction : "none" });
  const sort = () => {
    state.direction = turn(header, first);
    state.key = state.direction === "none" ? "" : key;
    pressed();
  };
  header.append(el("button", { type: "button", class: "sort", click: sort }, text));
  return header;
}

/** Rows shown page by page: a caption that counts, and buttons that keep the focus. */
function pager(size, draw) {
  let first = 0;
  let total = 0;
  const said = el("span", { class: "count", role: "status" });
  const step = (by) => () => show_(first + by);
  const back = el("button", { type: "button", click: step(-size) }, "Previous");
  const on = el("button", { type: "button", click: step(size) }, "Next");
  function show_(start) {
    first = Math.max(0, Math.min(start, total - 1 - ((total - 1) % size)));
    const stop = Math.min(first + size, total);
    said.textContent = total ? `${first + 1} to ${stop} of ${total}` : "nothing to show";
    back.setAttribute("aria-disabled", String(first <= 0));
    on.setAttribute("aria-disabled", String(stop >= total));
    draw(first, stop);
  }
  return {
    node: el("div", { class: "pager" }, back, on, said),
    reset(count) {
      total = count;
      show_(0);
    },
  };
}

/** Replace the options of a select; `choices` are [value, text, group]. */
function fillSelect(select, choices, chosen) {
  const groups = new Map();
  for (const [value, text, group] of choices) {
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(el("option", { value, selected: value === chosen }, text));
  }
  const parts = [...groups].map(([label, options]) =>
    label ? el("optgroup", { label }, options) : options
  );
  select.replaceChildren(...parts.flat());
}
