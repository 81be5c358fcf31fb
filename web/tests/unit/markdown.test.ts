import { describe, expect, it } from 'vitest';
import { IncrementalMarkdown } from '../../src/lib/markdown';

const html = (text: string) => new IncrementalMarkdown().update(text, true).map((block) => block.html).join('');

const kSample = `# 제목

문단 하나는 **굵게**와 $x^2$, 가격은 $5 그리고 $6입니다.
둘째 줄 \\(a_b\\) 끝.

- 하나
- 둘

  이어지는 문단
  1. 안쪽
  2. 목록

2
2. 아니면 목록?

\`\`\`cpp
int main() { return 0; } // $no$ **no**

\`\`\`

$$
\\int_0^1 x\\,dx
$$

| a | b |
|---|---|
| 1 | 2 |

> 인용
이어진 인용

제목 2
---
끝 <script>alert(1)</script> [링크](https://example.org) [나쁜](javascript:alert(1))
`;

describe('IncrementalMarkdown', () => {
  it('gives the same blocks however the text grows', () => {
    const whole = html(kSample);
    for (const step of [1, 2, 3, 7, 31]) {
      const markdown = new IncrementalMarkdown();
      for (let end = step; end < kSample.length; end += step) markdown.update(kSample.slice(0, end), false);
      const growing = markdown.update(kSample, false);
      expect(growing.map((block) => block.html).join('')).toBe(whole);
      const blocks = markdown.update(kSample, true);
      blocks.forEach((block, index) => expect(block).toBe(growing[index]));
      expect(blocks.map((block) => block.key)).toEqual(blocks.map((_, index) => index));
    }
  });

  it('comes out right in the end for random texts of Markdown signs', () => {
    const signs = ['\n', '\n\n', ' ', '  ', '- ', '1. ', '2', '.', '> ', '#', '`', '```', '$', '$$', '\\[', '\\]', '|', '|-|',
      '---', '===', '가', 'a', '*', '**', '_', '[', ']', '(', ')', '<b>', '&', '    '];
    let seed = 7;
    const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
    let early = 0; // texts of which a block was settled too early
    for (let round = 0; round < 500; ++round) {
      let text = '';
      const markdown = new IncrementalMarkdown();
      for (let i = 0; i < 30; ++i) {
        text += signs[random(signs.length)];
        markdown.update(text, false);
      }
      const joined = (complete: boolean) => markdown.update(text, complete).map((block) => block.html).join('');
      if (joined(false) !== html(text)) ++early;
      expect(joined(true), JSON.stringify(text)).toBe(html(text));
    }
    expect(early).toBeLessThan(5);
  });

  it('keeps the blocks that did not change as they are', () => {
    const markdown = new IncrementalMarkdown();
    const before = markdown.update('하나\n\n둘\n\n셋\n더', false);
    const after = markdown.update('하나\n\n둘\n\n셋\n더 자란', false);
    expect(after[0]).toBe(before[0]);
    expect(after[1]).toBe(before[1]);
    expect(after[2]).not.toBe(before[2]);
    expect(markdown.settled).toBe(2);
  });

  it('starts over when the text is another one', () => {
    const markdown = new IncrementalMarkdown();
    markdown.update('하나\n\n둘\n\n셋\n', false);
    expect(markdown.update('다른\n\n글\n\n이다\n', true).map((block) => block.raw.trim())).toEqual(['다른', '글', '이다']);
  });

  it('shows HTML as text', () => {
    expect(html('a <img src=x onerror=alert(1)> b')).not.toContain('<img');
    expect(html('<script>alert(1)</script>')).not.toContain('<script');
    expect(html('```x"><script>\n<b>\n```')).not.toMatch(/<script|<b>/);
    expect(html('![그림](https://example.org/a.png)')).not.toContain('<img');
  });

  it('tells mathematics from prices', () => {
    expect(html('$a$ 와 $b_1$')).toContain('<span class="math" data-display="false">a</span>');
    expect(html('$5에서 $6까지')).not.toContain('math');
    expect(html('값은 $5이고 이것은 $10')).not.toContain('math');
    expect(html('\\$a$')).not.toContain('math');
    expect(html('`$a$`')).not.toContain('math');
    expect(html('$$a < b$$')).toContain('<div class="math" data-display="true">a &#60; b</div>');
    expect(html('\\[a\\]')).toContain('data-display="true"');
    expect(html('글 $$a$$ 글')).toContain('<span class="math" data-display="true">a</span>');
  });

  it('lets headings go down one level at a time', () => {
    const levels = (text: string) => [...html(text).matchAll(/<h(\d)>/g)].map((match) => Number(match[1]));
    expect(levels('### a\n\n# b\n\n### c\n\n#### d')).toEqual([3, 3, 4, 5]);
    expect(levels('# a\n\n## b\n\n### c\n\n#### d\n\n##### e')).toEqual([3, 4, 5, 6, 6]);
  });

  it('finds links that are defined after their use', () => {
    const markdown = new IncrementalMarkdown();
    const text = '[여기][1]를 보라.\n\n다음 문단\n\n[1]: https://example.org\n';
    markdown.update(text.slice(0, 30), false);
    expect(markdown.update(text, true)[0].html).toContain('href="https://example.org"');
  });
});
