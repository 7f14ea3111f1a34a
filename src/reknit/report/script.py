"""The page's one script: theme, copy buttons, the readout under each figure. Without it the page loses only these."""

SCRIPT = """(() => {
  'use strict';
  const root = document.documentElement;
  const stored = (key, value) => {
    try { return value === undefined ? localStorage.getItem(key) : localStorage.setItem(key, value); }
    catch { return null; }
  };

  const button = document.getElementById('theme');
  const system = matchMedia('(prefers-color-scheme: dark)');
  const current = () => root.dataset.theme || (system.matches ? 'dark' : 'light');
  const label = () => { button.textContent = current() === 'dark' ? 'Light' : 'Dark'; };
  const wanted = new URLSearchParams(location.search).get('theme') || stored('reknit-theme');
  if (wanted === 'dark' || wanted === 'light') root.dataset.theme = wanted;
  button.addEventListener('click', () => {
    root.dataset.theme = current() === 'dark' ? 'light' : 'dark';
    stored('reknit-theme', root.dataset.theme);
    label();
  });
  system.addEventListener('change', label);
  label();
  button.hidden = false;

  const select = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  };
  for (const copy of document.querySelectorAll('.copy-button')) {
    copy.hidden = false;
    copy.addEventListener('click', async () => {
      const code = copy.parentElement.querySelector('code');
      let done = false;
      try { await navigator.clipboard.writeText(code.textContent); done = true; }
      catch { select(code); done = document.execCommand('copy'); }
      copy.textContent = done ? 'Copied' : 'Selected';
      setTimeout(() => { copy.textContent = 'Copy'; }, 1600);
    });
  }

  const say = (readout, words) => {
    readout.textContent = words;
    readout.classList.add('live');
  };
  for (const figure of document.querySelectorAll('figure')) {
    const readout = figure.querySelector('.readout');
    readout.hidden = false;
    const tell = (event) => {
      const slice = event.target.closest && event.target.closest('.slice');
      if (slice) say(readout, slice.querySelector('title').textContent);
    };
    figure.addEventListener('pointerover', tell);
    figure.addEventListener('pointerdown', tell);
    const held = figure.querySelector('.heat-data');
    if (held) heat(figure, readout, JSON.parse(held.textContent));
  }

  function heat(figure, readout, data) {
    const n = data.rows.length;
    for (const svg of figure.querySelectorAll('svg')) {
      const left = Number(svg.dataset.left), top = Number(svg.dataset.top), side = Number(svg.dataset.side);
      const cursor = svg.querySelector('.cursor');
      let at = [0, 0];
      const show = (row, column) => {
        at = [row, column];
        cursor.setAttribute('x', left + column * side / n);
        cursor.setAttribute('y', top + row * side / n);
        cursor.setAttribute('visibility', 'visible');
        const value = data.values[row][column];
        say(readout, `${data.rows[row]} with ${data.columns[column]}: ${value === null ? 'no value' : value}`
          + (row === column ? `, ${data.diagonal}` : ''));
      };
      const point = (event) => {
        const box = svg.getBoundingClientRect();
        const scale = svg.viewBox.baseVal.width / box.width;
        const column = Math.floor(((event.clientX - box.left) * scale - left) / side * n);
        const row = Math.floor(((event.clientY - box.top) * scale - top) / side * n);
        if (row >= 0 && row < n && column >= 0 && column < n) show(row, column);
        else cursor.setAttribute('visibility', 'hidden');
      };
      svg.addEventListener('pointermove', point);
      svg.addEventListener('pointerdown', point);
      svg.addEventListener('pointerleave', () => cursor.setAttribute('visibility', 'hidden'));
      svg.addEventListener('keydown', (event) => {
        const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
        if (!step) return;
        event.preventDefault();
        show(Math.min(Math.max(at[0] + step[0], 0), n - 1), Math.min(Math.max(at[1] + step[1], 0), n - 1));
      });
    }
  }
})();
"""
