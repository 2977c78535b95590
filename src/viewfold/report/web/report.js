// Draws the charts of the page from the data it carries.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const kPrintWidth = 640;  // px that fit between the margins of A4 and Letter
  const last = (list) => list[list.length - 1];

  // Read from the style sheet again at each drawing: light, dark and print differ.
  function colours() {
    const style = getComputedStyle(document.documentElement);
    const names = ["surface", "ink", "soft", "line", "accent", "on-accent", "flip", "warn", "control",
      "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];
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

  // What was measured at a strength, and how strong that is.
  function strengthText(strength, unit) {
    if (unit === "applied") {
      return strength === 0 ? "not applied" : "applied";
    }
    return unit === "factor" || unit === "" ? worded(strength) : worded(strength) + " " + unit;
  }

  // Names of rows beside a chart.
  const rowLabel = (axis, c, width) => ({
    ...axis.axisLabel, interval: 0, color: c.ink, width: Math.min(160, width / 3), overflow: "truncate",
  });

  const familyTexts = ({ title, text, verdict }) =>
    [title, "Mean similarity: " + text + (verdict && ", " + verdict + " it")];

  // The numbers stand in a column of their own, where no bar and no limit crosses them.
  function barsOption({ families, ignores_from, sees_below }, c, width) {
    const axis = axisStyle(c);
    const kTicks = [0, 0.2, 0.4, 0.6, 0.8, 1];
    const fills = { ignores: c.accent, sees: c.warn, "": c.control };
    const names = {
      type: "category", inverse: true, ...axis, axisTick: { show: false }, splitLine: { show: false },
      axisLabel: rowLabel(axis, c, width),
      axisLine: { onZero: false, show: false },
    };
    return {
      animation: false,
      grid: { left: 0, right: 0, top: 22, bottom: 2, outerBoundsMode: "same" },
      xAxis: {
        type: "value", min: Math.min(0, ...families.map(({ value }) => value)), max: 1, ...axis,
        splitLine: { show: false },
        axisLabel: { ...axis.axisLabel, customValues: kTicks }, axisTick: { ...axis.axisTick, customValues: kTicks },
      },
      yAxis: [
        { ...names, data: families.map(({ title }) => title) },
        { ...names, position: "right", data: families.map(({ text, verdict }) => (text + " " + verdict).trim()) },
      ],
      tooltip: { ...tooltipStyle(c), formatter: ({ dataIndex }) => tooltip(familyTexts(families[dataIndex])) },
      series: [{
        type: "bar", barMaxWidth: 16,
        data: families.map(({ value, verdict }) => ({ value, itemStyle: { color: fills[verdict] } })),
        markLine: {
          silent: true, symbol: "none", lineStyle: { color: c.soft, type: "dashed", width: 1 },
          label: { position: "start", color: c.soft, fontSize: 12, formatter: ({ name }) => name },
          data: [
            { name: "\u2190 sees it", xAxis: sees_below, label: { align: "right" } },
            { name: "ignores it \u2192", xAxis: ignores_from, label: { align: "left" } },
          ],
        },
      }],
    };
  }

  function responseTexts(response, index) {
    const [strength, similarity] = response.points[index];
    return [response.title + ": " + strengthText(strength, response.unit),
      "Similarity: " + (similarity === null ? "not measured" : worded(similarity)) +
        (strength === response.identity ? ", the unchanged image" : "")];
  }

  // Factors lie by their ratios; both ends and the unchanged image are written below the axis.
  function responseOption(response, low, c) {
    const axis = axisStyle(c);
    const { points, identity, unit, is_ratio } = response;
    const place = is_ratio ? Math.log2 : (strength) => strength;
    const places = points.map(([strength]) => place(strength));
    const value = (at) => (is_ratio ? 2 ** at : at);
    const label = (at) => (unit === "applied" ? (at === 0 ? "no" : "yes") : tick(Number(value(at).toPrecision(3))));
    const ends = [...new Set([places[0], place(identity), last(places)])].sort((a, b) => a - b);
    return {
      animation: false,
      grid: { left: 2, right: 12, top: 8, bottom: 3, outerBoundsMode: "same" },
      xAxis: {
        type: "value", min: ends[0], max: last(ends), ...axis, splitLine: { show: false },
        axisLabel: { ...axis.axisLabel, fontSize: 11, customValues: ends, formatter: label },
        axisTick: { ...axis.axisTick, customValues: ends },
        axisLine: { ...axis.axisLine, onZero: false },
      },
      yAxis: {
        type: "value", min: Math.min(0, low), max: 1, ...axis,
        axisLabel: { ...axis.axisLabel, fontSize: 11, customValues: [0, 0.5, 1] },
        axisTick: { customValues: [0, 0.5, 1] },
        splitLine: { ...axis.splitLine, show: false },
      },
      tooltip: {
        trigger: "axis", ...tooltipStyle(c), axisPointer: { animation: false, lineStyle: { color: c.soft } },
        formatter: ([shown]) => tooltip(responseTexts(response, shown.dataIndex)),
      },
      series: [{
        type: "line", color: c.accent, lineStyle: { width: 1.75 }, symbol: "circle", connectNulls: false,
        data: points.map(([strength, similarity]) => ({
          value: [place(strength), similarity], symbolSize: strength === identity ? 8 : 4,
          itemStyle: strength === identity ? { color: c.surface, borderColor: c.accent, borderWidth: 2 } : {},
        })),
        showAllSymbol: true,
        markLine: {
          silent: true, symbol: "none", label: { show: false },
          lineStyle: { color: c.soft, type: "dashed", width: 1 }, data: [{ xAxis: place(identity) }],
        },
      }],
    };
  }

  const severityCells = ({ rows }) =>
    rows.flatMap(({ values }, row) => values.map((value, column) => [column, row, value]))
      .filter(([, , value]) => value !== null);

  function severityTexts({ rows, severities, share }, [column, row, value]) {
    const texts = [rows[row].title + ", severity " + severities[column], "Accuracy: " + percent(value, 1)];
    if (share) {
      const left = (value - share.chance) / (share.clean - share.chance);
      texts.push(percent(left, 0) + " of the clean accuracy above chance");
    }
    return texts;
  }

  function severityOption(robustness, c, width) {
    const axis = axisStyle(c);
    const { rows, severities, low, high } = robustness;
    const strength = (value) => (high > low ? (value - low) / (high - low) : 1);
    const hidden = { show: false };
    const names = { type: "category", ...axis, axisTick: hidden, axisLine: hidden, splitLine: hidden };
    return {
      animation: false,
      grid: { left: 0, right: 1, top: 0, bottom: 1, outerBoundsMode: "same" },
      xAxis: {
        ...names, data: severities.map(String), name: "severity", nameLocation: "middle",
        nameTextStyle: { color: c.soft, fontSize: 12 }, axisLabel: { ...axis.axisLabel, interval: 0 },
      },
      yAxis: {
        ...names, inverse: true, data: rows.map(({ title }) => title),
        axisLabel: rowLabel(axis, c, width),
      },
      tooltip: { ...tooltipStyle(c), formatter: ({ value }) => tooltip(severityTexts(robustness, value)) },
      visualMap: {
        show: false, min: low, max: Math.max(high, low + 1e-6), dimension: 2, inRange: { color: [c.surface, c.accent] },
      },
      series: [{
        type: "heatmap",
        data: severityCells(robustness).map((value) => ({
          value, label: { color: strength(value[2]) > Number(c.flip) ? c["on-accent"] : c.ink },
        })),
        label: {
          show: (0.66 * width) / severities.length >= 30, fontSize: 12,
          formatter: ({ value }) => (100 * value[2]).toFixed(width > 480 ? 1 : 0),
        },
        itemStyle: { borderColor: c.line, borderWidth: 1 },
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

  // Outlines of marks, as SVG and Path2D read them. Eight colours and five shapes have no common
  // factor, so that forty classes differ, neighbours in both.
  const kColours = 8;
  const kShapes = [
    (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
    (x, y, r) => `M${x - 0.86 * r} ${y - 0.86 * r}h${1.72 * r}v${1.72 * r}h${-1.72 * r}z`,
    (x, y, r) => `M${x} ${y - 1.15 * r}l${1.15 * r} ${2 * r}h${-2.3 * r}z`,
    (x, y, r) => `M${x} ${y - 1.25 * r}l${1.25 * r} ${1.25 * r}l${-1.25 * r} ${1.25 * r}l${-1.25 * r} ${-1.25 * r}z`,
    (x, y, r) => `M${x - 0.4 * r} ${y - 1.2 * r}h${0.8 * r}v${0.8 * r}h${0.8 * r}v${0.8 * r}h${-0.8 * r}v${0.8 * r}` +
      `h${-0.8 * r}v${-0.8 * r}h${-0.8 * r}v${-0.8 * r}h${0.8 * r}z`,
  ];
  const markOf = (group, x, y, r) => kShapes[Math.max(group, 0) % kShapes.length](x, y, r);
  const colourOf = (group, c) => (group < 0 ? c.control : c["c" + (group % kColours)]);

  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  // The images as marks on a canvas, as pictures where it is zoomed in.
  class EmbeddingMap {
    static kMaxZoom = 60;
    static kPictureZoom = 5;  // from which pictures take the place of marks
    static kMargin = 16;  // px

    constructor(place, map, sprite) {
      this.map = map;
      this.sprite = sprite;
      this.view = place.querySelector(".map-view");
      this.canvas = place.querySelector("canvas.points");
      this.card = place.querySelector(".map-card");
      this.count = map.points.x.length;
      this.right = Math.max(...map.points.x);
      this.top = Math.max(...map.points.y);
      this.zoom = 1;
      this.centre = { x: this.right / 2, y: this.top / 2 };
      this.selected = -1;
      this.chosen = new Set();  // classes seen alone
      this.motions = 0;  // begun so far; only the last one goes on
      this.isStale = false;
      this.resize();
    }

    get hasPictures() {
      return this.sprite !== null && this.sprite.complete && this.sprite.naturalWidth > 0;
    }

    get scale() {  // px of a unit of the map
      const room = (side) => Math.max(side - 2 * EmbeddingMap.kMargin, 1);
      const across = room(this.width) / Math.max(this.right, 1);
      const down = room(this.height) / Math.max(this.top, 1);
      return this.zoom * Math.min(across, down);
    }

    resize(width) {
      this.width = width ?? this.view.clientWidth;
      this.height = Math.round(Math.min(this.width, 600));
      const ratio = devicePixelRatio || 1;
      this.canvas.width = Math.round(this.width * ratio);
      this.canvas.height = Math.round(this.height * ratio);
      this.canvas.style.width = this.width + "px";
      this.canvas.style.height = this.height + "px";
      this.draw();
    }

    placeOf(index) {
      const { x, y } = this.map.points;
      return {
        x: this.width / 2 + (x[index] - this.centre.x) * this.scale,
        y: this.height / 2 - (y[index] - this.centre.y) * this.scale,
      };
    }

    isSeen({ x, y }, margin) {
      return x > -margin && y > -margin && x < this.width + margin && y < this.height + margin;
    }

    isChosen(index) {
      return this.chosen.size === 0 || this.chosen.has(this.map.points.class[index]);
    }

    draw() {
      const c = colours();
      const ratio = this.canvas.width / this.width;
      const context = this.canvas.getContext("2d");
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, this.width, this.height);
      const shown = [];
      for (let i = 0; i < this.count; ++i) {
        const at = this.placeOf(i);
        if (this.isSeen(at, 50)) {
          shown.push({ i, ...at });
        }
      }
      this.drawMarks(context, c, shown.filter(({ i }) => !this.isChosen(i)), true);
      const bright = shown.filter(({ i }) => this.isChosen(i));
      if (this.hasPictures && this.zoom >= EmbeddingMap.kPictureZoom) {
        this.drawPictures(context, c, bright);
      } else {
        this.drawMarks(context, c, bright, false);
      }
      this.drawSelected(context, c);
    }

    // Draws once before the next frame, however often it is asked to.
    drawSoon() {
      if (!this.isStale) {
        this.isStale = true;
        requestAnimationFrame(() => {
          this.isStale = false;
          this.draw();
        });
      }
    }

    // A path for each class and slice; slices, so that no class always lies above another.
    drawMarks(context, c, shown, isFaint) {
      const kSlices = 8;
      const radius = (this.count > 1000 ? 3 : 4) * clamp(Math.sqrt(this.zoom), 1, 2);
      const paths = Array.from({ length: kSlices }, () => new Map());
      for (const { i, x, y } of shown) {
        const group = this.map.points.class[i];
        const mark = markOf(group, Number(x.toFixed(1)), Number(y.toFixed(1)), radius);
        const slice = paths[i % kSlices];
        slice.set(group, (slice.get(group) ?? "") + mark);
      }
      context.globalAlpha = isFaint ? 0.25 : 1;
      context.strokeStyle = c.surface;
      context.lineWidth = 1.5;
      for (const [group, outline] of paths.flatMap((slice) => [...slice])) {
        const path = new Path2D(outline);
        context.fillStyle = isFaint ? c.control : colourOf(group, c);
        context.stroke(path);
        context.fill(path);
      }
      context.globalAlpha = 1;
    }

    pictureSide() {
      return clamp(11 * Math.sqrt(this.zoom), 24, 72);
    }

    drawPictures(context, c, shown) {
      const side = this.pictureSide();
      context.imageSmoothingEnabled = false;
      for (const { i, x, y } of shown) {
        this.drawTile(context, i, { x: x - side / 2, y: y - side / 2, side });
        context.strokeStyle = colourOf(this.map.points.class[i], c);
        context.lineWidth = 2;
        context.strokeRect(x - side / 2, y - side / 2, side, side);
      }
    }

    drawTile(context, index, { x, y, side }) {
      const { tile, columns } = this.map;
      const left = (index % columns) * tile;
      const top = Math.floor(index / columns) * tile;
      context.drawImage(this.sprite, left, top, tile, tile, x, y, side, side);
    }

    drawSelected(context, c) {
      if (this.selected < 0) {
        return;
      }
      const { x, y } = this.placeOf(this.selected);
      context.strokeStyle = c.ink;
      context.lineWidth = 2;
      context.beginPath();
      if (this.hasPictures && this.zoom >= EmbeddingMap.kPictureZoom) {
        const side = this.pictureSide() + 4;
        this.drawTile(context, this.selected, { x: x - side / 2, y: y - side / 2, side });
        context.rect(x - side / 2, y - side / 2, side, side);
      } else {
        context.arc(x, y, 9, 0, 2 * Math.PI);
      }
      context.stroke();
    }

    texts(index) {
      const group = this.map.points.class[index];
      return [group < 0 ? "no class" : this.map.classes[group], this.map.points.name[index]].filter(Boolean);
    }

    // The image nearest to a place, within `reach` px; -1 when there is none.
    nearest(to, reach) {
      let best = -1;
      let least = reach * reach;
      for (let i = 0; i < this.count; ++i) {
        const { x, y } = this.placeOf(i);
        const distance = (x - to.x) ** 2 + (y - to.y) ** 2;
        if (distance < least && this.isChosen(i)) {
          best = i;
          least = distance;
        }
      }
      return best;
    }

    select(index) {
      if (index === this.selected) {
        return;
      }
      this.selected = index;
      this.drawSoon();
      this.showCard();
    }

    showCard() {
      const index = this.selected;
      this.card.hidden = index < 0 || !this.isSeen(this.placeOf(index), 0);
      if (this.card.hidden) {
        return;
      }
      const picture = this.card.querySelector("canvas");
      picture.hidden = !this.hasPictures;
      picture.style.display = this.hasPictures ? "" : "none";
      if (this.hasPictures) {
        picture.width = this.map.tile;
        picture.height = this.map.tile;
        this.drawTile(picture.getContext("2d"), index, { x: 0, y: 0, side: this.map.tile });
      }
      const [title, name] = this.texts(index);
      this.card.querySelector("strong").textContent = title;
      this.card.querySelector("span").textContent = name ?? "";
      // Beside the image, on the side with more room.
      const { x, y } = this.placeOf(index);
      const { offsetWidth, offsetHeight } = this.card;
      const gap = this.hasPictures && this.zoom >= EmbeddingMap.kPictureZoom ? this.pictureSide() / 2 + 8 : 16;
      const left = x < this.width / 2 ? x + gap : x - gap - offsetWidth;
      const inside = (value, size, room) => clamp(value, 4, Math.max(room - size - 4, 4));
      this.card.style.left = inside(left, offsetWidth, this.width) + "px";
      this.card.style.top = inside(y - offsetHeight / 2, offsetHeight, this.height) + "px";
    }

    // Shows the map so that `centre` is in the middle.
    look(zoom, centre) {
      this.zoom = clamp(zoom, 1, EmbeddingMap.kMaxZoom);
      const whole = { x: this.right / 2, y: this.top / 2 };
      this.centre = this.zoom === 1 ? whole : { x: clamp(centre.x, 0, this.right), y: clamp(centre.y, 0, this.top) };
      // Where there is more to see, fingers move the map; else they move the page.
      this.view.style.touchAction = this.zoom > 1 ? "none" : "pan-y";
      this.view.dataset.level = this.zoom.toFixed(2);
      this.drawSoon();
      this.showCard();
    }

    // What is at `at` (px) stays there.
    zoomBy(factor, at) {
      const before = this.scale;
      const zoom = clamp(this.zoom * factor, 1, EmbeddingMap.kMaxZoom);
      const after = before * (zoom / this.zoom);
      const shift = (offset) => offset / before - offset / after;
      this.look(zoom, {
        x: this.centre.x + shift(at.x - this.width / 2),
        y: this.centre.y - shift(at.y - this.height / 2),
      });
    }

    pan(dx, dy) {
      this.look(this.zoom, { x: this.centre.x - dx / this.scale, y: this.centre.y + dy / this.scale });
    }

    // In small steps, unless the reader wants no motion.
    glide(factor) {
      const middle = { x: this.width / 2, y: this.height / 2 };
      const at = this.selected >= 0 && !this.card.hidden ? this.placeOf(this.selected) : middle;
      if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
        this.zoomBy(factor, at);
        return;
      }
      const kSteps = 10;
      const motion = ++this.motions;
      let step = 0;
      const next = () => {
        if (motion !== this.motions) {
          return;
        }
        this.zoomBy(factor ** (1 / kSteps), at);
        if (++step < kSteps) {
          requestAnimationFrame(next);
        }
      };
      next();
    }

    showAll() {
      ++this.motions;
      this.look(1, this.centre);
    }

    // The nearest image in a direction from the selected one, itself when there is none.
    neighbour(dx, dy) {
      const from = this.placeOf(this.selected);
      let best = this.selected;
      let least = Infinity;
      for (let i = 0; i < this.count; ++i) {
        const { x, y } = this.placeOf(i);
        const along = (x - from.x) * dx + (y - from.y) * dy;
        const aside = Math.abs((x - from.x) * dy) + Math.abs((y - from.y) * dx);
        if (i !== this.selected && this.isChosen(i) && along > 0 && aside <= along && along + aside < least) {
          best = i;
          least = along + aside;
        }
      }
      return best;
    }

    step(dx, dy) {
      const middle = { x: this.width / 2, y: this.height / 2 };
      this.select(this.selected < 0 ? this.nearest(middle, Infinity) : this.neighbour(dx, dy));
      if (this.selected >= 0 && !this.isSeen(this.placeOf(this.selected), -20)) {
        this.look(this.zoom, { x: this.map.points.x[this.selected], y: this.map.points.y[this.selected] });
      }
    }
  }

  function listenToKeys(map) {
    const reading = document.getElementById("reading");
    const actions = {
      ArrowLeft: () => map.step(-1, 0), ArrowRight: () => map.step(1, 0),
      ArrowUp: () => map.step(0, -1), ArrowDown: () => map.step(0, 1),
      "+": () => map.glide(1.6), "=": () => map.glide(1.6), "-": () => map.glide(1 / 1.6),
      0: () => map.showAll(), Escape: () => map.select(-1),
    };
    map.view.addEventListener("keydown", (event) => {
      if (!(event.key in actions) || event.ctrlKey || event.metaKey || event.altKey) {
        return;
      }
      event.preventDefault();
      actions[event.key]();
      if (event.key.startsWith("Arrow") && map.selected >= 0) {
        reading.textContent = map.texts(map.selected).join(", ");
      }
    });
    map.view.addEventListener("blur", () => map.select(-1));
  }

  // A wheel that scrolls the page goes on to do so over the map, and goes on when all is shown.
  function listenToWheel(map) {
    const kPause = 300;  // ms
    let scrolled = -Infinity;
    addEventListener("scroll", () => { scrolled = performance.now(); }, { passive: true });
    map.view.addEventListener("wheel", (event) => {
      const isPinch = event.ctrlKey;  // how browsers report two fingers on a touchpad
      const isPassing = performance.now() - scrolled < kPause || (event.deltaY > 0 && map.zoom === 1);
      if (!isPinch && isPassing) {
        return;
      }
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === 0 ? 1 : 20);
      const speed = isPinch ? 0.01 : 0.002;
      map.zoomBy(Math.exp(clamp(-pixels, -300, 300) * speed), { x: event.offsetX, y: event.offsetY });
    }, { passive: false });
  }

  function listenToPointers(map) {
    const pointers = new Map();  // pressed ones
    let moved = 0;  // px since the first was pressed
    const placeOf = (event) => {
      const box = map.canvas.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    const apart = ([a, b]) => Math.hypot(a.x - b.x, a.y - b.y);
    const middle = ([a, b]) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });

    map.view.addEventListener("pointerdown", (event) => {
      moved = pointers.size === 0 ? 0 : Infinity;
      pointers.set(event.pointerId, placeOf(event));
      ++map.motions;
      map.view.setPointerCapture(event.pointerId);
    });
    map.view.addEventListener("pointermove", (event) => {
      const at = placeOf(event);
      const before = pointers.get(event.pointerId);
      if (!before) {
        map.select(map.nearest(at, 16));
        return;
      }
      const old = [...pointers.values()];
      pointers.set(event.pointerId, at);
      moved += Math.hypot(at.x - before.x, at.y - before.y);
      if (pointers.size === 1 && moved > 4) {
        map.pan(at.x - before.x, at.y - before.y);
      } else if (pointers.size === 2) {
        const now = [...pointers.values()];
        map.pan(middle(now).x - middle(old).x, middle(now).y - middle(old).y);
        map.zoomBy(apart(now) / Math.max(apart(old), 1), middle(now));
      }
    });
    const release = (event) => {
      const was = pointers.delete(event.pointerId);
      if (was && event.type === "pointerup" && moved <= 4) {
        map.select(map.nearest(placeOf(event), event.pointerType === "mouse" ? 16 : 28));
      }
    };
    map.view.addEventListener("pointerup", release);
    map.view.addEventListener("pointercancel", release);
    map.view.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse" && pointers.size === 0) {
        map.select(-1);
      }
    });
  }

  function listenToButtons(place, map) {
    const actions = { in: () => map.glide(1.6), out: () => map.glide(1 / 1.6), all: () => map.showAll() };
    for (const button of place.querySelectorAll("[data-zoom]")) {
      if (button.dataset.zoom in actions) {
        button.addEventListener("click", actions[button.dataset.zoom]);
      }
    }
    for (const button of place.querySelectorAll("[data-class]")) {
      const group = Number(button.dataset.class);
      button.addEventListener("click", () => {
        const isOn = !map.chosen.delete(group);
        if (isOn) {
          map.chosen.add(group);
        }
        button.setAttribute("aria-pressed", String(isOn));
        map.select(-1);
        map.drawSoon();
      });
    }
  }

  function paintLegend(place) {
    const c = colours();
    for (const button of place.querySelectorAll("[data-class]")) {
      const group = Number(button.dataset.class);
      const path = button.querySelector("path");
      path.setAttribute("d", markOf(group, 6, 6, 4.5));
      path.setAttribute("fill", colourOf(group, c));
    }
  }

  // Draws the map and returns what draws it again.
  function addMap(place) {
    const sprite = place.querySelector(".map-sprite");
    const map = new EmbeddingMap(place, data.map, sprite);
    sprite?.addEventListener("load", () => map.drawSoon());
    paintLegend(place);
    listenToKeys(map);
    listenToWheel(map);
    listenToPointers(map);
    listenToButtons(place, map);
    return (isPrint) => {
      paintLegend(place);
      map.resize(isPrint ? kPrintWidth : undefined);
      map.showCard();
    };
  }

  const charts = [];  // functions that draw them again, told whether it is for paper

  // height(width) is for charts that the style sheet gives none.
  function add(place, option, count, texts, { height, printWidth = kPrintWidth } = {}) {
    const fit = (width) => {
      if (height) {
        place.style.height = height(width) + "px";
      }
    };
    fit(place.clientWidth);
    const chart = echarts.init(place, null, { renderer: "svg" });
    const draw = () => chart.setOption(option(colours(), chart.getWidth()), true);
    draw();
    readWithKeys(place, chart, count, texts);
    charts.push((isPrint) => {
      const width = isPrint ? printWidth : undefined;
      fit(width ?? place.clientWidth);
      chart.dispatchAction({ type: "hideTip" });
      chart.resize({ width: width ?? "auto", height: "auto" });
      draw();
    });
  }

  const each = (mark, work) => document.querySelectorAll("[data-" + mark + "]").forEach(work);

  each("curve", (place, i) => {
    const curve = data.curves[i];
    add(place, (c) => curveOption(curve, c), curve.points.length, (j) => curveTexts(curve, j));
  });

  const drawn = data.confusions.filter((confusion) => confusion.is_drawn);
  each("confusion", (place, i) => {
    const all = cells(drawn[i]);
    add(place, (c, width) => confusionOption(drawn[i], c, width), all.length,
      (j) => cellTexts(drawn[i], all[j]), { height: (width) => Math.min(width, 560) });
  });

  each("bars", (place) => {
    const { families } = data.invariance;
    add(place, (c, width) => barsOption(data.invariance, c, width), families.length,
      (j) => familyTexts(families[j]), { height: () => 24 * families.length + 48 });
  });

  each("response", (place, i) => {
    const response = data.invariance.curves[i];
    const all = data.invariance.curves.flatMap(({ points }) => points.map(([, similarity]) => similarity ?? 0));
    const low = Math.min(...all);
    add(place, (c) => responseOption(response, low, c), response.points.length, (j) => responseTexts(response, j),
      { printWidth: kPrintWidth / 3 - 40 });  // in three columns
  });

  each("severities", (place) => {
    const all = severityCells(data.robustness);
    add(place, (c, width) => severityOption(data.robustness, c, width), all.length,
      (j) => severityTexts(data.robustness, all[j]), { height: () => 24 * data.robustness.rows.length + 44 });
  });

  each("map", (place) => charts.push(addMap(place)));

  function redraw(isPrint) {
    for (const drawAgain of charts) {
      drawAgain(isPrint);
    }
  }

  let seenWidth = innerWidth;
  addEventListener("resize", () => {
    // Phones resize the window when their toolbars slide away; only the width matters.
    if (innerWidth !== seenWidth) {
      seenWidth = innerWidth;
      redraw(false);
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    redraw("print" in document.documentElement.dataset);
  });

  addEventListener("beforeprint", () => {
    document.documentElement.dataset.print = "";
    for (const details of document.querySelectorAll("details[data-print]")) {
      details.open = true;
    }
    redraw(true);
  });
  addEventListener("afterprint", () => {
    delete document.documentElement.dataset.print;
    redraw(false);
  });

  document.body.dataset.charts = charts.length;
})();
