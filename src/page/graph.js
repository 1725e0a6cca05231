// The graph of what needs what: a column for each step from what is started.

/** Draws the neighborhood of a file, or the whole graph if that is small. */
class Graph {
  static HEIGHT = 26;
  static GAP = 8;
  /** Space between columns, and the least and greatest width of one. */
  static BETWEEN = 48;
  static WIDTHS = [172, 230];
  /** A larger graph is shown around the chosen file. */
  static MOST = 70;
  static MOST_NEIGHBORS = 30;

  constructor(section, data, { onSelect }) {
    Object.assign(this, { section, data, onSelect });
    this.canvas = section.querySelector(".canvas");
    this.status = section.querySelector(".status");
    this.field = section.querySelector("input[type=search]");
    this.names = section.querySelector("datalist");
    const { files, edges } = data;
    this.needs = new Map();
    this.neededBy = new Map();
    const add = (map, key, value) => (map.get(key) || map.set(key, []).get(key)).push(value);
    // Links are on the way to what is needed; they would double the graph.
    const drawn = new Set();
    for (const [by, to, rule] of edges) {
      add(this.neededBy, to, { file: by, rule });
      if (files[to].kind === "link") continue;
      add(this.needs, by, { file: to, rule });
      drawn.add(by).add(to);
    }
    files.forEach((file, at) => {
      if (file.rule !== undefined && file.by === undefined && ["program", "library", "script"].includes(file.kind)) drawn.add(at);
    });
    this.all = [...drawn].sort((one, other) => one - other);
    this.depths = this.measure();
    this.field.addEventListener("input", () => this.suggest());
    this.field.addEventListener("change", () => this.find());
  }

  /** How many steps each file is from what is started. */
  measure() {
    const { files } = this.data;
    const depths = new Map();
    let now = this.all.filter((file) => files[file].rule !== undefined && files[file].by === undefined);
    const visit = (start) => {
      now = start.filter((file) => !depths.has(file));
      for (let depth = 0; now.length > 0; depth += 1) {
        for (const file of now) depths.set(file, depth);
        const next = now.flatMap((file) => (this.needs.get(file) || []).map((edge) => edge.file));
        now = [...new Set(next)].filter((file) => !depths.has(file));
      }
    };
    visit(now);
    // Then what nothing that is started leads to.
    visit(this.all.filter((file) => !depths.has(file) && !this.neededBy.has(file)));
    visit(this.all);
    return depths;
  }

  suggest() {
    const word = this.field.value.toLowerCase();
    const found = this.all.filter((file) => this.data.files[file].path.toLowerCase().includes(word)).slice(0, 20);
    this.names.replaceChildren(...found.map((file) => make("option", { value: this.data.files[file].path })));
  }

  find() {
    const word = this.field.value.toLowerCase();
    if (word === "") return;
    const path = (file) => this.data.files[file].path.toLowerCase();
    const found = this.all.find((file) => path(file) === word) ?? this.all.find((file) => split(path(file))[1].startsWith(word)) ?? this.all.find((file) => path(file).includes(word));
    if (found === undefined) this.status.textContent = "No program or library has this name";
    else this.onSelect(found);
  }

  /** The chain from what is started to a file, as `slimpack why` gives it first. */
  chain(file) {
    const chain = [];
    if (this.data.files[file].rule === undefined) return chain;
    for (let at = file; at !== undefined && chain.length <= this.data.files.length; at = this.data.files[at].by) chain.unshift(at);
    return chain;
  }

  /** The files to draw around `file`. */
  around(file) {
    if (this.all.length <= Graph.MOST) return this.all;
    const some = (map) => (map.get(file) || []).map((edge) => edge.file).slice(0, Graph.MOST_NEIGHBORS);
    const near = new Set([...this.chain(file), file, ...some(this.needs), ...some(this.neededBy)]);
    return this.all.filter((one) => near.has(one));
  }

