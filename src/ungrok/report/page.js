"use strict";
/* Sorts tables, copies them, and opens all folds. The page holds everything without it. */
(() => {
  const MISSING = "–";
  const text = (cell, joint) => [...cell.childNodes].reduce(
    (parts, node) => {
      if (node.nodeName === "BR") parts.push("");
      else parts[parts.length - 1] += node.textContent;
      return parts;
    }, [""]).map((part) => part.replace(/\s+/g, " ").trim()).filter(Boolean).join(joint);

  /* A number as the page writes it: "× 0.18", "−1.5 ± 0.2", "> 400", "3 of 10", "12 %"; NaN for other text. */
  const number = (cell) => {
    const first = (cell.dataset.value ?? text(cell, "\n").split("\n")[0]).replace(/−/g, "-").replace(/∞/g, "Infinity");
    const found = first.match(/^(?:[×><≥≤([]\s*)*([+-]?(?:Infinity|[\d,]*\.?\d+(?:e[+-]?\d+)?))/);
    return found ? Number(found[1].replace(/,/g, "")) : NaN;
  };

  /* Every cell of the body by row and column; a merged cell stands wherever it reaches. */
  const grid = (table) => {
    const rows = [];
    [...table.tBodies[0].rows].forEach((row, i) => {
      rows[i] ??= [];
      let column = 0;
      for (const cell of row.cells) {
        while (rows[i][column]) column += 1;
        for (let r = 0; r < cell.rowSpan; r += 1) {
          rows[i + r] ??= [];
          for (let c = 0; c < cell.colSpan; c += 1) rows[i + r][column + c] = cell;
        }
      }
    });
    return rows;
  };

  /* Merged cells would hold rows together: each becomes as many as it covers. */
  const part = (table) => {
    const cells = grid(table).map((row) => row.map((cell) => cell.cloneNode(true)));
    [...table.tBodies[0].rows].forEach((row, i) => {
      cells[i].forEach((cell) => { cell.rowSpan = 1; cell.colSpan = 1; });
      row.replaceChildren(...cells[i]);
    });
  };

  const sort = (table, column, head) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    part(table);
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({row, cell: row.cells[column]}));
    rows.forEach((one) => { one.text = text(one.cell, " "); one.number = number(one.cell); });
    const known = rows.filter((one) => one.text && one.text !== MISSING);
    const numeric = known.length && known.every((one) => !Number.isNaN(one.number));
    const order = numeric ? (a, b) => a.number - b.number : (a, b) => a.text.localeCompare(b.text, "en", {numeric: true});
    known.sort((a, b) => (down ? order(b, a) : order(a, b)));
    const last = rows.filter((one) => !known.includes(one));
    body.append(...[...known, ...last].map((one) => one.row));
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
  };

  /* The head on one line, each column with the group over it, and the rows. */
  const content = (table) => {
    const [last, ...above] = [...table.tHead.rows].reverse();
    const groups = above.flatMap((row) => [...row.cells].flatMap((cell) => Array(cell.colSpan).fill(text(cell, " "))));
    const heads = [...last.cells].map((cell, i) => [groups[i], text(cell, " ")].filter(Boolean).join(": "));
    return [heads, ...grid(table).map((row) => row.map((cell) => text(cell, " ")))];
  };

  /* LATEX, by character what stands for it there, is written before this script. */
  const latex = (word) => [...word].map((sign) => LATEX[sign] ?? sign).join("");
  const quoted = (word) => (/[",\n]/.test(word) ? `"${word.replace(/"/g, '""')}"` : word);
  const FORMS = {
    Markdown: (table) => {
      const keys = Number(table.dataset.keys);
      const line = (words) => `| ${words.map((word) => word.replace(/\|/g, "\\|")).join(" | ")} |`;
      const [heads, ...rows] = content(table);
      const rule = `| ${heads.map((_, i) => (i < keys ? "---" : "---:")).join(" | ")} |`;
      return [line(heads), rule, ...rows.map(line)].join("\n");
    },
    LaTeX: (table) => {
      const keys = Number(table.dataset.keys);
      /* A row that opens with a bracket or star would be read as an argument of the line break before it. */
      const line = (words) => `${words.map(latex).join(" & ").replace(/^[[*]/, "{$&}")} \\\\`;
      const [heads, ...rows] = content(table);
      const columns = heads.map((_, i) => (i < keys ? "l" : "r")).join("");
      return [`\\begin{tabular}{${columns}}`, "\\toprule", line(heads), "\\midrule", ...rows.map(line), "\\bottomrule",
        "\\end{tabular}"].join("\n");
    },
    CSV: (table) => content(table).map((words) => words.map((word) => quoted(word.replace(/−/g, "-"))).join(",")).join("\n"),
  };

  const copy = async (words, button) => {
    try {
      await navigator.clipboard.writeText(words);
    } catch {
      const area = document.createElement("textarea");
      area.value = words;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    const name = button.textContent;
    button.textContent = "copied";
    setTimeout(() => { button.textContent = name; }, 1200);
  };

  const button = (name, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = name;
    made.addEventListener("click", () => act(made));
    return made;
  };

  for (const table of document.querySelectorAll("table")) {
    const tools = document.createElement("p");
    tools.className = "tools";
    tools.append("Copy as ", ...Object.entries(FORMS).map(([name, form]) => button(name, (own) => copy(form(table), own))));
    table.after(tools);
    [...table.tHead.rows[table.tHead.rows.length - 1].cells].forEach((head, column) => {
      head.tabIndex = 0;
      head.title = "Sort by this column";
      head.addEventListener("click", () => sort(table, column, head));
      head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(table, column, head); });
    });
  }

  const folds = [...document.querySelectorAll("details")];
  const all = button("Open all", (own) => {
    const open = folds.some((fold) => !fold.open);
    folds.forEach((fold) => { fold.open = open; });
    own.textContent = open ? "Close all" : "Open all";
  });
  document.querySelector("nav").append(all);

  const reveal = () => {
    const fold = document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("details");
    if (fold) fold.open = true;
  };
  addEventListener("hashchange", reveal);
  reveal();
  window.ungrok = {FORMS, sort, number, latex};
})();
