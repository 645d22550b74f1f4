// One run from near: its worst videos, its prompts and their samples, and what has no score.

const PAGE = 25;
const details = { run: null, dimension: "", prompts: [], order: { key: "score", direction: "ascending" } };

function setUpDetails() {
  fillSelect(byId("detail-run"), runChoices(), "0");
  byId("detail-run").addEventListener("change", () => chooseRun(Number(byId("detail-run").value)));
  byId("detail-dimension").addEventListener("change", (event) => chooseDimension(event.target.value));
  byId("detail-search").addEventListener("input", listPrompts);
  details.pager = pager(PAGE, drawPrompts);
  byId("detail-pager").append(details.pager.node);
  for (const link of document.querySelectorAll("a[data-run]")) {
    link.addEventListener("click", () => {
      byId("detail-run").value = link.dataset.run;
      chooseRun(Number(link.dataset.run));
    });
  }
  chooseRun(0);
}

const runChoices = () =>
  DATA.runs.map((run, i) => {
    const model = DATA.models[run.model];
    return [String(i), model.label, DATA.groups[model.group].title];
  });

function chooseRun(number) {
  const run = DATA.runs[number];
  const names = Object.keys(run.values);
  const kept = names.includes(details.dimension) ? details.dimension : names[0];
  details.run = run;
  fillSelect(byId("detail-dimension"), names.map((name) => [name, COLUMNS.get(name).title, ""]), kept);
  chooseDimension(kept);
}

function chooseDimension(name) {
  details.dimension = name;
  const { run } = details;
  const column = COLUMNS.get(name);
  const cell = DATA.models[run.model].cells[name];
  const without = run.problems.filter((problem) => problem[1] === name).length;
  byId("detail-score").replaceChildren(
    el("strong", null, show(column, cell?.value)),
    !cell ? "" : isNumber(cell.low) ? `95 % interval ${showInterval(column, cell)}` : `no interval: ${cell.unsure}`,
    without ? ` · without a score: ${without}` : ""
  );
  details.prompts = promptScores(run, name);
  drawSpread(column);
  drawWorst(column);
  listPrompts();
}

/** The samples of each prompt that the dimension was asked for, with mean and lowest score. */
function promptScores(run, name) {
  const { samples, scores } = run.values[name];
  const asked = scores.map((value, i) => ({ sample: samples ? samples[i] : i, value }));
  for (const problem of run.problems) {
    if (problem[1] === name) asked.push({ sample: problem[0], value: null, problem });
  }
  const found = new Map();
  for (const one of asked.sort((a, b) => a.sample - b.sample)) {
    const prompt = run.prompts[one.sample];
    if (!found.has(prompt)) found.set(prompt, { text: DATA.texts[prompt], samples: [] });
    found.get(prompt).samples.push(one);
  }
  for (const one of found.values()) {
    const known = one.samples.map(({ value }) => value).filter(isNumber);
    one.known = known;
    one.score = known.length ? known.reduce((sum, x) => sum + x, 0) / known.length : null;
    one.lowest = known.length ? Math.min(...known) : null;
  }
  return [...found.values()];
}

/** How the prompts' scores are spread: a histogram of 24 bars. */
function drawSpread(column) {
  const scores = details.prompts.map((one) => one.score).filter(isNumber);
  const figure = byId("detail-spread");
  figure.hidden = scores.length < 2;
  if (figure.hidden) return;
  const low = Math.min(...scores);
  const high = Math.max(...scores);
  const bars = new Array(24).fill(0);
  for (const score of scores) bars[Math.min(23, Math.floor((24 * (score - low)) / (high - low || 1)))] += 1;
  const tallest = Math.max(...bars);
  const text = `${scores.length} prompts, from ${show(column, low)} to ${show(column, high)}`;
  figure.replaceChildren(
    svg(
      "svg",
      { viewBox: "0 0 240 48", role: "img", "aria-label": `Spread of ${text}` },
      bars.map((n, k) => svg("rect", { class: "bin", x: 10 * k + 1, width: 8, y: 48 - (46 * n) / tallest, height: (46 * n) / tallest })),
      svg("line", { class: "rim", x1: 0, x2: 240, y1: 47.5, y2: 47.5 })
    ),
    el("figcaption", null, text)
  );
}

