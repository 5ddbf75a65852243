// Returns what is hard to read or to use on this page: texts whose color differs too little from
// what is behind them (WCAG 2.2, 1.4.3, with its "relative luminance"), fields and buttons without
// a name, a page wider than the screen.
() => {
  const parse = (color) => {
    const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
    return { rgb: [r, g, b], a };
  };

  const linear = (value) => {
    const c = value / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };

  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);

  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const { rgb, a } = parse(getComputedStyle(e).backgroundColor);
      if (a === 1) return rgb;
    }
    return [255, 255, 255];
  };

  const isVisible = (element) =>
    !element.closest("svg, script, noscript") && element.checkVisibility();

  const faults = [];

  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.data.trim();
    const element = texts.currentNode.parentElement;
    if (!text || !isVisible(element)) continue;
    const style = getComputedStyle(element);
    const one = luminance(parse(style.color).rgb) + 0.05;
    const other = luminance(behind(element)) + 0.05;
    const ratio = Math.max(one, other) / Math.min(one, other);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) faults.push(`contrast ${ratio.toFixed(2)}: ${text}`);
  }

  const fields = "input:not([type=hidden]), select, textarea, progress";
  for (const field of document.querySelectorAll(fields)) {
    const label = field.ariaLabel || field.getAttribute("aria-labelledby");
    if (!field.labels.length && !label) faults.push(`no label: ${field.outerHTML}`);
  }

  for (const element of document.querySelectorAll("button, a[href]")) {
    const name = element.textContent.trim() || element.ariaLabel;
    if (!name) faults.push(`no name: ${element.outerHTML}`);
  }

  const root = document.documentElement;
  const over = root.scrollWidth - root.clientWidth;
  if (over > 0) faults.push(`${over} px wider than the screen`);
  return faults;
}
