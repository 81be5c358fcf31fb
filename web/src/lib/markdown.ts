// Markdown into blocks of HTML text, where text that grows at its end costs only its last block.
// The HTML is not yet safe: render.ts sanitises it before it meets the document.
import { Marked, type Token, type TokenizerAndRendererExtension, type Tokens } from 'marked';

export interface Block {
  key: number;
  html: string;
  raw: string;
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

function mathHtml(tex: string, display: boolean): string {
  const tag = display ? 'div' : 'span';
  return `<${tag} class="math" data-display="${display}">${escapeHtml(tex)}</${tag}>`;
}

// No blank line inside: a paragraph that a blank line has ended never becomes something else.
const blockMath: TokenizerAndRendererExtension = {
  name: 'blockMath',
  level: 'block',
  start: (src) => src.match(/\n *(?:\$\$|\\\[)/)?.index,
  tokenizer(src) {
    const match = /^ {0,3}(?:\$\$((?:(?!\n[ \t]*\n)[\s\S])+?)\$\$|\\\[((?:(?!\n[ \t]*\n)[\s\S])+?)\\\])[ \t]*(?:\n|$)/.exec(src);
    if (!match) return undefined;
    return { type: 'blockMath', raw: match[0], text: (match[1] ?? match[2]).trim() };
  },
  renderer: (token) => mathHtml(token.text, true),
};

// $...$ with the rules that keep prices out: no space inside the dollars, no digit after them.
const inlineMath: TokenizerAndRendererExtension = {
  name: 'inlineMath',
  level: 'inline',
  start: (src) => src.match(/\$|\\\(|\\\[/)?.index,
  tokenizer(src) {
    const display = /^(?:\$\$([^$]+?)\$\$|\\\[([\s\S]+?)\\\])/.exec(src);
    if (display) {
      return { type: 'inlineMath', raw: display[0], text: (display[1] ?? display[2]).trim(), display: true };
    }
    const match =
      /^(?:\$(?![\s$])((?:\\[\s\S]|[^\\$\n])+?)(?<![\s\\])\$(?![\d$])|\\\(([\s\S]+?)\\\))/.exec(src);
    if (!match) return undefined;
    return { type: 'inlineMath', raw: match[0], text: (match[1] ?? match[2]).trim() };
  },
  // Display mathematics within a paragraph stays a span: a div would end the paragraph.
  renderer: (token) =>
    token.display ? mathHtml(token.text, true).replaceAll('div', 'span') : mathHtml(token.text, false),
};

const kDeepestHeading = 6;

export class IncrementalMarkdown {
  #stable: Block[] = [];
  #stableEnd = 0; // of the text, up to which #stable goes
  #text = '';
  #shown: Block[] = [];
  #stableHeading: number;
  #heading: number; // level of the heading before; the next may be at most one deeper
  #marked: Marked;

  // baseHeading: level of the heading under which the text stands.
  constructor(private readonly baseHeading = 2) {
    this.#heading = this.#stableHeading = baseHeading;
    const self = this;
    this.#marked = new Marked({ gfm: true, breaks: true });
    this.#marked.use({
      extensions: [blockMath, inlineMath],
      renderer: {
        html: ({ text }) => escapeHtml(text),
        // The policy of the page loads nothing from elsewhere; a link says where the image is.
        image: ({ href, text }) => `<a href="${escapeHtml(href)}">${escapeHtml(text || href)}</a>`,
        checkbox: ({ checked }) => (checked ? '☑ ' : '☐ '),
        heading({ tokens, depth }) {
          const level = Math.min(self.#heading + 1, depth + self.baseHeading, kDeepestHeading);
          self.#heading = level;
          return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>\n`;
        },
        code({ text, lang }) {
          const language = /^[\w+#.-]{1,30}/.exec(lang ?? '')?.[0] ?? '';
          return `<pre><code data-language="${language}">${escapeHtml(text)}\n</code></pre>\n`;
        },
      },
    });
  }

  // How many of the blocks will not change any more.
  get settled(): number {
    return this.#stable.length;
  }

  // The blocks of the text. Blocks that did not change are the same objects as before. With
  // `complete`, the text does not grow any more: it is read once more as a whole, so that links may be
  // defined after their use, and what Markdown decides later than it seemed comes out right.
  update(text: string, complete: boolean): Block[] {
    const before = this.#shown;
    this.#shown = this.#read(text, complete).map((block, index) =>
      before[index]?.html === block.html && before[index].raw === block.raw ? before[index] : block,
    );
    return this.#shown;
  }

  #read(text: string, complete: boolean): Block[] {
    const grown = text.startsWith(this.#text) && text.length >= this.#stableEnd;
    if (!grown) this.#reset();
    this.#text = text;
    if (complete) this.#reset();

    const tail = text.slice(this.#stableEnd);
    const tokens = this.#marked.lexer(tail);
    // What stands before the last block is settled, once it is certain that a block begins there: a
    // "2" after a list may yet become "2." and belong to it; text after closed mathematics, or in the
    // second row of what looks like a table, makes them part of the paragraph before.
    const certain = (index: number): boolean => {
      const { type, raw } = tokens[index];
      if (type === 'blockMath') return raw.endsWith('\n');
      if (type === 'table') return /\n.*\n/.test(raw);
      const joins = type === 'paragraph' || (type === 'heading' && !raw.trimStart().startsWith('#'));
      if (joins && tokens[index - 1]?.type === 'paragraph') return false;
      return raw.includes('\n');
    };
    let open = tokens.length - 1;
    while (open >= 0 && tokens[open].type === 'space') --open;
    while (open >= 0 && !certain(open)) {
      do --open;
      while (open >= 0 && tokens[open].type === 'space');
      if (open >= 0 && tokens[open].type !== 'paragraph') break;
    }
    // Mathematics that is not closed may yet take in what follows, up to a blank line.
    let from = 0;
    for (let index = 0; index < open; from += tokens[index++].raw.length) {
      const opener = tokens[index].type === 'paragraph' ? /(?:^|\n) *(?:\$\$|\\\[)/.exec(tokens[index].raw) : null;
      if (opener && !/\n[ \t]*\n/.test(tail.slice(from + opener.index + 1))) open = index;
    }

    this.#heading = this.#stableHeading;
    const blocks: Block[] = [];
    let at = this.#stableEnd;
    let exact = true;
    tokens.forEach((token, index) => {
      // The lexer replaces some characters (tabs, carriage returns); then offsets cannot be trusted.
      exact &&= text.startsWith(token.raw, at);
      at += token.raw.length;
      if (token.type !== 'space' && token.type !== 'def') {
        blocks.push({
          key: this.#stable.length + blocks.length,
          html: this.#html(token, tokens),
          raw: token.raw,
        });
      }
      if (!complete && exact && index < open) {
        this.#stable.push(...blocks.splice(0));
        this.#stableEnd = at;
        this.#stableHeading = this.#heading;
      }
    });
    return [...this.#stable, ...blocks];
  }

  #html(token: Token, tokens: Token[] & { links?: Tokens.Link[] | Record<string, unknown> }): string {
    const one = [token] as unknown as Token[] & { links: Record<string, never> };
    one.links = (tokens.links ?? {}) as Record<string, never>;
    return this.#marked.parser(one);
  }

  #reset(): void {
    this.#stable = [];
    this.#stableEnd = 0;
    this.#stableHeading = this.baseHeading;
  }
}
