// The page comes alive here; without scripts the tables, the legend and the provenance still stand.

function setUpTheme() {
  const button = byId("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const now = () => document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
  const say = () => button.setAttribute("aria-pressed", String(now() === "dark"));
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = now() === "dark" ? "light" : "dark";
    say();
  });
  dark.addEventListener("change", say);
  say();
}

document.documentElement.classList.add("alive");
setUpTheme();
setUpTables();
setUpPlots();
setUpCompare();
if (DATA.runs.length) {
  setUpDetails();
  setUpProblems();
}
