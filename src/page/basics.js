// What the other parts of the script share.

/** Makes an element. Texts become text nodes, so that no name in an image is ever markup. */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** Makes an element of a drawing. */
function draw(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A size in decimal units, as slimpack prints it. */
function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  let unit = -1;
  while (bytes >= 1000 && unit < 5) {
    bytes /= 1000;
    unit += 1;
  }
  return `${bytes.toFixed(1)} ${["kB", "MB", "GB", "TB", "PB", "EB"][unit]}`;
}

/** A size with its sign. */
function signed(bytes) {
  return bytes === 0 ? "±0" : (bytes > 0 ? "+" : "−") + size(Math.abs(bytes));
}

function count(number, thing) {
  return `${number.toLocaleString("en")} ${thing}${number === 1 ? "" : "s"}`;
}

function share(part, whole) {
  return whole > 0 ? `${((part * 100) / whole).toFixed(1)} %` : "0 %";
}

/** The directory of a path, with its slash, and its last name. */
function split(path) {
  const at = path.lastIndexOf("/") + 1;
  return [path.slice(0, at), path.slice(at)];
}

/** A path whose directory may be cut short while its name stays whole. */
function pathText(path) {
  const [directory, name] = split(path);
  return make("span", { class: "path", title: path }, make("span", { class: "directory" }, directory), make("bdi", {}, name));
}

/** Keeps one of several elements in the tab order, and moves between them with the arrow keys. */
function roving(container, elements, onEscape) {
  if (elements.length > 0 && !elements.some((element) => element.tabIndex === 0)) elements[0].tabIndex = 0;
  container.onkeydown = (event) => {
    const at = elements.indexOf(document.activeElement);
    const steps = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: elements.length - 1 };
    if (event.key === "Escape" && onEscape) {
      onEscape();
    } else if (event.key in steps && elements.length > 0) {
      const next = elements[Math.min(Math.max(steps[event.key], 0), elements.length - 1)];
      if (at >= 0) elements[at].tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    } else {
      return;
    }
    event.preventDefault();
  };
}
