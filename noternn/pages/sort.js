for (const table of document.querySelectorAll("table.sortable")) {
  const sort = heading => {
    const i = heading.cellIndex, sign = heading.ariaSort == "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) other.ariaSort = null;
    heading.ariaSort = sign == 1 ? "ascending" : "descending";
    const value = row => row.cells[i].textContent;
    const amount = row => parseFloat(value(row).replaceAll(",", ""));
    const numeric = heading.className == "n";
    const isMissing = row => numeric ? isNaN(amount(row)) : !value(row);
    const rows = [...table.tBodies[0].rows].sort((a, b) => isMissing(a) - isMissing(b)
      || sign * (numeric ? amount(a) - amount(b)
        : value(a).localeCompare(value(b), undefined, {numeric: true})) || 0);
    table.tBodies[0].append(...rows);
  };
  for (const heading of table.tHead.rows[0].cells) {
    heading.tabIndex = 0;
    heading.addEventListener("click", () => sort(heading));
    heading.addEventListener("keydown", event => {
      if (event.key != "Enter" && event.key != " ") return;
      event.preventDefault();
      sort(heading);
    });
  }
}
