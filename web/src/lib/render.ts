// HTML text into the document: sanitised, mathematics set, code coloured. KaTeX and highlight.js are
// fetched (from this server) when the first formula or code block appears.
import DOMPurify from 'dompurify';
import { t } from './i18n.svelte';

const kAllowed = {
  ALLOWED_TAGS: [
    'a', 'blockquote', 'br', 'code', 'del', 'div', 'em', 'h2', 'h3', 'h4', 'h5', 'h6', 'hr', 'li', 'ol',
    'p', 'pre', 'span', 'strong', 'table', 'tbody', 'td', 'th', 'thead', 'tr', 'ul',
  ],
  ALLOWED_ATTR: ['href', 'title', 'class', 'align', 'start', 'data-display', 'data-language'],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  // By default DOMPurify takes the value of any other attribute for an address.
  ADD_URI_SAFE_ATTR: ['align', 'start', 'data-display', 'data-language'],
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true as const,
};
// Colouring takes time in proportion to the text, on every piece of a block that grows.
const kMaxHighlightedChars = 60_000;

type Katex = typeof import('katex').default;
type Highlighter = typeof import('./highlight').highlighter;
let katex: Katex | null = null;
let highlighter: Highlighter | null = null;
let katexLoading: Promise<void> | null = null;
let highlighterLoading: Promise<void> | null = null;

function loadKatex(): Promise<void> {
  return (katexLoading ??= import('./math').then((module) => {
    katex = module.katex;
  }));
}

function loadHighlighter(): Promise<void> {
  return (highlighterLoading ??= import('./highlight').then((module) => {
    highlighter = module.highlighter;
  }));
}

function setMath(root: ParentNode, typesetter: Katex): void {
  for (const place of root.querySelectorAll<HTMLElement>('.math:not([data-done])')) {
    const tex = place.textContent ?? '';
    place.dataset.done = '';
    try {
      // Into the element, not through HTML text: style attributes in HTML are refused by the
      // content security policy, styles set on elements are not.
      typesetter.render(tex, place, {
        displayMode: place.dataset.display === 'true',
        throwOnError: true,
        strict: false,
        trust: false,
        maxExpand: 500,
        maxSize: 20,
      });
    } catch {
      place.textContent = tex;
      place.classList.add('math-error');
    }
  }
}

function colourCode(root: ParentNode, colours: Highlighter): void {
  for (const code of root.querySelectorAll<HTMLElement>('pre > code[data-language]:not([data-done])')) {
    const language = code.dataset.language ?? '';
    const text = code.textContent ?? '';
    code.dataset.done = '';
    if (text.length > kMaxHighlightedChars || !colours.getLanguage(language)) continue;
    // highlight.js escapes the text and adds only spans with classes.
    code.innerHTML = colours.highlight(text, { language, ignoreIllegals: true }).value;
  }
}

function frameCode(root: ParentNode): void {
  for (const pre of root.querySelectorAll('pre')) {
    const language = pre.querySelector<HTMLElement>('code')?.dataset.language ?? '';
    const frame = document.createElement('div');
    frame.className = 'code';
    const bar = document.createElement('div');
    bar.className = 'code-bar';
    const name = document.createElement('span');
    name.textContent = language;
    const copy = document.createElement('button');
    copy.type = 'button';
    copy.className = 'copy-code';
    copy.textContent = t('copy');
    copy.setAttribute('aria-label', t('copyCode'));
    bar.append(name, copy);
    pre.replaceWith(frame);
    frame.append(bar, pre);
    pre.tabIndex = 0; // scrolls sideways: must be reachable with the keyboard
    pre.setAttribute('role', 'region');
    pre.setAttribute('aria-label', t('codeBlock', { language: language || t('plainText') }));
  }
}

function frameTables(root: ParentNode): void {
  for (const table of root.querySelectorAll('table')) {
    const frame = document.createElement('div');
    frame.className = 'table';
    frame.tabIndex = 0;
    frame.setAttribute('role', 'region');
    frame.setAttribute('aria-label', t('table'));
    table.replaceWith(frame);
    frame.append(table);
  }
}

// Replaces the content of `element`.
export function renderBlock(element: HTMLElement, html: string): void {
  const fragment = DOMPurify.sanitize(html, kAllowed);
  for (const link of fragment.querySelectorAll('a[href]')) {
    link.setAttribute('target', '_blank');
    link.setAttribute('rel', 'noopener noreferrer');
  }
  frameCode(fragment);
  frameTables(fragment);
  const math = fragment.querySelector('.math') !== null;
  const code = fragment.querySelector('code[data-language]:not([data-language=""])') !== null;
  if (math && katex) setMath(fragment, katex);
  if (code && highlighter) colourCode(fragment, highlighter);
  element.replaceChildren(fragment);
  if (math && !katex) void loadKatex().then(() => katex && setMath(element, katex));
  if (code && !highlighter) void loadHighlighter().then(() => highlighter && colourCode(element, highlighter));
}