  show(selected) {
    const { files } = this.data;
    const shown = this.around(selected);
    const chain = this.chain(selected);
    const columns = this.columns(shown);
    const places = new Map();
    const room = (this.canvas.clientWidth - 16 + Graph.BETWEEN) / Math.max(columns.length, 1) - Graph.BETWEEN;
    this.width = Math.floor(Math.min(Math.max(room, Graph.WIDTHS[0]), Graph.WIDTHS[1]));
    const step = this.width + Graph.BETWEEN;
    columns.forEach((column, x) => column.forEach((file, y) => places.set(file, [8 + x * step, 8 + y * (Graph.HEIGHT + Graph.GAP)])));
    const rows = Math.max(1, ...columns.map((column) => column.length));
    const width = 16 + Math.max(columns.length, 1) * step - Graph.BETWEEN;
    const height = 16 + rows * (Graph.HEIGHT + Graph.GAP) - Graph.GAP;
    const lines = [[], []];
    for (const by of shown) {
      for (const { file: to } of this.needs.get(by) || []) {
        if (!places.has(to) || by === to) continue;
        const isChain = chain.some((file, at) => file === to && chain[at - 1] === by);
        const kind = isChain ? "chain" : by === selected ? "needs" : to === selected ? "needed" : files[to].by === by ? "first" : "other";
        lines[kind === "first" || kind === "other" ? 0 : 1].push(draw("path", { class: kind, d: this.curve(places.get(by), places.get(to)) }));
      }
    }
    const near = new Set([selected, ...chain, ...(this.needs.get(selected) || []).map((edge) => edge.file), ...(this.neededBy.get(selected) || []).map((edge) => edge.file)]);
    const nodes = shown.map((file) => this.box(file, places.get(file), file === selected ? "selected" : chain.includes(file) ? "chain" : near.has(file) ? "near" : "far"));
    const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}` }, ...lines[0], ...lines[1], ...nodes);
    this.canvas.replaceChildren(svg);
    this.canvas.hidden = this.all.length === 0;
    roving(this.canvas, nodes);
    const isWhole = shown.length === this.all.length;
    this.status.textContent = this.all.length === 0 ? "Nothing in the image needs anything else" : isWhole ? `${count(shown.length, "file")}, ${count(lines[0].length + lines[1].length, "edge")}` : `${shown.length} of ${count(this.all.length, "file")}, around ${split(files[selected].path)[1]}`;
    const place = places.get(selected);
    if (place && this.canvas.clientWidth < width) this.canvas.scrollLeft = Math.max(0, place[0] - this.canvas.clientWidth / 2);
    if (place && this.canvas.clientHeight < height) this.canvas.scrollTop = Math.max(0, place[1] - this.canvas.clientHeight / 2);
  }

  /** Columns by depth; files that the same file leads to are next to each other. */
  columns(shown) {
    const { files } = this.data;
    const columns = [];
    for (const file of shown) {
      const depth = this.depths.get(file) || 0;
      (columns[depth] ||= []).push(file);
    }
    const rank = new Map();
    const filled = columns.filter(Boolean);
    for (const column of filled) {
      const first = (file) => rank.get(files[file].by) ?? Math.min(Infinity, ...(this.neededBy.get(file) || []).map((edge) => rank.get(edge.file) ?? Infinity));
      const keys = new Map(column.map((file) => [file, first(file)]));
      column.sort((one, other) => keys.get(one) - keys.get(other) || files[other].bytes - files[one].bytes || one - other);
      column.forEach((file, at) => rank.set(file, at));
    }
    return filled;
  }

  curve([fromX, fromY], [toX, toY]) {
    const middle = Graph.HEIGHT / 2;
    const [y1, y2] = [fromY + middle, toY + middle];
    const start = fromX + this.width;
    if (toX > fromX) {
      const bend = (toX - start) / 2;
      return `M${start} ${y1}C${start + bend} ${y1} ${toX - bend} ${y2} ${toX} ${y2}`;
    }
    // In one column, or back: around the right side.
    const end = toX + this.width;
    const far = Math.max(start, end) + Graph.BETWEEN * 0.55;
    return `M${start} ${y1}C${far} ${y1} ${far} ${y2} ${end} ${y2}`;
  }

  box(file, [x, y], state) {
    const { path, bytes, kind } = this.data.files[file];
    const name = split(path)[1] || path;
    const hasBytes = this.width > 210;
    const most = Math.floor((this.width - (hasBytes ? 76 : 20)) / 6.9);
    const short = name.length > most ? `${name.slice(0, most - 7)}…${name.slice(-6)}` : name;
    const node = draw("g", { class: `node ${kind} ${state}`, role: "button", tabindex: -1, "aria-pressed": state === "selected" },
      // Its name for those who hear it.
      draw("title", {}, `${path}\n${size(bytes)}`),
      draw("rect", { x, y, width: this.width, height: Graph.HEIGHT, rx: 5 }),
      draw("rect", { class: "mark", x, y, width: 4, height: Graph.HEIGHT, rx: 2 }),
      draw("text", { x: x + 11, y: y + 17 }, short));
    if (hasBytes) node.append(draw("text", { class: "bytes", x: x + this.width - 7, y: y + 17, "text-anchor": "end" }, size(bytes)));
    if (state === "selected") node.tabIndex = 0;
    node.addEventListener("click", () => this.onSelect(file));
    node.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      this.onSelect(file);
      this.canvas.querySelector(".selected")?.focus();
    });
    return node;
  }
}
