// The map of bytes: a squarified treemap (Bruls, Huizing, van Wijk, 2000), and a table of what is on
// its first level.

/** A node of the tree that a map shows. */
function branch(name, path) {
  return { name, path, bytes: 0, files: 0, children: new Map(), parent: null, leaf: null, kinds: {} };
}

/** Adds a leaf below the names of its groups; `weight` is its area. */
function grow(root, names, leaf, weight, kind, files = 1) {
  let node = root;
  const note = () => {
    node.bytes += weight;
    node.files += files;
    node.kinds[kind] = (node.kinds[kind] || 0) + weight;
  };
  note();
  for (const name of names) {
    let child = node.children.get(name);
    if (!child) {
      child = branch(name, `${node.path === "/" ? "" : node.path}/${name}`);
      child.parent = node;
      node.children.set(name, child);
    }
    node = child;
    note();
  }
  node.leaf = leaf;
}

/** The kind with the most bytes. */
function mainKind(node) {
  let [best, most] = ["data", -1];
  for (const [kind, bytes] of Object.entries(node.kinds)) {
    if (bytes > most) [best, most] = [kind, bytes];
  }
  return best;
}

/** The children with bytes, the largest first; what a file has itself is one of them. */
function largest(node) {
  const children = [...node.children.values()].filter((child) => child.bytes > 0);
  const below = children.reduce((sum, child) => sum + child.bytes, 0);
  if (children.length > 0 && node.bytes > below) {
    const own = { ...branch("itself", node.path), bytes: node.bytes - below, files: 1, leaf: node.leaf };
    own.kinds = { [node.kind || mainKind(node)]: own.bytes };
    own.isOwn = true;
    children.push(own);
  }
  return children.sort((one, other) => other.bytes - one.bytes || (one.name < other.name ? -1 : 1));
}

/** The first of these, and one for all others. */
function atMost(items, most) {
  if (items.length <= most) return items;
  const others = items.slice(most - 1);
  const rest = branch(`${others.length} more`, others[0].parent?.path || "");
  rest.parent = others[0].parent;
  rest.isRest = true;
  for (const item of others) {
    rest.bytes += item.bytes;
    rest.files += item.files;
    for (const [kind, bytes] of Object.entries(item.kinds)) rest.kinds[kind] = (rest.kinds[kind] || 0) + bytes;
  }
  return [...items.slice(0, most - 1), rest];
}

/** Directories with one entry are passed over: their names are joined. */
function descend(node) {
  let [at, name] = [node, node.name];
  while (at.children.size === 1 && at.leaf === null) {
    const [only] = at.children.values();
    if (only.children.size === 0) break;
    at = only;
    name += `/${only.name}`;
  }
  return [at, name];
}

/** Divides a rectangle among items by their bytes, with tiles as square as possible. */
function squarify(items, x, y, width, height) {
  const tiles = [];
  let left = items.reduce((sum, item) => sum + item.bytes, 0);
  let at = 0;
  while (at < items.length && width > 0 && height > 0 && left > 0) {
    const isWide = width >= height;
    const side = isWide ? height : width;
    const scale = (width * height) / left;
    let [row, worst, end] = [0, Infinity, at];
    while (end < items.length) {
      const sum = row + items[end].bytes;
      const thick = (sum * scale) / side;
      const first = (items[at].bytes * scale) / thick;
      const last = (items[end].bytes * scale) / thick;
      const ratio = Math.max(thick / last, last / thick, first / thick, thick / first);
      if (ratio > worst) break;
      [row, worst, end] = [sum, ratio, end + 1];
    }
    const thick = (row * scale) / side;
    let along = isWide ? y : x;
    for (; at < end; at += 1) {
      const long = (items[at].bytes * scale) / thick;
      tiles.push(isWide
        ? { item: items[at], x, y: along, width: thick, height: long }
        : { item: items[at], x: along, y, width: long, height: thick });
      along += long;
    }
    left -= row;
    if (isWide) [x, width] = [x + thick, width - thick];
    else [y, height] = [y + thick, height - thick];
  }
  return tiles;
}

/** Draws a map into a section, and answers clicks and keys in it. */
class Treemap {
  /** Height of a group's title, and the width of its frame. */
  static TITLE = 21;
  static EDGE = 3;
  /** Tiles: all, on the first level, in a group. */
  static MOST = 400;
  static MOST_TOP = 200;
  static MOST_BELOW = 60;
  static ROWS = 100;

  /** `onLeaf` gets the leaf that was chosen; `format` prints bytes. */
  constructor(section, { onLeaf, total }) {
    this.area = section.querySelector(".treemap");
    this.crumbs = section.querySelector(".crumbs");
    this.level = section.querySelector(".level");
    this.onLeaf = onLeaf;
    this.total = total;
    new ResizeObserver(() => this.draw()).observe(this.area);
  }

  show(root) {
    this.root = root;
    this.open(descend(root)[0]);
  }

  open(node) {
    this.node = node;
    this.drawn = null;
    this.draw();
    this.drawCrumbs();
    this.drawLevel();
  }

  up() {
    if (this.node.parent) this.open(this.node.parent);
  }

