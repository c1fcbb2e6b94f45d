// Inlined into pages with long tables. A click on a column's heading sorts the table by it, a second click turns the order
// round; text in the field above it hides the rows that do not hold all of its words.
for (const button of document.querySelectorAll("table.sortable thead button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th"), headings = [...heading.parentElement.children];
    const column = headings.indexOf(heading);
    const ascending = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const body = heading.closest("table").querySelector("tbody");
    const key = (row) => row.children[column].dataset.key ?? row.children[column].textContent;
    const rows = [...body.children].sort((a, b) => {
      const [left, right] = [key(a), key(b)];
      const order = left === "" || right === "" ? left.length - right.length : left - right;
      return Number.isNaN(order) ? left.localeCompare(right) : order;
    });
    body.append(...(ascending ? rows : rows.reverse()));
  });
}
for (const field of document.querySelectorAll("input[data-filters]")) {
  const rows = [...document.getElementById(field.dataset.filters).querySelector("tbody").children];
  const told = field.closest(".filter").querySelector("output");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase(), isShown = words.every((word) => text.includes(word));
      row.toggleAttribute("hidden", !isShown);
      if (isShown) shown++;
    }
    told.textContent = `${shown.toLocaleString("en-US")} of ${rows.length.toLocaleString("en-US")}`;
  });
}
