// Charts of lines: switches lines off and on, and reads the values where the slider or pointer is.
{
  const SVG = "http://www.w3.org/2000/svg";

  // An axis from its ends in the markup: from a place (0..1) on it to the value there.
  const readAxis = (text) => {
    const [low, high, kind] = text.split(" ");
    const [a, b] = kind === "log" ? [Math.log10(low), Math.log10(high)] : [+low, +high];
    return (place) => {
      const value = a + place * (b - a);
      return kind === "log" ? 10 ** value : value;
    };
  };

  // The points of a path: a start, then steps from point to point.
  const readPoints = (path) => {
    const numbers = path.getAttribute("d").match(/-?[\d.]+/g).map(Number);
    const points = [[numbers[0], numbers[1]]];
    for (let i = 2; i + 1 < numbers.length; i += 2) {
      const [x, y] = points[points.length - 1];
      points.push([x + numbers[i], y + numbers[i + 1]]);
    }
    return points;
  };

  // The height of a line at x; of a step its lower end, where the value holds from there on.
  const heightAt = (points, x) => {
    if (x < points[0][0] - 0.01 || x > points[points.length - 1][0] + 0.01) return null;
    let low = 0;
    let high = points.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (points[middle][0] <= x) low = middle; else high = middle - 1;
    }
    const [x0, y0] = points[low];
    const next = points[low + 1];
    return next && next[0] > x0 ? y0 + (next[1] - y0) * (x - x0) / (next[0] - x0) : y0;
  };

  const format = (value) => {
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size < 1e-4) return value.toExponential(1).replace(/-/g, "\u2212");
    return value.toFixed(Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(size)))));
  };

  const readChart = (chart) => {
    const [left, top, width, height] = chart.dataset.plot.split(" ").map(Number);
    const cursor = document.createElementNS(SVG, "path");
    cursor.setAttribute("class", "cursor");
    chart.append(cursor);
    const level = chart.querySelector(".level path");
    return {
      chart, left, top, width, height, cursor,
      xValue: readAxis(chart.dataset.x),
      yValue: readAxis(chart.dataset.y),
      lines: new Map([...chart.querySelectorAll("[data-series]")].map((group) => [
        group.dataset.series, readPoints(group.querySelector(".line")),
      ])),
      level: level && +level.getAttribute("d").match(/-?[\d.]+/g)[1],
    };
  };

  const connect = (group) => {
    const charts = [...group.querySelectorAll("svg.chart")];
    const entries = [...group.querySelectorAll("[data-entry]")];
    const slider = group.querySelector(".slider");
    const lineGroups = (number) => group.querySelectorAll(`svg.chart [data-series="${number}"]`);

    for (const entry of entries) {
      const box = entry.querySelector("input");
      const lines = lineGroups(entry.dataset.entry);
      const light = (on) => {
        charts.forEach((chart) => chart.classList.toggle("lit", on));
        lines.forEach((line) => line.classList.toggle("lit", on));
      };
      const apply = () => {
        entry.classList.toggle("off", !box.checked);
        lines.forEach((line) => line.classList.toggle("off", !box.checked));
      };
      box.hidden = false;
      box.addEventListener("change", apply);
      entry.addEventListener("pointerenter", () => light(box.checked));
      entry.addEventListener("pointerleave", () => light(false));
      box.addEventListener("focus", () => light(box.checked && box.matches(":focus-visible")));
      box.addEventListener("blur", () => light(false));
      apply(); // a browser may bring boxes back as they were left
    }
    const switchAll = (on) => entries.forEach((entry) => {
      const box = entry.querySelector("input");
      box.checked = on;
      box.dispatchEvent(new Event("change"));
    });
    const buttons = group.querySelector(".all-or-none");
    if (buttons) {
      buttons.hidden = false;
      buttons.querySelector("[data-all]").addEventListener("click", () => switchAll(true));
      buttons.querySelector("[data-none]").addEventListener("click", () => switchAll(false));
    }
    if (!slider) return;

    const range = slider.querySelector("input");
    const where = slider.querySelector("output");
    const known = new Map();
    const shown = () => {
      const chart = charts.find((one) => !one.closest("[hidden]"));
      if (!known.has(chart)) known.set(chart, readChart(chart));
      return known.get(chart);
    };
    const read = () => {
      const plot = shown();
      const place = range.value / range.max;
      const x = plot.left + place * plot.width;
      const value = (y) => {
        const read = plot.yValue((plot.top + plot.height - y) / plot.height);
        return format(read < 1e-9 ? 0 : read); // coordinates of 0 are not quite 0
      };
      plot.cursor.setAttribute("d", `M${x} ${plot.top}v${plot.height}`);
      where.textContent = format(plot.xValue(place));
      range.setAttribute("aria-valuetext", where.textContent);
      for (const entry of entries) {
        const points = plot.lines.get(entry.dataset.entry);
        const y = points ? heightAt(points, x) : null;
        entry.classList.toggle("absent", !points);
        entry.querySelector(".reading").textContent = y === null ? "\u2013" : value(y);
      }
      const level = group.querySelector("[data-level]");
      if (level) level.textContent = plot.level === null ? "" : value(plot.level);
    };
    for (const chart of charts) {
      chart.addEventListener("pointermove", (event) => {
        const plot = shown();
        const box = chart.getBoundingClientRect();
        const x = (event.clientX - box.left) / box.width * chart.viewBox.baseVal.width;
        const place = (x - plot.left) / plot.width;
        if (place < 0 || place > 1) return;
        range.value = Math.round(place * range.max);
        read();
      });
    }
    range.addEventListener("input", read);
    group.addEventListener("chosen", read);
    slider.hidden = false;
    read();
  };

  document.querySelectorAll("[data-curves]").forEach(connect);
}
