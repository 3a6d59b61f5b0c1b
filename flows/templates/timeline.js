for (const strip of document.querySelectorAll("section.strip")) {
  const player = strip.querySelector("audio, video");
  const seconds = Number(strip.dataset.seconds);
  const cursors = strip.querySelectorAll("line.cursor");
  const table = strip.querySelector(".wide");
  const rows = [...strip.querySelectorAll("tr[data-start]")];
  const show = now => {
    for (const line of cursors) {
      const x = now / seconds * line.ownerSVGElement.viewBox.baseVal.width;
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
    }
    for (const row of rows) {
      row.classList.toggle("now", Number(row.dataset.start) <= now && now < Number(row.dataset.end));
    }
    const row = rows.findLast(one => one.classList.contains("now"));
    if (row && !table.matches(":hover, :focus-within")) {
      const below = row.getBoundingClientRect().bottom - table.getBoundingClientRect().bottom;
      const above = row.getBoundingClientRect().top - row.offsetHeight - table.getBoundingClientRect().top;
      table.scrollTop += below > 0 ? below : Math.min(above, 0);
    }
  };
  const go = at => {
    if (!player) return show(at);
    player.currentTime = at;
    const played = player.play();
    if (played) played.catch(() => {});
  };
  for (const picture of strip.querySelectorAll("svg, .frames")) {
    picture.addEventListener("click", event => {
      const box = picture.getBoundingClientRect();
      go((event.clientX - box.left) / box.width * seconds);
    });
  }
  for (const button of strip.querySelectorAll("button[data-at]")) {
    button.addEventListener("click", () => go(Number(button.dataset.at)));
  }
  player?.addEventListener("timeupdate", () => show(player.currentTime));
}
