// A table of any number of rows, of which only those in sight are elements.

/** Draws rows of equal height into an element. */
class List {
  static ROW = 34;
  static SPARE = 8;
  static PRINTED = 200;

  /** `columns` are names with a function that makes a cell of a row; `texts` has what is searched. */
  constructor(element, { label, columns, rows, texts, onSelect }) {
    Object.assign(this, { element, columns, all: rows, rows, onSelect, texts, selected: null });
    const heads = columns.map((column) => {
      const button = make("button", { type: "button", on: { click: () => this.sort(column) } }, column.name);
      column.head = make("th", { scope: "col", class: column.class || "" }, button);
      return column.head;
    });
    this.body = make("tbody", {});
    this.table = make("table", { role: "grid", "aria-label": label }, make("thead", {}, make("tr", {}, ...heads)), this.body);
    this.scroller = make("div", { class: "scroller", tabindex: 0, role: "group", "aria-label": `${label}. Arrow keys choose a row.` }, this.table);
    this.scroller.addEventListener("scroll", () => requestAnimationFrame(() => this.draw()), { passive: true });
    this.scroller.addEventListener("keydown", (event) => this.key(event));
    addEventListener("beforeprint", () => this.draw(List.PRINTED));
    addEventListener("afterprint", () => this.draw());
    element.replaceChildren(this.scroller);
    this.sort(columns[columns.length - 1]);
  }

  /** Shows the rows whose texts contain each of the words; returns how many. */
  filter(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    this.rows = this.all.filter((row) => words.every((word) => this.texts(row).includes(word)));
    this.order();
    return this.rows.length;
  }

  sort(column) {
    this.isReversed = this.by === column ? !this.isReversed : false;
    this.by = column;
    for (const { head } of this.columns) head.removeAttribute("aria-sort");
    column.head.setAttribute("aria-sort", this.isReversed !== Boolean(column.isNumber) ? "descending" : "ascending");
    this.order();
  }

  order() {
    const { key, isNumber } = this.by;
    const sign = this.isReversed ? -1 : 1;
    const compare = isNumber ? (one, other) => key(other) - key(one) : (one, other) => (key(one) < key(other) ? -1 : key(one) > key(other) ? 1 : 0);
    this.rows = [...this.rows].sort((one, other) => sign * compare(one, other));
    this.table.setAttribute("aria-rowcount", this.rows.length + 1);
    this.scroller.scrollTop = 0;
    this.draw();
  }

  /** Draws the rows in sight, or the first ones for a printer. */
  draw(printed = 0) {
    const sight = Math.ceil(this.scroller.clientHeight / List.ROW) + 2 * List.SPARE;
    const first = printed ? 0 : Math.max(0, Math.floor(this.scroller.scrollTop / List.ROW) - List.SPARE);
    const last = Math.min(this.rows.length, first + (printed || sight));
    const rows = [];
    for (let at = first; at < last; at += 1) rows.push(this.row(this.rows[at], at));
    const below = printed ? 0 : this.rows.length - last;
    this.body.replaceChildren(this.space(first), ...rows, this.space(below));
  }

  space(rows) {
    const space = make("tr", { class: "space", "aria-hidden": true });
    space.style.height = `${rows * List.ROW}px`;
    return space;
  }

  row(row, at) {
    const cells = this.columns.map((column) => make("td", { class: column.class || "" }, column.cell(row)));
    return make("tr", { "aria-rowindex": at + 2, "aria-selected": row === this.selected ? "true" : "false", on: { click: () => this.onSelect(row) } }, ...cells);
  }

  /** Marks a row, and scrolls to it if it is in the list. */
  select(row) {
    this.selected = row;
    const at = this.rows.indexOf(row);
    const top = at * List.ROW;
    const height = this.scroller.clientHeight - 2 * List.ROW;
    if (at >= 0 && (top < this.scroller.scrollTop || top > this.scroller.scrollTop + height)) {
      this.scroller.scrollTop = Math.max(0, top - height / 2);
    }
    this.draw();
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / List.ROW) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || event.target !== this.scroller || this.rows.length === 0) return;
    const at = Math.min(Math.max(this.rows.indexOf(this.selected) + steps[event.key], 0), this.rows.length - 1);
    this.onSelect(this.rows[at]);
    event.preventDefault();
  }
}

/** Connects a search field and a status with a list. */
function search(section, list, things) {
  const field = section.querySelector("input[type=search]");
  const status = section.querySelector(".status");
  const tell = (found) => {
    const all = list.all.length;
    status.textContent = found === all ? count(all, things) : `${found.toLocaleString("en")} of ${count(all, things)}`;
  };
  field.addEventListener("input", () => tell(list.filter(field.value)));
  tell(list.all.length);
}
