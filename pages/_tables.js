// Inlined into pages with long tables. A click on a column's heading sorts the table by it, a second click turns the order
// round; text in the field above it hides the rows that do not hold it.
for (const button of document.querySelectorAll("table.sortable thead button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const column = heading.cellIndex;
    const ascending = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const body = heading.closest("table").tBodies[0];
    const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
    const rows = [...body.rows].sort((a, b) => {
      const [left, right] = [key(a), key(b)];
      const order = left === "" || right === "" ? left.length - right.length : left - right;
      return Number.isNaN(order) ? left.localeCompare(right) : order;
    });
    body.append(...(ascending ? rows : rows.reverse()));
  });
}
for (const field of document.querySelectorAll("input[data-filters]")) {
  const rows = [...document.getElementById(field.dataset.filters).tBodies[0].rows];
  const told = field.parentElement.querySelector("output");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      if (!row.hidden) shown++;
    }
    told.value = `${shown.toLocaleString("en-US")} of ${rows.length.toLocaleString("en-US")}`;
  });
}
