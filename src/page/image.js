// The part of a page about one image.

/** Groups of the map: a function that makes the tree for each. */
const GROUPS = {
  directory(data) {
    const root = branch("/", "/");
    data.files.forEach((file, at) => plant(root, file.path.split("/").filter(Boolean), data, at));
    return root;
  },
  package(data) {
    const root = branch("packages", "");
    data.files.forEach((file, at) => {
      const owner = file.package === undefined ? "no package" : data.packages[file.package];
      plant(root, [owner, ...file.path.split("/").filter(Boolean)], data, at);
    });
    return root;
  },
  layer(data) {
    const root = branch("layers", "");
    data.files.forEach((file, at) => {
      const layer = file.kind === "rest" ? "not listed" : `layer ${file.layer + 1}`;
      plant(root, [layer, ...file.path.split("/").filter(Boolean)], data, at);
    });
    return root;
  },
  /** Below each file what it leads to: the shortest chains as a tree. */
  reason(data) {
    const root = branch("reasons", "");
    const nodes = new Map();
    const node = (at) => {
      // A chain may be long: no recursion.
      const way = [];
      for (let next = at; next !== undefined && !nodes.has(next); next = data.files[next].by) way.push(next);
      for (const next of way.reverse()) {
        const file = data.files[next];
        const made = branch(split(file.path)[1], file.path);
        Object.assign(made, { leaf: next, kind: file.kind, parent: file.by === undefined ? group(root, reasonOf(data, file)) : nodes.get(file.by) });
        made.parent.children.set(next, made);
        nodes.set(next, made);
      }
      return nodes.get(at);
    };
    data.files.forEach((file, at) => {
      if (file.rule === undefined) {
        plant(root, ["nothing leads to it", ...file.path.split("/").filter(Boolean)], data, at);
        return;
      }
      for (let up = node(at); up; up = up.parent) {
        up.bytes += file.bytes;
        up.files += countOf(file);
        up.kinds[file.kind] = (up.kinds[file.kind] || 0) + file.bytes;
      }
    });
    return root;
  },
};

/** Only regular files count as files, hard links once, as in `slimpack inspect`. */
function countOf(file) {
  if (file.kind === "rest") return file.files;
  return file.kind === "link" || file.kind === "special" || file.same !== undefined ? 0 : 1;
}

function plant(root, names, data, at) {
  const file = data.files[at];
  const isOne = file.kind !== "rest";
  grow(root, isOne ? names : [...names, "files that are not listed"], isOne ? at : null, file.bytes, isOne ? file.kind : "data", countOf(file));
}

function group(root, name) {
  if (!root.children.has(name)) {
    const made = branch(name, name);
    made.parent = root;
    root.children.set(name, made);
  }
  return root.children.get(name);
}

/** The need that adds a file, or `entrypoint`: what comes before the colon of a rule. */
function reasonOf(data, file) {
  return data.rules[file.rule].split(": ")[0];
}

/** What is shown about the chosen file. */
function details(data, graph, at, select) {
  const file = data.files[at];
  const [directory, name] = split(file.path);
  const link = (to) => make("button", { type: "button", class: "link", on: { click: () => select(to) } }, pathText(data.files[to].path));
  const facts = [
    ["Size", file.same === undefined ? size(file.bytes) : null],
    ["Another name of", file.same === undefined ? null : link(file.same)],
    ["Target", file.target],
    ["Kind", file.kind],
    ["Rights", `${file.mode}  ${file.owner}`],
    ["Capabilities", file.capabilities],
    ["Package", file.package === undefined ? null : data.packages[file.package]],
    ["Layer", data.layers > 1 ? String(file.layer + 1) : null],
  ].filter(([, value]) => value !== null && value !== undefined);
  const parts = [
    make("h3", {}, make("span", { class: "directory" }, directory), make("bdi", {}, name)),
    make("dl", {}, ...facts.flatMap(([term, value]) => [make("dt", {}, term), make("dd", {}, value)])),
  ];
  const chain = graph.chain(at);
  const isStarted = chain.length > 0 && data.rules[data.files[chain[0]].rule] === "entrypoint";
  parts.push(make("h4", {}, isStarted ? "Path from the entrypoint" : "Why it is here"));
  if (chain.length === 0) parts.push(make("p", { class: "muted" }, "Nothing that the image starts leads to it."));
  else parts.push(make("ol", { class: "chain" }, ...chain.map((step) => make("li", {}, link(step), make("span", { class: "muted" }, data.rules[data.files[step].rule])))));
  const edges = (title, list) => {
    if (list.length === 0) return;
    const most = 40;
    const items = list.slice(0, most).map((edge) => make("li", { title: data.rules[edge.rule] }, link(edge.file)));
    if (list.length > most) items.push(make("li", { class: "muted" }, `and ${list.length - most} more`));
    parts.push(make("h4", {}, `${title} (${list.length})`), make("ul", {}, ...items));
  };
  edges("Needs", graph.needs.get(at) || []);
  edges("Needed by", graph.neededBy.get(at) || []);
  return parts;
}

function imagePart(article, data) {
  const aside = article.querySelector(".details");
  const listed = data.files.filter((file) => file.kind !== "rest");
  const graph = new Graph(article.querySelector(".graph"), data, { onSelect: (at) => select(at) });
  const places = new Map(data.files.map((file, at) => [file, at]));
  const texts = new Map();
  const list = new List(article.querySelector(".list"), {
    label: "Files",
    rows: listed,
    columns: [
      { name: "Path", class: "main", key: (file) => file.path, cell: (file) => make("span", { class: `dot ${file.kind}` }, pathText(file.path)) },
      { name: "Package", class: "wide muted", key: (file) => (file.package === undefined ? "" : data.packages[file.package]), cell: (file) => (file.package === undefined ? "" : data.packages[file.package]) },
      { name: "Bytes", class: "number", isNumber: true, key: (file) => file.bytes, cell: (file) => (file.kind === "link" ? "link" : size(file.bytes)) },
    ],
    texts: (file) => {
      if (!texts.has(file)) texts.set(file, [file.path, data.packages[file.package] || "", data.rules[file.rule] || "", file.kind].join("\n").toLowerCase());
      return texts.get(file);
    },
    onSelect: (file) => select(places.get(file)),
  });
  search(article.querySelector(".files"), list, "file");
  const map = new Treemap(article.querySelector(".map"), { onLeaf: (at) => select(at), total: "file" });
  const trees = {};
  const group = (by) => map.show((trees[by] ||= GROUPS[by](data)));
  for (const choice of article.querySelectorAll(".choices input")) choice.addEventListener("change", () => group(choice.value));
  function select(at) {
    aside.replaceChildren(...details(data, graph, at, select));
    aside.scrollTop = 0;
    list.select(data.files[at]);
    graph.show(at);
  }
  group("directory");
  const started = data.files.findIndex((file) => file.rule !== undefined && data.rules[file.rule] === "entrypoint");
  const first = Math.max(0, started);
  if (listed.length > 0) select(first);
}
