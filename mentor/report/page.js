// Draws the charts of a report with Chart.js 3 from the numbers in the page: <script id="charts">.
// chart.h describes their form.
(() => {
  "use strict";
  const figures = JSON.parse(document.getElementById("charts").textContent);
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

  const grouped = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
  const number = (value) => {
    if (value === null || value === undefined) return "-";
    const size = Math.abs(value);
    return size > 0 && size < 1e-3 ? value.toExponential(2) : grouped.format(value);
  };

  // Wraps text at words into lines of at most `length` characters; longer words are cut.
  const wrap = (text, length) => {
    const lines = [];
    for (let word of String(text).split(" ")) {
      while (word.length > length) {
        lines.push(word.slice(0, length));
        word = word.slice(length);
      }
      const last = lines.length - 1;
      if (last >= 0 && lines[last].length + 1 + word.length <= length) lines[last] += ` ${word}`;
      else lines.push(word);
    }
    return lines;
  };
  const kLetter = 7.2;  // Average width in pixels.
  const nameLength = (width) => Math.max(9, Math.floor((0.42 * width) / kLetter));

  // Dashes and points by gnuplot's numbers, so that both pictures look alike.
  const dashes = { 1: [], 2: [7, 4], 3: [2, 3], 4: [8, 3, 2, 3] };
  const points = {
    2: ["crossRot", 0], 3: ["star", 0], 4: ["rect", 0], 5: ["rect", 0], 6: ["circle", 0],
    7: ["circle", 0], 9: ["triangle", 0], 11: ["triangle", 180], 13: ["rectRot", 0],
    15: ["rectRounded", 0],
  };
  const hollow = (point) => point === 4 || point === 6;

  // Draws bars of intervals, vertical marks and images, which Chart.js lacks.
  const extras = (panel) => ({
    id: "extras",
    beforeDatasetsDraw(chart) {
      const { ctx, chartArea: area } = chart;
      ctx.save();
      if (panel.image) {
        const { rows, columns, values } = panel.image;
        const least = Math.min(...values), span = Math.max(...values) - least || 1;
        ctx.fillStyle = colour("blue");
        const width = area.width / columns, height = area.height / rows;
        values.forEach((value, i) => {
          ctx.globalAlpha = (value - least) / span;
          const column = i % columns, row = Math.floor(i / columns);
          const left = Math.round(area.left + column * width);
          const top = Math.round(area.top + row * height);
          ctx.fillRect(left, top, Math.round(area.left + (column + 1) * width) - left,
            Math.round(area.top + (row + 1) * height) - top);
        });
        ctx.globalAlpha = 1;
      }
      ctx.strokeStyle = ctx.fillStyle = colour("muted");
      ctx.setLineDash([2, 3]);
      ctx.font = `12px ${Chart.defaults.font.family}`;
      ctx.textBaseline = "top";
      let free = area.left;
      for (const mark of panel.marks || []) {
        const x = chart.scales.x.getPixelForValue(mark.at);
        ctx.beginPath();
        ctx.moveTo(x, area.top);
        ctx.lineTo(x, area.bottom);
        ctx.stroke();
        const width = ctx.measureText(mark.label).width;
        let from = x + 4;
        if (from + width > area.right) from = x - 4 - width;
        if (!mark.label || from < free) continue;
        ctx.fillText(mark.label, from, area.top + 2);
        free = from + width + 6;
      }
      ctx.restore();
    },
    afterDatasetsDraw(chart) {
      const { ctx } = chart;
      chart.data.datasets.forEach((dataset, index) => {
        if (!dataset.bars || !chart.isDatasetVisible(index)) return;
        const scale = panel.transposed ? chart.scales.x : chart.scales.y;
        ctx.save();
        ctx.strokeStyle = dataset.borderColor;
        ctx.lineWidth = 2;
        chart.getDatasetMeta(index).data.forEach((element, i) => {
          const { low, high } = dataset.data[i];
          const from = scale.getPixelForValue(low), to = scale.getPixelForValue(high);
          const line = (a, b, c, d) => {
            ctx.beginPath();
            if (panel.transposed) ctx.moveTo(a, b), ctx.lineTo(c, d);
            else ctx.moveTo(b, a), ctx.lineTo(d, c);
            ctx.stroke();
          };
          const at = panel.transposed ? element.y : element.x;
          line(from, at, to, at);
          for (const end of [from, to]) line(end, at - 4, end, at + 4);
        });
        ctx.restore();
      });
    },
  });

  const datasetsOf = (panel, hidden) => {
    const datasets = [];
    for (const series of panel.series) {
      const ink = colour(series.colour);
      const data = series.x.map((x, i) => {
        const y = series.y[i];
        const place = panel.transposed ? { x: y, y: x } : { x, y };
        if (series.low) Object.assign(place, { low: series.low[i], high: series.high[i] });
        return place;
      });
      const [pointStyle, pointRotation] = points[series.point] || points[7];
      const common = {
        data, label: series.name, hidden: hidden.has(series.name), small: series.small,
        yAxisID: series.right ? "right" : "y", borderColor: ink, borderWidth: 2,
        borderDash: dashes[series.dash] || [], pointBorderWidth: 1.5, pointStyle, pointRotation,
        pointBackgroundColor: hollow(series.point) ? "transparent" : ink, backgroundColor: ink,
        order: 1, clip: 8,
      };
      const many = data.length > 45;
      if (series.kind === "bars") {
        datasets.push({ ...common, borderWidth: 0, grouped: false, barPercentage: 1,
          categoryPercentage: 0.92, minBarLength: 0 });
      } else if (series.kind === "points") {
        datasets.push({ ...common, showLine: false, pointRadius: series.small ? 2 : 1.6, order: 3,
          pointBorderWidth: 0, pointBackgroundColor: `${ink}${series.small ? "99" : "aa"}` });
      } else if (series.kind === "intervals") {
        datasets.push({ ...common, showLine: false, pointRadius: 5, bars: true });
      } else {
        if (series.low) {
          const edge = { ...common, helper: true, pointRadius: 0, borderWidth: 0, order: 4,
            pointHitRadius: 0, pointHoverRadius: 0 };
          const ends = (end) => data.map((place) => ({ x: place.x, y: place[end] }));
          datasets.push({ ...edge, data: ends("low"), fill: false });
          datasets.push({ ...edge, data: ends("high"), fill: "-1", backgroundColor: `${ink}29` });
        }
        const radius = series.kind === "line" ? 0 : many ? 2 : 3.5;
        const line = { ...common, fill: false, pointRadius: radius, pointHoverRadius: 5 };
        // A series behind a mean.
        const faint = { borderColor: `${ink}66`, borderWidth: 1, order: 3, pointHoverRadius: 0 };
        datasets.push(series.small ? { ...line, ...faint } : line);
      }
    }
    return datasets;
  };

  const axisOf = (axis, vertical, panel) => {
    const options = {
      type: axis.log ? "logarithmic" : "linear",
      title: {
        display: Boolean(axis.label), color: colour("ink"), padding: 4,
        text: ({ chart }) => wrap(axis.label, Math.max(12, (vertical ? 0.8 * chart.height
          : (panel.transposed ? 0.5 : 0.8) * chart.width) / kLetter)),
      },
      grid: { color: colour("grid"), borderColor: colour("muted"), tickColor: colour("muted"),
        drawOnChartArea: vertical !== Boolean(panel.transposed) && !panel.image },
      ticks: { color: colour("ink"), maxRotation: 0, autoSkipPadding: 14, includeBounds: false },
    };
    if (axis.low !== undefined) options.min = axis.low;
    if (axis.high !== undefined) options.max = axis.high;
    if (axis.whole) {
      options.afterBuildTicks = (scale) => {
        scale.ticks = scale.ticks.filter((tick) => Number.isInteger(tick.value));
      };
    }
    if (axis.log) {
      options.ticks.callback = (value, i, all) => {
        const leading = Math.round(value / 10 ** Math.floor(Math.log10(value)));
        return leading === 1 || (all.length < 12 && [2, 5].includes(leading)) ? number(value) : "";
      };
    }
    if (axis.names) {
      options.afterBuildTicks = (scale) => {
        scale.ticks = axis.names.map((name, value) => ({ value }));
      };
      options.ticks.autoSkip = !vertical;
      options.ticks.callback = function (value) {
        const { width } = this.chart;
        return wrap(axis.names[value],
          vertical ? nameLength(width) : Math.max(8, (0.85 * width) / axis.names.length / kLetter));
      };
      options.grid.drawTicks = !vertical;
      if (vertical) options.ticks.padding = 10;
    }
    return options;
  };

  const heightOf = (panel, width, figure) => {
    if (panel.transposed) {
      // All rows have the height of the longest name.
      const lines = panel.x.names.map((name) => wrap(name, nameLength(width)).length);
      return 75 + lines.length * (16 * Math.max(...lines) + 16);
    }
    if (panel.image) return Math.min(460, width);
    return figure.panels.length > 2 ? 240 : width < 480 ? 300 : 360;
  };

  // Fits the axis to its places, so that no room is left empty beside them.
  const fitPlaces = (panel, options) => {
    const all = panel.series.flatMap((series) => series.x);
    const bars = panel.series.find((series) => series.kind === "bars");
    let margin = 0;
    const least = all.reduce((a, b) => Math.min(a, b), Infinity);
    const greatest = all.reduce((a, b) => Math.max(a, b), -Infinity);
    if (panel.series.some((series) => series.kind === "intervals"))
      margin = 0.08 * (greatest - Math.min(least, options.min ?? least));
    if (bars) {
      const gaps = bars.x.slice(1).map((x, i) => x - bars.x[i]).filter((gap) => gap > 0);
      margin = gaps.length > 0 ? Math.min(...gaps) / 2 : 1;
      options.offset = options.grid.offset = false;
    }
    if (options.type !== "linear" || !(greatest > least || margin > 0)) return;
    options.min ??= least - margin;
    options.max ??= greatest + margin;
  };

  // Includes the ends of intervals in the axis.
  const fitIntervals = (panel, options) => {
    const ends = panel.series.filter((series) => series.low && !series.right)
      .flatMap((series) => [...series.low, ...series.high]).filter((end) => end !== null);
    if (ends.length === 0 || options.type !== "linear") return;
    options.suggestedMin = ends.reduce((a, b) => Math.min(a, b), Infinity);
    options.suggestedMax = ends.reduce((a, b) => Math.max(a, b), -Infinity);
  };

  const make = (figure, panel, box, hidden) => {
    box.style.height = `${heightOf(panel, box.clientWidth, figure)}px`;
    const canvas = document.createElement("canvas");
    box.replaceChildren(canvas);
    const scales = panel.transposed
      ? { x: axisOf(panel.y, false, panel), y: axisOf(panel.x, true, panel) }
      : { x: axisOf(panel.x, false, panel), y: axisOf(panel.y, true, panel) };
    if (panel.transposed)
      Object.assign(scales.y, { reverse: true, min: -0.6, max: panel.x.names.length - 0.4 });
    else if (!panel.image) fitPlaces(panel, scales.x);
    if (panel.image) scales.y.reverse = true;
    if (panel.series.some((series) => series.right)) {
      scales.right = axisOf(panel.right, true, panel);
      scales.right.position = "right";
      scales.right.grid.drawOnChartArea = false;
    }
    fitIntervals(panel, panel.transposed ? scales.x : scales.y);
    const bars = panel.series.some((series) => series.kind === "bars");
    if (panel.stacked) scales.x.stacked = scales.y.stacked = true;
    if (bars) scales.x.grid.drawOnChartArea = false;
    const cloud = panel.series.some((series) => series.kind === "points" && !series.small);
    return new Chart(canvas, {
      type: bars ? "bar" : "line",
      data: { datasets: datasetsOf(panel, hidden) },
      plugins: [extras(panel)],
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, locale: "en",
        interaction: { mode: "nearest", intersect: false,
          axis: cloud ? "xy" : panel.transposed ? "y" : "x" },
        scales,
        plugins: {
          legend: { display: false },
          tooltip: {
            filter: (item) => !item.dataset.helper && !item.dataset.small,
            callbacks: {
              title: (items) => {
                if (items.length === 0) return "";
                const value = panel.transposed ? items[0].parsed.y : items[0].parsed.x;
                return panel.x.names ? panel.x.names[Math.round(value)]
                  : wrap(`${panel.x.label}: ${number(value)}`, 40);
              },
              label: (item) => {
                const { low, high } = item.raw;
                const value = number(panel.transposed ? item.parsed.x : item.parsed.y);
                const interval = low === undefined || panel.stacked
                  ? "" : ` [${number(low)}, ${number(high)}]`;
                return `${item.dataset.label}: ${value}${interval}`;
              },
            },
          },
        },
      },
    });
  };

  // Draws a line sample for the legend.
  const swatch = (series) => {
    const kSvg = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(kSvg, "svg");
    const add = (tag, attributes) => {
      const part = document.createElementNS(kSvg, tag);
      for (const [name, value] of Object.entries(attributes)) part.setAttribute(name, value);
      svg.append(part);
    };
    svg.setAttribute("viewBox", "0 0 30 12");
    svg.setAttribute("aria-hidden", "true");
    const ink = `var(--${series.colour})`;
    if (series.kind === "bars") {
      add("rect", { x: 9, y: 0, width: 12, height: 12, fill: ink });
      return svg;
    }
    if (series.kind !== "points") {
      add("line", { x1: 0, x2: 30, y1: 6, y2: 6, stroke: ink, "stroke-width": 2,
        "stroke-dasharray": series.kind === "intervals" ? "" : dashes[series.dash].join(" ") });
    }
    const shapes = {
      2: "M11 2l8 8m0-8l-8 8", 3: "M11 2l8 8m0-8l-8 8M15 1v10M9 6h12", 4: "M11 2h8v8h-8z",
      5: "M11 2h8v8h-8z", 9: "M15 1l5 9h-10z", 11: "M15 11l5-9h-10z", 13: "M15 0l6 6-6 6-6-6z",
      15: "M11 2h8v8h-8z",
    };
    if (series.kind === "line") return svg;
    const fill = hollow(series.point) ? "var(--page)" : ink;
    if (shapes[series.point])
      add("path", { d: shapes[series.point], fill, stroke: ink, "stroke-width": 1.5 });
    else add("circle", { cx: 15, cy: 6, r: 4, fill, stroke: ink, "stroke-width": 1.5 });
    return svg;
  };

  const drawings = [];
  for (const section of document.querySelectorAll("[data-figure]")) {
    const figure = figures[section.dataset.figure];
    const boxes = [...section.querySelectorAll(".canvas")];
    const hidden = new Set();
    const drawing = { figure, boxes, hidden, charts: [] };
    section.hidden = false;
    // Panels with several lines get a legend.
    const named = new Map();
    for (const panel of figure.panels) {
      const own = panel.series.filter((series) => !series.small && !panel.transposed);
      if (own.length > 1) for (const series of own) named.set(series.name, series);
    }
    if (named.size > 1) {
      const list = document.createElement("ul");
      list.className = "legend";
      for (const [name, series] of named) {
        const button = document.createElement("button");
        button.type = "button";
        button.setAttribute("aria-pressed", "true");
        button.title = "Show or hide";
        button.append(swatch(series), name);
        button.addEventListener("click", () => {
          const shows = hidden.delete(name);
          if (!shows) hidden.add(name);
          button.setAttribute("aria-pressed", String(shows));
          for (const chart of drawing.charts) {
            chart.data.datasets.forEach((dataset, i) => {
              if (dataset.label === name) chart.setDatasetVisibility(i, shows);
            });
            chart.update();
          }
        });
        const item = document.createElement("li");
        item.append(button);
        list.append(item);
      }
      section.prepend(list);
    }
    drawings.push(drawing);
  }

  const draw = () => {
    const style = getComputedStyle(document.body);
    Chart.defaults.font.family = style.fontFamily;
    Chart.defaults.font.size = 13;
    for (const drawing of drawings) {
      for (const chart of drawing.charts) chart.destroy();
      drawing.charts = drawing.figure.panels.map((panel, i) =>
        make(drawing.figure, panel, drawing.boxes[i], drawing.hidden));
    }
  };
  draw();

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  // Print with the light theme.
  const paper = (on) => () => {
    if (on) root.dataset.theme = "light";
    else delete root.dataset.theme;
    draw();
  };
  addEventListener("beforeprint", paper(true));
  addEventListener("afterprint", paper(false));
  // Wrapping of names depends on the width and changes the height; Chart.js does the rest.
  addEventListener("resize", () => {
    for (const { figure, boxes } of drawings) {
      figure.panels.forEach((panel, i) => {
        boxes[i].style.height = `${heightOf(panel, boxes[i].clientWidth, figure)}px`;
      });
    }
  });
  root.dataset.drawn = String(drawings.length);
})();
