// The part of a page about what differs, and the start of all parts.

function diffPart(article, data) {
  const aside = article.querySelector(".details");
  const moved = (change) => change.after - change.before;
  const kind = (change) => (moved(change) >= 0 ? "grown" : "shrunk");
  const bytes = (change) => (change.change === "added" ? change.after : change.change === "removed" ? -change.before : moved(change));
  const list = new List(article.querySelector(".list"), {
    label: "Changes",
    rows: data.changes,
    columns: [
      { name: "Path", class: "main", key: (change) => change.path, cell: (change) => make("span", { class: `dot ${change.change}` }, pathText(change.path)) },
      { name: "Change", class: "wide muted", key: (change) => change.change, cell: (change) => change.change },
      { name: "Bytes", class: "number", isNumber: true, key: (change) => Math.abs(bytes(change)), cell: (change) => signed(bytes(change)) },
    ],
    texts: (change) => [change.path, change.change, ...change.lines || []].join("\n").toLowerCase(),
    onSelect: select,
  });
  search(article.querySelector(".files"), list, "path");
  const map = new Treemap(article.querySelector(".map"), { onLeaf: (at) => select(data.changes[at]), total: "path" });
  const root = branch("/", "/");
  data.changes.forEach((change, at) => grow(root, change.path.split("/").filter(Boolean), at, Math.abs(bytes(change)), kind(change)));
  map.show(root);
  function select(change) {
    const [directory, name] = split(change.path);
    const sizes = { added: size(change.after), removed: size(change.before), changed: `${size(change.before)} → ${size(change.after)}` }[change.change];
    const lines = (change.lines || []).map((line) => make("li", { class: { "+": "added", "-": "removed" }[line[0]] || "" }, make("code", {}, line)));
    aside.replaceChildren(
      make("h3", {}, make("span", { class: "directory" }, directory), make("bdi", {}, name)),
      make("dl", {}, make("dt", {}, "Change"), make("dd", {}, `${change.kind} ${change.change}`), ...(change.before || change.after ? [make("dt", {}, "Size"), make("dd", {}, sizes)] : [])),
      ...(lines.length > 0 ? [make("h4", {}, "What changed"), make("ul", { class: "changes" }, ...lines)] : []),
    );
    list.select(change);
  }
  if (data.changes.length > 0) select(data.changes[0]);
}

for (const article of document.querySelectorAll("article")) {
  const element = article.querySelector("script.data");
  if (!element) continue;
  const data = JSON.parse(element.textContent);
  (data.kind === "image" ? imagePart : diffPart)(article, data);
}
