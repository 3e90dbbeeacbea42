"use strict";
for (const input of document.querySelectorAll(".exhibit input[type=range]")) {
  const slider = input.closest(".exhibit").querySelector(".slider");
  const move = () => {
    slider.style.setProperty("--cut", input.value + "%");
    const [left, right] = [...slider.querySelectorAll(".tag")].map((tag) => tag.textContent);
    input.setAttribute("aria-valuetext", `${input.value} % ${left}, the rest ${right}`);
  };
  const drag = (event) => {
    const box = slider.getBoundingClientRect();
    input.value = Math.round(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * 100);
    move();
  };
  slider.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse") { slider.setPointerCapture(event.pointerId); event.preventDefault(); }
    drag(event);
  });
  slider.addEventListener("pointermove", (event) => { if (event.pressure > 0 || event.buttons) drag(event); });
  input.addEventListener("input", move);
  move();
}
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const body = table.tBodies[0];
      const rows = [...body.rows].sort((first, second) => {
        const [a, b] = [key(first), key(second)];
        if (a === "" || b === "") return (a === "") - (b === "");
        const order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
        return up ? order : -order;
      });
      body.append(...rows);
    });
  });
}
