for (const strip of document.querySelectorAll("section.strip")) {
  const player = strip.querySelector("audio, video");
  const seconds = Number(strip.dataset.seconds);
  const cursors = strip.querySelectorAll("line.cursor");
  const go = at => { player.currentTime = at; const played = player.play(); if (played) played.catch(() => {}); };
  for (const picture of strip.querySelectorAll("svg")) {
    picture.addEventListener("click", event => {
      const box = picture.getBoundingClientRect();
      go((event.clientX - box.left) / box.width * seconds);
    });
  }
  for (const button of strip.querySelectorAll("button[data-at]")) {
    button.addEventListener("click", () => go(Number(button.dataset.at)));
  }
  const rows = [...strip.querySelectorAll("tr[data-start]")];
  player.addEventListener("timeupdate", () => {
    const now = player.currentTime;
    for (const line of cursors) {
      const x = now / seconds * line.ownerSVGElement.viewBox.baseVal.width;
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
    }
    for (const row of rows) {
      row.classList.toggle("now", Number(row.dataset.start) <= now && now < Number(row.dataset.end));
    }
  });
}
