// The ranking: tables that came with the page learn to sort and filter.

function setUpTables() {
  const tables = [...document.querySelectorAll("table.board")].map(sortableTable);
  const rows = tables.flatMap((table) => table.rows);
  const said = byId("filter-count");
  const filter = () => {
    const words = byId("filter").value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    const kind = byId("kind").value;
    for (const row of rows) {
      const label = row.dataset.label.toLocaleLowerCase();
      const fits = words.every((word) => label.includes(word));
      row.hidden = !fits || (kind !== "all" && row.dataset.kind !== kind);
    }
    const seen = rows.filter((row) => !row.hidden).length;
    said.textContent = seen === rows.length ? `${seen} models` : `${seen} of ${rows.length} models`;
    for (const table of tables) table.empty.hidden = table.rows.some((row) => !row.hidden);
  };
  byId("filter").addEventListener("input", filter);
  byId("kind").addEventListener("change", filter);
  byId("columns").addEventListener("change", (event) => chooseColumns(event.target.value));
  byId("bounds").addEventListener("change", (event) => {
    document.body.classList.toggle("no-bounds", !event.target.checked);
  });
  filter();
}

/** The places of a table's rows by one column; a column without places hides them. */
function showRanks(table, rows, name) {
  const places = rows.map((row) => DATA.models[Number(row.dataset.model)].cells[name]?.rank);
  const header = table.tHead.rows[0].cells[0];
  const none = !places.some(Boolean);
  header.hidden = none;
  header.querySelector("small").textContent = `by ${COLUMNS.get(name)?.title ?? ""}`;
  rows.forEach((row, i) => {
    const [best, worst] = places[i] ?? ["–", "–"];
    row.cells[0].hidden = none;
    row.cells[0].textContent = best === worst ? String(best) : `${best}–${worst}`;
  });
}

/** Give a table's headers their buttons; rows keep the order they came in until one is pressed. */
function sortableTable(table) {
  const body = table.tBodies[0];
  const rows = [...body.rows].filter((row) => row.dataset.label !== undefined);
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, place) => {
    if (!header.hasAttribute("aria-sort")) return;
    const text = header.dataset.sort === "text";
    const press = () => {
      const direction = turn(header, header.dataset.first);
      const sorted = [...rows];
      if (direction !== "none") sorted.sort(text ? byLabel(direction) : byValue(place, direction));
      const ranking = direction === "none" || text ? table.dataset.rankedBy : header.dataset.column;
      showRanks(table, rows, ranking);
      body.prepend(...sorted);
    };
    const button = el("button", { type: "button", class: "sort", click: press });
    button.append(...header.childNodes);
    header.append(button);
  });
  return { rows, empty: table.querySelector("tr.empty") };
}

const byLabel = (direction) => (a, b) =>
  a.dataset.label.localeCompare(b.dataset.label) * (direction === "descending" ? -1 : 1);

const byValue = (place, direction) => {
  const value = (row) => {
    const said = row.cells[place].dataset.value;
    return said === undefined ? null : Number(said);
  };
  return (a, b) => compareValues(value(a), value(b), direction === "descending");
};

/** Show all columns, or those of one set beside the model and its rank. */
function chooseColumns(chosen) {
  for (const cell of document.querySelectorAll("table.board [data-set]")) {
    cell.hidden = chosen !== "all" && cell.dataset.set !== chosen;
  }
}