  /** Opens a node, or chooses it if nothing is in it. */
  choose(node) {
    if (node.isRest) {
      if (node.parent && node.parent !== this.node) this.open(node.parent);
      return;
    }
    const [at] = descend(node);
    if (at.children.size > 0) {
      this.open(at);
      const first = this.area.querySelector("button");
      if (first && this.area.contains(document.activeElement)) first.focus();
    } else if (at.leaf !== null) {
      this.onLeaf(at.leaf);
    }
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.area;
    if (!this.node || width === 0 || this.drawn === width) return;
    this.drawn = width;
    const tiles = this.boxes({ item: this.node, x: 0, y: 0, width, height }).map((box) => this.tile(box));
    this.area.replaceChildren(...tiles);
    if (tiles.length === 0) this.area.append(make("p", { class: "empty" }, "There are no bytes to show."));
    roving(this.area, tiles, () => this.up());
  }

  /** Boxes for what is in a box, and for what is in those: the largest are opened first. */
  boxes(whole) {
    const inside = ({ item, x, y, width, height }, most) => squarify(atMost(largest(item), most), x, y, width, height).filter((box) => box.width >= 4 && box.height >= 4);
    const first = inside(whole, Treemap.MOST_TOP);
    const waiting = [...first];
    let left = Treemap.MOST - first.length;
    while (waiting.length > 0 && left > 0) {
      waiting.sort((one, other) => one.width * one.height - other.width * other.height);
      const box = waiting.pop();
      const [at] = descend(box.item);
      if (at.children.size === 0 || box.width < 64 || box.height < 54) continue;
      const [x, y] = [box.x + Treemap.EDGE, box.y + Treemap.TITLE];
      const below = inside({ item: at, x, y, width: box.width - 2 * Treemap.EDGE - 1, height: box.height - Treemap.TITLE - Treemap.EDGE - 1 }, Treemap.MOST_BELOW);
      if (below.length > left || below.length === 0) continue;
      left -= below.length;
      box.below = below;
      waiting.push(...below);
    }
    const flat = [];
    const pending = first.reverse();
    while (pending.length > 0) {
      const box = pending.pop();
      flat.push(box);
      pending.push(...[...(box.below || [])].reverse());
    }
    return flat;
  }

  tile({ item, x, y, width, height, below }) {
    const [name, isGroup] = [descend(item)[1], Boolean(below)];
    const kind = isGroup ? "group" : mainKind(item);
    const bytes = size(item.bytes);
    // Begins with what is seen of it, so that it can be named aloud.
    const text = `${name} ${bytes}, ${share(item.bytes, this.root.bytes)}`;
    const isTiny = width < 20 || height < 12;
    const tile = make("button", { type: "button", class: `tile ${kind}${isTiny ? " tiny" : ""}`, tabindex: -1, title: `${item.path}\n${text}`, "aria-label": text });
    tile.tabIndex = -1;
    if (width > 34 && height > 17) tile.append(make("bdi", {}, name));
    if (width > 64 && (isGroup || height > 36)) tile.append(" ", make("span", {}, bytes));
    tile.addEventListener("click", () => this.choose(item.isOwn ? { ...item, children: new Map() } : item));
    Object.assign(tile.style, { left: `${x}px`, top: `${y}px`, width: `${Math.max(width - 1, 1)}px`, height: `${Math.max(height - 1, 1)}px` });
    return tile;
  }

  drawCrumbs() {
    const crumbs = [];
    for (let node = this.node; node; node = node.parent) {
      const isHere = node === this.node;
      const name = make("bdi", {}, node.name);
      crumbs.unshift(isHere
        ? make("span", { "aria-current": "location" }, name)
        : make("button", { type: "button", on: { click: () => this.open(node) } }, name));
    }
    const all = make("span", { class: "sum" }, `${size(this.node.bytes)} in ${count(this.node.files, this.total)}`);
    this.crumbs.replaceChildren(...crumbs, all);
  }

  drawLevel() {
    const items = largest(this.node);
    const rows = items.slice(0, Treemap.ROWS).map((item) => {
      const [at, name] = descend(item);
      const isOpenable = at.children.size > 0;
      const bar = make("span", { class: `share ${mainKind(item)}` });
      bar.style.width = `${(item.bytes * 100) / Math.max(items[0].bytes, 1)}%`;
      const button = make("button", { type: "button", on: { click: () => this.choose(item) } }, make("bdi", {}, isOpenable ? `${name}/` : name));
      return make("tr", {}, make("th", { scope: "row" }, button, bar), make("td", { class: "number" }, size(item.bytes)), make("td", { class: "number muted" }, share(item.bytes, this.node.bytes)));
    });
    const heads = make("tr", {}, make("th", { scope: "col" }, "Name"), make("th", { scope: "col", class: "number" }, "Bytes"), make("th", { scope: "col", class: "number" }, "Share"));
    const table = make("table", {}, make("caption", { class: "hidden" }, `Largest in ${this.node.path}`), make("thead", {}, heads), make("tbody", {}, ...rows));
    this.level.replaceChildren(table);
    if (items.length > rows.length) this.level.append(make("p", { class: "more" }, `and ${items.length - rows.length} more`));
    this.level.scrollTop = 0;
  }
}
