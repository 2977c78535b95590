// Draws the charts of the page from the data it carries.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const kPrintWidth = 640;  // px that fit between the margins of A4 and Letter
  const last = (list) => list[list.length - 1];

  // Read from the style sheet again at each drawing: light, dark and print differ.
  function colours() {
    const style = getComputedStyle(document.documentElement);
    const names = ["surface", "ink", "soft", "line", "accent", "on-accent", "flip", "warn"];
    return Object.fromEntries(names.map((name) => [name, style.getPropertyValue("--" + name).trim()]));
  }

  const grouped = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 2 });
  const compact = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 2 });
  const percent = (share, digits) => (100 * share).toFixed(digits) + "%";

  function worded(value, format) {
    if (format === "percent") {
      return percent(value, 1);
    }
    const size = Math.abs(value);
    if (size >= 1e6 || (size > 0 && size < 1e-3)) {
      return value.toExponential(2);
    }
    return size >= 1000 ? grouped.format(value) : String(Number(value.toPrecision(4)));
  }

  // Ticks are round numbers already: no digits are added to them.
  function tick(value, format) {
    if (format === "percent") {
      return Number((100 * value).toPrecision(4)) + "%";
    }
    const size = Math.abs(value);
    if (size > 0 && size < 1e-3) {
      return Number(value.toPrecision(3)).toExponential();
    }
    return size >= 1000 ? compact.format(value) : String(Number(value.toPrecision(6)));
  }

  // Names come from the run's files, so they become text and never HTML.
  function tooltip(texts) {
    return texts.map((text) => {
      const line = document.createElement("div");
      line.textContent = text;
      return line;
    });
  }

  const tooltipStyle = (c) => ({
    confine: true,
    transitionDuration: 0,
    backgroundColor: c.surface,
    borderColor: c.line,
    textStyle: { color: c.ink, fontSize: 13 },
  });

  const axisStyle = (c) => ({
    axisLabel: { color: c.soft, fontSize: 12, hideOverlap: true },
    axisLine: { lineStyle: { color: c.line } },
    axisTick: { lineStyle: { color: c.line } },
    splitLine: { lineStyle: { color: c.line } },
  });

  const lastStep = Math.max(1, ...data.curves.map((curve) => last(curve.points)[0]));

  function curveTexts(curve, index) {
    const [step, value] = curve.points[index];
    return ["Step " + grouped.format(step), curve.title + ": " + worded(value, curve.format)];
  }

  function curveOption(curve, c) {
    const axis = axisStyle(c);
    return {
      animation: false,
      grid: { left: 0, right: 14, top: 10, bottom: 0, outerBoundsMode: "same" },
      xAxis: {
        type: "value", min: 0, max: lastStep, ...axis, splitLine: { show: false },
        splitNumber: 4, axisLabel: { ...axis.axisLabel, showMaxLabel: false, formatter: (v) => compact.format(v) },
      },
      yAxis: {
        type: "value", scale: true, splitNumber: 4, ...axis,
        axisLabel: { ...axis.axisLabel, formatter: (v) => tick(v, curve.format) },
      },
      tooltip: {
        trigger: "axis", ...tooltipStyle(c), axisPointer: { animation: false, lineStyle: { color: c.soft } },
        formatter: ([shown]) => tooltip(curveTexts(curve, shown.dataIndex)),
      },
      series: [{
        type: "line",
        name: curve.title,
        data: curve.points,
        showSymbol: curve.points.length <= 40,
        symbolSize: 5,
        lineStyle: { width: 1.75 },
        color: c.accent,
        markLine: {
          silent: true, symbol: "none", label: { show: false },
          lineStyle: { color: c.warn, type: "dashed", width: 1.25 },
          data: data.alarms.map((alarm) => ({ xAxis: alarm.step })),
        },
      }],
    };
  }

  // One cell for each pair of classes: [guess, truth, share, count]. Shares, because classes may
  // differ in size.
  function cells(confusion) {
    return confusion.matrix.flatMap((row, truth) => {
      const total = row.reduce((sum, count) => sum + count, 0);
      return row.map((count, guess) => [guess, truth, total > 0 ? count / total : 0, count]);
    });
  }

  function cellTexts(confusion, [guess, truth, share, count]) {
    return ["True class: " + confusion.classes[truth], "Taken for: " + confusion.classes[guess],
      grouped.format(count) + " images, " + percent(share, 1) + " of the class"];
  }

  function confusionOption(confusion, c, width) {
    const few = confusion.classes.length <= 12;
    const axis = axisStyle(c);
    const names = {
      type: "category", data: confusion.classes, ...axis, nameLocation: "middle",
      nameTextStyle: { color: c.soft, fontSize: 12 }, axisTick: { show: false }, splitLine: { show: false },
    };
    const label = {
      // Names that would overlap are left to the tooltips. About two thirds of the width are cells.
      ...axis.axisLabel, interval: 0, show: (0.66 * width) / confusion.classes.length >= 13,
      width: Math.min(110, width / 4), overflow: "truncate",
    };
    return {
      animation: false,
      grid: { left: 0, right: 1, top: 0, bottom: 1, outerBoundsMode: "same" },
      xAxis: { ...names, name: "taken for", axisLabel: { ...label, rotate: 60 } },
      yAxis: { ...names, name: "true class", inverse: true, axisLabel: label },
      tooltip: { ...tooltipStyle(c), formatter: (cell) => tooltip(cellTexts(confusion, cell.value)) },
      visualMap: { show: false, min: 0, max: 1, dimension: 2, inRange: { color: [c.surface, c.accent] } },
      series: [{
        type: "heatmap",
        data: cells(confusion).map((value) => ({
          value, label: { color: value[2] > Number(c.flip) ? c["on-accent"] : c.ink },
        })),
        label: {
          show: few && width > 300, fontSize: width > 480 ? 12 : 10,
          formatter: ({ value }) => Math.round(100 * value[2]) || "",
        },
        itemStyle: { borderColor: c.line, borderWidth: few ? 1 : 0 },
        emphasis: { itemStyle: { borderColor: c.ink, borderWidth: 2 } },
      }],
    };
  }

  // Arrow keys, Home and End move over the points of a chart and say what the tooltip shows.
  function readWithKeys(place, chart, count, texts) {
    const reading = document.getElementById("reading");
    let index = -1;
    place.addEventListener("keydown", (event) => {
      const targets = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: count - 1 };
      if (!(event.key in targets)) {
        return;
      }
      event.preventDefault();
      index = Math.min(Math.max(targets[event.key], 0), count - 1);
      chart.dispatchAction({ type: "showTip", seriesIndex: 0, dataIndex: index });
      reading.textContent = texts(index).join(", ");
    });
    place.addEventListener("blur", () => chart.dispatchAction({ type: "hideTip" }));
  }

  const charts = [];

  function add(place, option, count, texts) {
    const chart = echarts.init(place, null, { renderer: "svg" });
    const draw = () => chart.setOption(option(colours(), chart.getWidth()), true);
    draw();
    readWithKeys(place, chart, count, texts);
    charts.push({ place, chart, draw });
  }

  document.querySelectorAll("[data-curve]").forEach((place, i) => {
    const curve = data.curves[i];
    add(place, (c) => curveOption(curve, c), curve.points.length, (j) => curveTexts(curve, j));
  });

  const drawn = data.confusions.filter((confusion) => confusion.is_drawn);
  const fitHeight = (place, width) => {
    place.style.height = Math.min(width, 560) + "px";
  };
  document.querySelectorAll("[data-confusion]").forEach((place, i) => {
    fitHeight(place, place.clientWidth);
    const all = cells(drawn[i]);
    add(place, (c, width) => confusionOption(drawn[i], c, width), all.length, (j) => cellTexts(drawn[i], all[j]));
  });

  function redraw(width) {
    for (const { place, chart, draw } of charts) {
      if ("confusion" in place.dataset) {
        fitHeight(place, width ?? place.clientWidth);
      }
      chart.dispatchAction({ type: "hideTip" });
      chart.resize({ width: width ?? "auto", height: "auto" });
      draw();
    }
  }

  let seenWidth = innerWidth;
  addEventListener("resize", () => {
    // Phones resize the window when their toolbars slide away; only the width matters.
    if (innerWidth !== seenWidth) {
      seenWidth = innerWidth;
      redraw();
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());

  addEventListener("beforeprint", () => {
    document.documentElement.dataset.print = "";
    for (const details of document.querySelectorAll("details[data-print]")) {
      details.open = true;
    }
    redraw(kPrintWidth);
  });
  addEventListener("afterprint", () => {
    delete document.documentElement.dataset.print;
    redraw();
  });

  document.body.dataset.charts = charts.length;
})();
