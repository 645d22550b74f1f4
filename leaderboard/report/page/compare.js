// Two models side by side, and what differs in how their numbers came about.

function setUpCompare() {
  const choices = DATA.models.map((model, i) => [String(i), model.label, DATA.groups[model.group].title]);
  const pair = firstPair();
  ["compare-a", "compare-b"].forEach((id, k) => {
    fillSelect(byId(id), choices, String(pair[k]));
    byId(id).addEventListener("change", drawComparison);
  });
  byId("compare-swap").addEventListener("click", () => {
    const [a, b] = [byId("compare-a"), byId("compare-b")];
    [a.value, b.value] = [b.value, a.value];
    drawComparison();
  });
  drawComparison();
}

/** Two models of one protocol, runs before published rows. */
function firstPair() {
  const group = DATA.groups.find((one) => one.models.length > 1) ?? DATA.groups[0];
  const order = [...group.models].sort((a, b) => DATA.models[a].published - DATA.models[b].published);
  return [order[0], order[1] ?? DATA.models.length - 1];
}

function drawComparison() {
  const [a, b] = ["compare-a", "compare-b"].map((id) => DATA.models[Number(byId(id).value)]);
  const fair = a.group === b.group;
  const rows = DATA.columns
    .map((column) => ({ column, first: a.cells[column.name], second: b.cells[column.name] }))
    .filter(({ first, second }) => isNumber(first?.value) || isNumber(second?.value))
    .map((row) => ({ ...row, reading: fair ? reading(row.first, row.second) : "" }));
  byId("compare-said").textContent = fair
    ? summary(rows.map((row) => row.reading).filter(Boolean))
    : "These two follow different protocols: their numbers measure different things, so no difference is shown.";
  byId("compare-said").classList.toggle("warning", !fair);
  byId("compare-command").hidden = !fair || a.published || b.published || a === b;
  const head = [
    el("td", null, el("span", { class: "unseen" }, "Dimension")),
    ...["A", "B"].map((name, look) => el("th", { scope: "col", class: "num" }, legendMark(look), name)),
    fair ? el("th", { scope: "col", class: "num" }, "B − A") : null,
    el("th", { scope: "col" }, "A over B"),
    fair ? el("th", { scope: "col" }, "Intervals") : null,
  ];
  byId("compare-scores").replaceChildren(
    el("caption", null, "A: ", foreign(a.label), el("br"), "B: ", foreign(b.label)),
    el("thead", null, el("tr", null, head)),
    el("tbody", null, rows.map((row) => comparisonRow(row, fair)))
  );
  drawFacts(a, b);
}

const legendMark = (look) =>
  svg("svg", { width: 10, height: 10, viewBox: "-5 -5 10 10", "aria-hidden": "true" }, marker(look, 0, 0));

/** How two scores lie: intervals apart or not, or a lone figure within the other's interval or not. */
function reading(first, second) {
  if (!isNumber(first?.value) || !isNumber(second?.value)) return "";
  const [wide, narrow] = isNumber(first.low) ? [first, second] : [second, first];
  if (!isNumber(wide.low)) return "no interval";
  if (isNumber(narrow.low)) return wide.high < narrow.low || narrow.high < wide.low ? "apart" : "overlap";
  const inside = wide.low <= narrow.value && narrow.value <= wide.high;
  return `${wide === first ? "B" : "A"} ${inside ? "inside" : "outside"} ${wide === first ? "A" : "B"}'s`;
}

/** The readings of all rows in a sentence. */
function summary(readings) {
  const count = (...ends) => readings.filter((text) => ends.some((end) => text.includes(end))).length;
  const both = count("apart", "overlap");
  const lone = count("side");
  const said = [];
  if (both) said.push(`Intervals lie apart in ${count("apart")} of ${both} rows.`);
  if (lone) said.push(`A figure without interval lies outside the other's in ${count("outside")} of ${lone} rows; its own error is unknown.`);
  return said.join(" ") || "No row has an interval.";
}

function comparisonRow({ column, first, second, reading: said }, fair) {
  const both = isNumber(first?.value) && isNumber(second?.value);
  const [low, high] = roomFor([first, second].flatMap((cell) => [cell?.value, cell?.low, cell?.high]));
  const lines = [first, second].map((cell, k) => (isNumber(cell?.value) ? whisker(cell, low, high, k) : null));
  return el(
    "tr",
    { class: said },
    el("th", { scope: "row" }, column.title),
    [first, second].map((cell) => scoreCell(column, cell)),
    fair ? el("td", { class: "num strong" }, both ? show(column, second.value - first.value, true) : "–") : null,
    el("td", { class: "pair" }, lines),
    fair ? el("td", null, said || "–") : null
  );
}

const scoreCell = (column, cell) =>
  el(
    "td",
    { class: "num" },
    show(column, cell?.value),
    isNumber(cell?.value) ? el("small", null, showInterval(column, cell)) : null
  );

/** The facts of two models, leaf by leaf: those that differ, or a sentence that none does. */
function drawFacts(a, b) {
  const [first, second] = [new Map(a.facts), new Map(b.facts)];
  const keys = [...new Set([...first.keys(), ...second.keys()])];
  const differ = keys.filter((key) => first.get(key) !== second.get(key));
  const show_ = (facts, key) =>
    facts.has(key) ? foreign(facts.get(key)) : el("span", { class: "muted" }, "not recorded");
  byId("facts-said").textContent = a.published || b.published
    ? "Of a published row only its source is on record, neither protocol nor versions."
    : differ.length
      ? `${differ.length} of ${keys.length} recorded facts differ.`
      : `All ${keys.length} recorded facts are the same.`;
  byId("compare-facts").parentElement.hidden = !differ.length;
  byId("compare-facts").tBodies[0].replaceChildren(
    ...differ.map((key) =>
      el("tr", null, el("th", { scope: "row" }, key), el("td", null, show_(first, key)), el("td", null, show_(second, key)))
    )
  );
}