function drawWorst(column) {
  const worst = details.run.worst[details.dimension] ?? [];
  byId("detail-worst").replaceChildren(...worst.map((one) => worstCard(column, one)));
  byId("detail-worst-none").hidden = worst.length > 0;
}

function worstCard(column, one) {
  const { run } = details;
  const seconds = one.span ? `lowest clip ${one.span.map((end) => end.toFixed(1)).join(" to ")} s` : "";
  return el(
    "li",
    { class: "card" },
    run.links ? el("div", { class: "screen" }, player(one, run)) : null,
    el("p", { class: "figures" }, el("strong", null, show(column, one.value)), el("span", { class: "muted" }, seconds)),
    el("p", { class: "prompt" }, foreign(DATA.texts[run.prompts[one.sample]])),
    el("p", { class: "muted" }, `sample ${run.indices[one.sample]}`, one.note ? ` · ${one.note}` : "")
  );
}

/** A poster that turns into the player when pressed, or a sentence that says what is missing. */
function player(one, run) {
  const name = DATA.texts[run.videos[one.sample]];
  const address = addressOf(run, one.sample);
  const poster = one.poster === null ? null : el("img", { src: DATA.posters[one.poster], alt: "" });
  if (!address) return [poster, el("p", { class: "absent" }, "not beside this report: ", foreign(name))];
  const moment = one.span ? `#t=${one.span[0].toFixed(2)}` : "";
  const label = `Play sample ${run.indices[one.sample]} of: ${DATA.texts[run.prompts[one.sample]].slice(0, 120)}`;
  const button = el(
    "button",
    { type: "button", class: "play", "aria-label": label, click: () => {
      const video = el("video", { controls: true, playsinline: true, src: address + moment, error: () => {
        video.replaceWith(poster ?? "", el("p", { class: "absent" }, "cannot be played from here: ", foreign(name)));
      } });
      video.muted = true;
      button.replaceWith(video);
      video.focus();
      video.play().catch(() => {}); // a video that cannot play says so by its error
    } },
    poster,
    el("span", null, svg("svg", { width: 16, height: 18, viewBox: "0 0 16 18", "aria-hidden": "true" }, svg("path", { d: "M1 1L15 9L1 17Z" })))
  );
  return button;
}

/** A video's relative address, every part of its path escaped; empty where there is no file. */
function addressOf(run, sample) {
  const place = run.links?.[sample];
  if (!isNumber(place)) return "";
  return (run.base + DATA.texts[place]).split("/").map(encodeURIComponent).join("/");
}

function listPrompts() {
  const words = byId("detail-search").value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  details.listed = details.prompts.filter(({ text }) => {
    const lower = text.toLocaleLowerCase();
    return words.every((word) => lower.includes(word));
  });
  sortPrompts();
}

function sortPrompts() {
  const { key, direction } = details.order;
  if (key === "text") details.listed.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
  else if (key) details.listed.sort((a, b) => compareValues(a[key], b[key], direction === "descending"));
  if (key === "text" && direction === "descending") details.listed.reverse();
  details.pager.reset(details.listed.length);
}

/** Headers are made once, so that the pressed one keeps the focus. */
function promptHeaders() {
  const header = (text, key, first) => sortHeader(text, details.order, key, first, () =>
    details.order.key ? sortPrompts() : listPrompts());
  return el("tr", null, header("Prompt", "text", "ascending"), header("Mean", "score", "ascending"),
    header("Lowest", "lowest", "ascending"), el("th", { scope: "col" }, "Samples"));
}

