const charts = JSON.parse(document.getElementById("charts").textContent);
const options = { mode: "vega", actions: false, ast: true, renderer: "svg", defaultStyle: false,
  tooltip: { theme: "page", disableDefaultStyle: true } };
const draw = async (place) => {
  const chart = charts[place.dataset.chart];
  for (const data of chart.data.filter((one) => one.rows)) {
    data.values = data.rows.map(
      (row) => Object.fromEntries(row.map((cell, i) => [data.names[i], cell])));
  }
  const { view } = await window.vegaEmbed(place, chart, options);
  place.parentNode.classList.add("drawn");
  const keys = [...place.parentNode.querySelectorAll(".legend button")];
  keys.forEach((key) => key.addEventListener("click", () => {
    key.ariaPressed = key.ariaPressed !== "true";
    view.signal("hidden", keys.filter((one) => one.ariaPressed !== "true").map((one) => one.value));
    view.runAsync();
  }));
};
// Charts are drawn when they come near; until then their pictures stand.
const near = new IntersectionObserver((seen) => seen.filter((one) => one.isIntersecting)
  .forEach((one) => { near.unobserve(one.target); draw(one.target); }), { rootMargin: "400px" });
document.querySelectorAll("[data-chart]").forEach((place) => near.observe(place));
