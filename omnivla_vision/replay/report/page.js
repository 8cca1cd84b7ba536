// Hovering a chart shows the values nearest to the pointer. Without it the page is complete, only less handy.
const tip = document.getElementById("tip");
const make = (name, attributes, parent) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return parent.appendChild(element);
};
for (const svg of document.querySelectorAll("svg[data-hover]")) {
  const chart = JSON.parse(svg.dataset.hover);
  const box = svg.viewBox.baseVal;
  let layer = null;
  const leave = () => { tip.hidden = true; layer?.remove(); layer = null; };
  svg.addEventListener("pointermove", (event) => {
    leave();
    const place = svg.getBoundingClientRect();
    const x = ((event.clientX - place.left) / place.width) * box.width;
    layer = make("g", {}, svg);
    tip.replaceChildren();
    for (const series of chart.series) {
      const near = series.points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
      if (!tip.childElementCount) {
        make("line", { class: "cross", x1: near[0], x2: near[0], y1: 0, y2: box.height }, layer);
        tip.appendChild(document.createElement("div")).textContent = `${near[2]} ${chart.unit}`;
      }
      make("circle", { class: `dot c${series.colour}`, cx: near[0], cy: near[1], r: 4 }, layer);
      const row = tip.appendChild(document.createElement("div"));
      row.appendChild(document.createElement("i")).className = `c${series.colour}`;
      row.append(`${series.name} ${near[3]}`);
    }
    tip.hidden = false;
    const beyond = event.clientX + 16 + tip.offsetWidth > window.innerWidth;
    tip.style.left = `${beyond ? event.clientX - 16 - tip.offsetWidth : event.clientX + 16}px`;
    tip.style.top = `${event.clientY + 12}px`;
  });
  svg.addEventListener("pointerleave", leave);
}
