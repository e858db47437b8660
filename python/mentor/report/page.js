const charts = JSON.parse(document.getElementById("charts").textContent);
const options = { actions: false, ast: true, renderer: "svg", defaultStyle: false,
  tooltip: { theme: "page", disableDefaultStyle: true } };
const places = [...document.querySelectorAll("[data-chart]")];
const draw = (place) => window.vegaEmbed(place, charts[place.dataset.chart], options)
  .then(() => place.parentNode.classList.add("drawn"));
// Charts are drawn when they come near; until then their pictures stand.
const near = new IntersectionObserver((seen) => seen.filter((one) => one.isIntersecting)
  .forEach((one) => { near.unobserve(one.target); draw(one.target); }), { rootMargin: "400px" });
places.forEach((place) => near.observe(place));
