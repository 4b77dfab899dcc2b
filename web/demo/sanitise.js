// The server sanitises what Markdown renders to. This is the second lock: whatever arrives, only these elements and
// attributes reach the page, and nothing is ever parsed where it could run or load.
const ELEMENTS = new Set(['A', 'B', 'BLOCKQUOTE', 'BR', 'CODE', 'DEL', 'EM', 'H1', 'H2', 'H3', 'H4', 'HR', 'I', 'LI',
  'OL', 'P', 'PRE', 'S', 'SPAN', 'STRONG', 'SUB', 'SUP', 'TABLE', 'TBODY', 'TD', 'TH', 'THEAD', 'TR', 'U', 'UL']);
const DROPPED = new Set(['SCRIPT', 'STYLE', 'TEMPLATE', 'IFRAME', 'OBJECT', 'EMBED', 'SVG', 'MATH', 'NOSCRIPT']);

// sanitise turns HTML into a fragment. Elements that aren't allowed are replaced by what is in them.
export function sanitise(html) {
  const fragment = document.createDocumentFragment();
  copy(new DOMParser().parseFromString(html, 'text/html').body, fragment);
  return fragment;
}

function copy(from, to) {
  for (const node of from.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) to.append(node.data);
    if (node.nodeType !== Node.ELEMENT_NODE || DROPPED.has(node.tagName.toUpperCase())) continue;
    if (!ELEMENTS.has(node.tagName)) {
      copy(node, to);
      continue;
    }
    const element = document.createElement(node.tagName);
    const href = node.tagName === 'A' && safeURL(node.getAttribute('href'));
    if (href) Object.assign(element, { href, rel: 'noopener noreferrer' });
    copy(node, element);
    to.append(element);
  }
}

// safeURL returns what a link may lead to: http, https, mailto or a path of this server; otherwise null.
export function safeURL(text) {
  const url = URL.canParse(text, location.href) ? new URL(text, location.href) : null;
  return url && ['http:', 'https:', 'mailto:'].includes(url.protocol) ? text : null;
}