function drawPrompts(first, stop) {
  const table = byId("detail-prompts");
  if (!table.tHead.rows.length) table.tHead.append(promptHeaders());
  const column = COLUMNS.get(details.dimension);
  const [low, high] = roomFor(details.prompts.flatMap((one) => one.known));
  table.tBodies[0].replaceChildren(
    ...details.listed.slice(first, stop).map((one) => promptRow(column, one, low, high))
  );
}

function promptRow(column, one, low, high) {
  const toggle = el("button", { type: "button", class: "more", "aria-expanded": "false" }, foreign(one.text));
  const row = el(
    "tr",
    null,
    el("th", { scope: "row" }, toggle),
    el("td", { class: "num" }, show(column, one.score)),
    el("td", { class: "num" }, show(column, one.lowest)),
    el("td", null, el("div", { class: "strip" }, strip(one.known, low, high), el("span", { class: "muted" }, String(one.samples.length))))
  );
  let opened = null;
  toggle.addEventListener("click", () => {
    if (opened) opened.remove();
    opened = opened ? null : el("tr", { class: "samples" }, el("td", { colspan: 4 }, sampleList(column, one)));
    if (opened) row.after(opened);
    toggle.setAttribute("aria-expanded", String(Boolean(opened)));
  });
  return row;
}

/** A dot per sample on the dimension's own scale. */
function strip(values, low, high) {
  const dots = values.map((value) =>
    svg("circle", { class: "dot", cx: `${(100 * (value - low)) / (high - low)}%`, cy: 7, r: 3 })
  );
  return svg("svg", { class: "whisker", height: 14, width: "100%", "aria-hidden": "true" },
    svg("line", { class: "ring", x1: 0, x2: "100%", y1: 7, y2: 7 }), dots);
}

function sampleList(column, one) {
  const { run } = details;
  return el("ul", null, one.samples.map(({ sample, value, problem }) => {
    const address = addressOf(run, sample);
    const name = foreign(DATA.texts[run.videos[sample]]);
    return el(
      "li",
      null,
      el("strong", { class: "num" }, value === null ? DATA.statuses[problem[2]] : show(column, value)),
      ` sample ${run.indices[sample]} · `,
      address ? el("a", { href: address, target: "_blank", rel: "noopener" }, name) : name,
      problem ? el("p", { class: "muted" }, foreign(DATA.texts[problem[3]])) : null
    );
  }));
}

// What has no score

const problems = { listed: [] };

function setUpProblems() {
  const choices = runChoices().filter((_, i) => DATA.runs[i].problems.length);
  byId("problem-none").hidden = choices.length > 0;
  byId("problem-box").hidden = !choices.length;
  if (!choices.length) return;
  fillSelect(byId("problem-run"), choices, choices[0][0]);
  byId("problem-run").addEventListener("change", listProblems);
  problems.pager = pager(PAGE, drawProblems);
  byId("problem-pager").append(problems.pager.node);
  listProblems();
}

/** One line per video, status and reason, with the dimensions it concerns. */
function listProblems() {
  const run = DATA.runs[Number(byId("problem-run").value)];
  const lines = new Map();
  for (const [sample, dimension, status, reason] of run.problems) {
    const key = `${sample} ${status} ${reason}`;
    if (!lines.has(key)) lines.set(key, { sample, status, reason, dimensions: [] });
    lines.get(key).dimensions.push(COLUMNS.get(dimension).title);
  }
  problems.run = run;
  problems.listed = [...lines.values()];
  problems.pager.reset(problems.listed.length);
}

function drawProblems(first, stop) {
  const { run } = problems;
  byId("problems").tBodies[0].replaceChildren(
    ...problems.listed.slice(first, stop).map(({ sample, status, reason, dimensions }) =>
      el(
        "tr",
        null,
        el("th", { scope: "row" }, foreign(DATA.texts[run.prompts[sample]]), el("small", null, `sample ${run.indices[sample]}`)),
        el("td", null, DATA.statuses[status]),
        el("td", null, foreign(DATA.texts[reason])),
        el("td", null, dimensions.join(", "))
      )
    )
  );
}
