// The page against answers that are known beforehand.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { axe, eventually, test } from './harness.mjs';
import { kPolicy, startScriptedServer } from './scripted_server.mjs';

const kDist = new URL('../../dist', import.meta.url).pathname;

export const kRich = `## 빠른 정렬

**퀵 정렬**은 평균 $O(n \\log n)$ 시간에 끝나는 정렬입니다. 기준을 하나 고르고, 그보다 작은 것과 큰 것으로 나눈 뒤 각각을 다시 정렬합니다.

$$T(n) = 2\\,T\\!\\left(\\frac{n}{2}\\right) + \\Theta(n) = \\Theta(n \\log n)$$

\`\`\`python
def quicksort(values):
    # 기준보다 작은 것, 같은 것, 큰 것
    if len(values) < 2:
        return values
    pivot = values[len(values) // 2]
    less = [v for v in values if v < pivot]
    same = [v for v in values if v == pivot]
    more = [v for v in values if v > pivot]
    return quicksort(less) + same + quicksort(more)
\`\`\`

| 경우 | 시간 | 메모리 |
| --- | ---: | ---: |
| 평균 | \`O(n log n)\` | \`O(log n)\` |
| 최악 | \`O(n²)\` | \`O(n)\` |

1. 기준을 **가운데**에서 고릅니다.
2. 나눕니다.

> 이미 정렬된 입력에서는 첫 원소를 기준으로 삼지 마세요. [더 읽기](https://example.org/)
`;
export const kThought = '사용자가 정렬을 물었다.\n\n시간 복잡도와 코드를 함께 보여 주자.';

function script(text, body) {
  if (body.continue_final_message) return { content: ' 이어진 글.', finish: 'stop' };
  if (text.includes('정렬') || text.includes('sort')) return { reasoning: kThought, content: kRich, pieceChars: 12 };
  if (text.includes('천천히')) return { content: '느린 답. '.repeat(2000), pieceChars: 6, pieceMs: 25 };
  if (text.includes('끊긴')) return { content: '여기까지 쓰고', finish: 'length' };
  if (text.includes('바쁜')) return { status: 429, retryAfter: '7' };
  if (text.includes('사라진')) return { content: '쓰다가', breakOff: true };
  if (text.includes('공격')) {
    return { content: '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\n\n[눌러](javascript:window.hacked=1) <a href="https://x" onclick="window.hacked=1">a</a>\n\n![그림](https://example.org/track.png)' };
  }
  return { content: `들었습니다: ${text}` };
}

let server;
export async function startScripted() {
  server = await startScriptedServer({ dist: kDist, script });
  return server;
}

const open = async (page, url = server.url) => {
  await page.goto(url);
  await page.waitForSelector('#composer');
  await eventually(() => page.evaluate(() => document.activeElement?.id === 'composer'), 'focus');
};
const answered = (page, count = 1) => eventually(async () => (await page.locator('.assistant .figures').count()) >= count, 'answer');
const ask = async (page, text) => {
  const before = await page.locator('.assistant').count();
  await page.fill('#composer', text);
  await page.keyboard.press('Enter');
  await eventually(async () => (await page.locator('.assistant').count()) > before, 'a new answer');
  await eventually(async () => (await page.locator('.assistant[aria-busy="true"]').count()) === 0, 'its end');
};
const lastContent = () => server.requests.at(-1).messages.at(-1).content;
const button = (page, name) => page.getByRole('button', { name, exact: true });

test('an answer with mathematics, code and a table', {}, async (page) => {
  await open(page);
  const response = await page.request.get(server.url);
  assert.equal(response.headers()['content-security-policy'], kPolicy);
  await ask(page, '퀵 정렬을 설명해 주세요.');
  await eventually(async () => (await page.locator('.katex').count()) >= 2 && (await page.locator('.hljs-keyword').count()) > 3, 'KaTeX and colours');
  assert.equal(await page.locator('.katex-display').count(), 1);
  assert.equal(await page.locator('td[align="right"]').count(), 4);
  assert.equal(await page.locator('a[href="https://example.org/"][rel="noopener noreferrer"][target="_blank"]').count(), 1);
  // The styles that KaTeX sets must have arrived: a fraction is higher than its letters.
  await eventually(async () => (await page.locator('.katex-display .katex-html').boundingBox()).height > 30, 'the styles of KaTeX');
  await eventually(() => page.evaluate(() => [...document.fonts].some((font) => /KaTeX/.test(font.family) && font.status === 'loaded')), 'its fonts');
  await page.locator('.copy-code').click();
  const code = await page.evaluate(() => navigator.clipboard.readText());
  assert.ok(code.startsWith('def quicksort(values):\n    # 기준보다') && code.endsWith('quicksort(more)'), code);
  assert.equal(await page.locator('.copy-code').textContent(), '복사했습니다');
  assert.match(await page.locator('.figures').textContent(), /^토큰 \d+개 · 초당 [\d.,]+토큰 · 첫 토큰까지 [\d.]+초$/);
  assert.equal(await page.locator('.assistant').textContent().then((text) => text.includes('$')), false);
});

test('blocks that are complete stay while the answer grows', {}, async (page) => {
  await open(page);
  await page.fill('#composer', '퀵 정렬');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.assistant .markdown h3');
  await page.evaluate(() => (document.querySelector('.assistant > .markdown h3').marked = true));
  await answered(page);
  assert.ok(await page.evaluate(() => document.querySelector('.assistant > .markdown h3').marked));
});

test('paragraphs are announced, not tokens', {}, async (page) => {
  await open(page);
  await page.evaluate(() => {
    window.announced = [];
    new MutationObserver((records) => {
      for (const record of records) for (const node of record.addedNodes) if (node.textContent) window.announced.push(node.textContent);
    }).observe(document.querySelector('[role="log"][aria-live="polite"]'), { childList: true });
  });
  await ask(page, '퀵 정렬');
  await eventually(() => page.evaluate(() => window.announced.includes('답변이 끝났습니다.')), 'the end');
  const announced = await page.evaluate(() => window.announced);
  assert.equal(announced[0], '답변을 쓰는 중…');
  assert.ok(announced.includes('## 빠른 정렬'), announced.join('|'));
  assert.ok(announced.at(-2).startsWith('> 이미 정렬된'), announced.join('|'));
  assert.ok(announced.length < 14, `${announced.length}`);
});

test('thinking: asked for per chat, shown in a panel', {}, async (page) => {
  await open(page);
  await button(page, '생각하기').click();
  await ask(page, '퀵 정렬');
  assert.deepEqual(server.requests.at(-1).chat_template_kwargs, { enable_thinking: true });
  const panel = page.getByRole('region', { name: '생각' }).getByRole('button');
  assert.equal(await panel.getAttribute('aria-expanded'), 'false'); // closed when the answer came
  await panel.click();
  assert.ok((await page.locator('.thought-text').textContent()).includes('시간 복잡도와 코드를'));
  await button(page, '새 대화').click();
  assert.equal(await button(page, '생각하기').getAttribute('aria-pressed'), 'false');
  await ask(page, '안녕');
  assert.deepEqual(server.requests.at(-1).chat_template_kwargs, { enable_thinking: false });
  await page.getByRole('listitem').getByRole('button', { name: '퀵 정렬', exact: true }).click();
  await eventually(async () => (await button(page, '생각하기').getAttribute('aria-pressed')) === 'true', 'its setting');
});

test('stop, then continue', {}, async (page) => {
  await open(page);
  await page.fill('#composer', '천천히 말해 줘');
  await page.keyboard.press('Enter');
  await eventually(async () => (await page.locator('.assistant .markdown').textContent()).length > 30, 'some text');
  const closed = server.closedEarly();
  await button(page, '답변 멈추기').click();
  await eventually(() => server.closedEarly() === closed + 1, 'the server to see it');
  await page.getByText('여기에서 멈췄습니다.').waitFor();
  const text = (await page.locator('.assistant .markdown').textContent()).trimEnd();
  assert.ok(text.length < 5000);
  await button(page, '이어 쓰기').click();
  await page.locator('.assistant').getByText('이어진 글.').waitFor();
  const request = server.requests.at(-1);
  assert.equal(request.continue_final_message, true);
  assert.equal(request.messages.at(-1).role, 'assistant');
  assert.equal(request.messages.at(-1).content.trimEnd(), text);
  assert.equal(await page.locator('.assistant').count(), 1);
  assert.equal(await button(page, '이어 쓰기').count(), 0);
});

test('Escape stops', {}, async (page) => {
  await open(page);
  await page.fill('#composer', '천천히 말해 줘');
  await page.keyboard.press('Enter');
  await eventually(async () => (await page.locator('.assistant .markdown').textContent()).length > 10, 'some text');
  await page.keyboard.press('Escape');
  await page.getByText('여기에서 멈췄습니다.').waitFor();
});

test('an answer that was cut can be continued', {}, async (page) => {
  await open(page);
  await ask(page, '끊긴 답');
  await page.getByText('길이 제한에서 끊겼습니다.').waitFor();
  await button(page, '이어 쓰기').click();
  await page.locator('.assistant').getByText('여기까지 쓰고 이어진 글.').waitFor();
});

test('edit, branches, regenerate and fork', {}, async (page) => {
  await open(page);
  await ask(page, '하나');
  await ask(page, '둘');
  await button(page, '고치기').first().click();
  const editor = page.getByLabel('메시지 고치기');
  await eventually(() => editor.evaluate((field) => field === document.activeElement && field.value === '하나'), 'the editor');
  await editor.fill('하나 아닌 셋');
  await page.keyboard.press('Enter');
  await page.locator('.assistant').getByText('들었습니다: 하나 아닌 셋', { exact: true }).waitFor();
  assert.equal(await page.locator('.assistant').getByText('들었습니다: 둘', { exact: true }).count(), 0);
  assert.equal(server.requests.at(-1).messages.length, 1);
  const branch = page.getByRole('group', { name: '갈래 2/2' });
  await branch.getByRole('button', { name: '이전 갈래' }).click();
  await page.locator('.assistant').getByText('들었습니다: 둘', { exact: true }).waitFor(); // the branch comes back to its end
  await page.getByRole('group', { name: '갈래 1/2' }).getByRole('button', { name: '다음 갈래' }).click();
  await page.locator('.assistant').getByText('들었습니다: 하나 아닌 셋', { exact: true }).waitFor();

  await eventually(async () => (await page.locator('[aria-busy="true"]').count()) === 0);
  await button(page, '다시 쓰기').click();
  await eventually(async () => (await page.getByRole('group', { name: '갈래 2/2' }).count()) === 2, 'a second answer');
  await eventually(async () => (await page.locator('[aria-busy="true"]').count()) === 0);

  await button(page, '가르기').click();
  await page.getByText('새 대화로 갈랐습니다.').waitFor();
  assert.equal(await page.locator('h1').textContent(), '하나 (갈래)');
  assert.equal(await page.locator('article').count(), 2);
  assert.equal(await page.getByRole('group', { name: /갈래/ }).count(), 0);
});

test('the last message is edited with the arrow up; Escape gives up', {}, async (page) => {
  await open(page);
  await ask(page, '하나');
  await page.focus('#composer');
  await page.keyboard.press('ArrowUp');
  await page.getByLabel('메시지 고치기').waitFor();
  await page.keyboard.press('Escape');
  assert.equal(await page.getByLabel('메시지 고치기').count(), 0);
  await eventually(() => page.evaluate(() => document.activeElement.textContent.includes('고치기')), 'focus on the button');
});

// The events of a real composition, made by the browser from what an input method sends.
test('Hangul: Enter while a syllable is composed sends the whole text once', {}, async (page) => {
  await open(page);
  const cdp = await page.context().newCDPSession(page);
  const key = (type, code) => cdp.send('Input.dispatchKeyEvent', { type, key: 'Enter', code: 'Enter', windowsVirtualKeyCode: code, nativeVirtualKeyCode: code });
  const compose = async (states) => {
    for (const text of states) {
      await cdp.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', key: 'Process', code: 'KeyG', windowsVirtualKeyCode: 229 });
      await cdp.send('Input.imeSetComposition', { text, selectionStart: text.length, selectionEnd: text.length });
    }
  };
  const variants = {
    'Enter ends the composition': async () => {
      await key('rawKeyDown', 229);
      await cdp.send('Input.insertText', { text: '글' });
      await key('keyUp', 13);
    },
    'a second keydown follows': async () => {
      await key('rawKeyDown', 229);
      await cdp.send('Input.insertText', { text: '글' });
      await key('rawKeyDown', 13);
      await key('keyUp', 13);
    },
    'the composition ended before': async () => {
      await cdp.send('Input.insertText', { text: '글' });
      await key('rawKeyDown', 13);
      await key('keyUp', 13);
    },
  };
  for (const [name, press] of Object.entries(variants)) {
    const before = server.requests.length;
    await cdp.send('Input.insertText', { text: '안녕 한' });
    await compose(['ㄱ', '그', '글']);
    assert.equal(await page.inputValue('#composer'), '안녕 한글');
    await press();
    await eventually(() => server.requests.length > before, name);
    await eventually(async () => (await page.locator('.assistant[aria-busy="true"]').count()) === 0);
    assert.equal(lastContent(), '안녕 한글', name);
    assert.equal(await page.inputValue('#composer'), '', name);
    assert.equal(server.requests.length, before + 1, name);
  }
  assert.equal(await page.locator('.user').count(), 3);
});

test('Hangul: the order of events in Safari', {}, async (page) => {
  await open(page);
  const before = server.requests.length;
  await page.evaluate(() => {
    const field = document.querySelector('#composer');
    const composition = (type, data) => field.dispatchEvent(new CompositionEvent(type, { data, bubbles: true }));
    composition('compositionstart', '');
    composition('compositionupdate', '한');
    field.value = '한';
    field.dispatchEvent(new InputEvent('input', { bubbles: true, data: '한', isComposing: true }));
    composition('compositionend', '한');
    const enter = { key: 'Enter', keyCode: 229, bubbles: true, cancelable: true };
    field.dispatchEvent(new KeyboardEvent('keydown', enter));
    field.dispatchEvent(new KeyboardEvent('keyup', { key: 'Enter', keyCode: 13, bubbles: true }));
  });
  await answered(page);
  assert.equal(lastContent(), '한');
  assert.equal(server.requests.length, before + 1);
});

test('Enter that picks a candidate in Japanese does not send', {}, async (page) => {
  await open(page);
  const before = server.requests.length;
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Input.imeSetComposition', { text: 'にほん', selectionStart: 3, selectionEnd: 3 });
  await cdp.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 229 });
  await cdp.send('Input.insertText', { text: '日本' });
  await cdp.send('Input.dispatchKeyEvent', { type: 'keyUp', key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 13 });
  await page.waitForTimeout(200);
  assert.equal(server.requests.length, before);
  assert.equal(await page.inputValue('#composer'), '日本');
  await page.keyboard.press('Enter');
  await answered(page);
  assert.equal(lastContent(), '日本');
});

test('Shift with Enter breaks the line', {}, async (page) => {
  await open(page);
  await page.keyboard.type('a');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('b');
  await page.keyboard.press('Enter');
  await answered(page);
  assert.equal(lastContent(), 'a\nb');
});

test('refusals say what happened, and can be tried again', {}, async (page) => {
  await open(page);
  await ask(page, '바쁜 서버');
  await page.locator('.problem').getByText('서버가 바쁩니다. 7초 뒤에 다시 시도해 보세요.').waitFor();
  const before = server.requests.length;
  await button(page, '다시 시도').click();
  await eventually(() => server.requests.length === before + 1, 'another try');
  await ask(page, '사라진 서버');
  await page.locator('.problem').getByText('답변이 끝나기 전에 연결이 끊겼습니다.').waitFor();
  assert.ok((await page.locator('.assistant').last().textContent()).includes('쓰다가'));
});

test('what a model writes cannot act', {}, async (page) => {
  await open(page);
  await ask(page, '공격');
  await page.waitForTimeout(150);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator('.assistant .markdown :is(img, script, a[href^="javascript"], [onclick])').count(), 0);
  assert.ok((await page.locator('.assistant .markdown').textContent()).includes('<script>window.hacked=1</script>'));
});

test('text files go along, others are refused', {}, async (page) => {
  await open(page);
  await page.setInputFiles('[data-testid="files"]', [
    { name: '메모.txt', mimeType: 'text/plain', buffer: Buffer.from('첫째 줄\n둘째 줄') },
    { name: '옛것.txt', mimeType: 'text/plain', buffer: Buffer.from([0xc7, 0xd1, 0xb1, 0xdb]) },
    { name: '그림.png', mimeType: 'image/png', buffer: Buffer.from([0x89, 0x50, 0, 0]) },
  ]);
  await page.getByText('그림.png: 텍스트 파일이 아닙니다.').waitFor();
  await axe(page, 'attached files');
  await button(page, '옛것.txt 빼기').click();
  await ask(page, '요약해 줘');
  assert.equal(lastContent(), '메모.txt\n```\n첫째 줄\n둘째 줄\n```\n\n요약해 줘');
  assert.equal(await page.locator('.user .files').textContent(), '메모.txt');
  assert.equal(await page.locator('.composer li').count(), 0);
});

test('system prompt and sampling', {}, async (page) => {
  await open(page);
  await page.keyboard.press('Control+Comma');
  await page.getByLabel('시스템 프롬프트').fill('반말로 답해.');
  await page.getByLabel('온도').fill('3');
  await page.keyboard.press('Tab');
  await page.getByText('0에서 2 사이의 수를 넣으세요.').waitFor();
  await page.getByLabel('온도').fill('0.3');
  await page.getByLabel('시드').fill('42');
  await page.getByLabel('멈춤 문구').fill('끝\n그만');
  await page.keyboard.press('Tab');
  await axe(page, 'settings');
  await page.keyboard.press('Escape');
  assert.equal(await page.locator('dialog').count(), 0);
  await ask(page, '안녕');
  const { temperature, seed, stop, top_p, messages } = server.requests.at(-1);
  assert.deepEqual({ temperature, seed, stop, top_p }, { temperature: 0.3, seed: 42, stop: ['끝', '그만'], top_p: undefined });
  assert.deepEqual(messages[0], { role: 'system', content: '반말로 답해.' });
});

test('language and theme stay chosen', { locale: 'en-US' }, async (page) => {
  await open(page);
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'en');
  await page.getByRole('button', { name: 'Settings' }).click();
  await page.getByRole('radio', { name: '한국어' }).check();
  await page.getByRole('radio', { name: '어둡게' }).check();
  await page.keyboard.press('Escape');
  await page.reload();
  await page.getByText('무엇을 도와드릴까요?').waitFor();
  assert.deepEqual(await page.evaluate(() => [document.documentElement.lang, document.documentElement.dataset.theme]), ['ko', 'dark']);
});

test('everything is reached with the keyboard', {}, async (page) => {
  await open(page);
  await ask(page, '하나');
  await page.keyboard.press('Control+k');
  await eventually(() => page.evaluate(() => document.activeElement.type === 'search'), 'the search field');
  await page.keyboard.type('들었');
  await page.locator('.found mark').first().waitFor();
  await page.keyboard.press('Control+i');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'composer');
  await page.keyboard.press('Control+Slash');
  await page.getByRole('dialog', { name: '키보드 단축키' }).waitFor();
  await axe(page, 'shortcuts');
  await page.keyboard.press('Escape');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'composer'); // where it was
  await page.keyboard.press('Control+Shift+KeyO');
  await page.getByText('무엇을 도와드릴까요?').waitFor();
  // Tab goes through the page, every stop is visible and named.
  const stops = new Set();
  for (let i = 0; i < 30; ++i) {
    await page.keyboard.press('Tab');
    const where = () => page.evaluate(() => {
      const { activeElement: element } = document;
      const box = element.getBoundingClientRect();
      const name = element.getAttribute('aria-label') || element.textContent.trim() || element.placeholder;
      return { name, seen: element === document.body || (box.width > 0 && box.height > 0 && box.right > 0 && box.bottom > 0) };
    });
    const stop = await eventually(async () => {
      const at = await where();
      return at.seen && at.name !== '' ? at : false;
    }, 'what has the focus to be seen');
    stops.add(stop.name);
  }
  for (const name of ['새 대화', '대화 검색', '입력란으로 건너뛰기', '설정', '키보드 단축키', '메시지', '텍스트 파일 붙이기', '생각하기']) {
    assert.ok(stops.has(name), `${name}: ${[...stops]}`);
  }
});

test('a phone: nothing overflows, targets are large, the drawer holds the focus', { phone: true }, async (page) => {
  await open(page);
  await ask(page, '퀵 정렬');
  await eventually(async () => (await page.locator('.katex').count()) >= 2);
  const wide = () => page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  assert.equal(await wide(), false);
  const small = () => page.evaluate(() =>
    [...document.querySelectorAll('button, textarea, input:not([hidden])')]
      .filter((element) => element.checkVisibility() && !element.closest('[inert]') && element.type !== 'radio' && element.type !== 'checkbox')
      .map((element) => ({ name: element.getAttribute('aria-label') || element.textContent, box: element.getBoundingClientRect() }))
      .filter(({ box }) => box.width > 0 && (box.height < 43.5 || box.width < 43.5))
      .map(({ name, box }) => `${name} ${box.width}x${box.height}`));
  assert.deepEqual(await small(), []);
  await axe(page, 'phone');
  await page.getByRole('button', { name: '대화 목록 열기' }).tap();
  await page.getByRole('navigation').waitFor();
  assert.ok(await page.evaluate(() => document.querySelector('.main').inert));
  await eventually(() => page.evaluate(() => document.querySelector('nav').contains(document.activeElement)), 'focus in the drawer');
  assert.deepEqual(await small(), []);
  await axe(page, 'drawer');
  await page.keyboard.press('Escape');
  assert.equal(await page.getByRole('navigation').count(), 0);
  await page.getByRole('button', { name: '설정' }).tap();
  assert.deepEqual(await small(), []);
  assert.equal(await wide(), false);
  await axe(page, 'phone settings');
});

for (const dark of [false, true]) {
  for (const locale of ['ko-KR', 'en-US']) {
    test(`axe finds nothing (${dark ? 'dark' : 'light'}, ${locale})`, { dark, locale }, async (page) => {
      await open(page);
      await axe(page, 'empty');
      await ask(page, 'sort 정렬');
      await ask(page, '바쁜 끊긴');
      await eventually(async () => (await page.locator('.katex').count()) >= 2 && (await page.locator('.hljs-keyword').count()) > 3);
      await page.locator('.thoughts button').click();
      await axe(page, 'chat');
      await page.locator('.more').first().click();
      await page.locator('dialog').waitFor();
      await axe(page, 'menu');
      await page.locator('dialog .danger').click();
      await axe(page, 'delete');
      await page.keyboard.press('Escape');
      await page.locator('.actions button').first().click();
      await page.locator('.editor').waitFor();
      await axe(page, 'edit');
      await page.keyboard.press('Escape');
      await page.locator('nav .icon').first().click();
      await axe(page, 'without sidebar');
    });
  }
}

test('a server with keys asks for one', {}, async (page) => {
  const locked = await startScriptedServer({ dist: kDist, script, key: 'sesame' });
  try {
    await page.goto(locked.url);
    const dialog = page.getByRole('dialog', { name: '이 서버는 API 키가 필요합니다' });
    await dialog.waitFor();
    await axe(page, 'key');
    await page.locator('#api-key').fill('wrong');
    await page.keyboard.press('Enter');
    await page.getByText('서버가 이 키를 받지 않았습니다.').waitFor();
    await page.locator('#api-key').fill('sesame');
    await page.keyboard.press('Enter');
    await page.getByText('무엇을 도와드릴까요?').waitFor();
    await eventually(async () => (await page.locator('.model').count()) === 1, 'the model');
    await ask(page, '안녕');
    // For this tab only, unless asked to remember.
    assert.deepEqual(await page.evaluate(() => [sessionStorage.getItem('axk1.key'), localStorage.getItem('axk1.key')]), ['sesame', null]);
  } finally {
    await locked.stop();
  }
});

test('can be installed, and opens without the server', {}, async (page) => {
  const own = await startScriptedServer({ dist: kDist, script });
  await page.goto(own.url);
  const manifest = JSON.parse(readFileSync(`${kDist}/manifest.webmanifest`, 'utf8'));
  for (const { src } of manifest.icons) assert.equal((await page.request.get(own.url + src)).status(), 200, src);
  assert.deepEqual(manifest.icons.filter(({ type }) => type === 'image/png').map(({ sizes }) => sizes), ['192x192', '512x512', '512x512']);
  await page.evaluate(() => navigator.serviceWorker.ready);
  await eventually(() => page.evaluate(() => navigator.serviceWorker.controller !== null), 'the service worker');
  const cdp = await page.context().newCDPSession(page);
  const { installabilityErrors } = await cdp.send('Page.getInstallabilityErrors');
  assert.deepEqual(installabilityErrors.map(({ errorId }) => errorId).filter((id) => id !== 'in-incognito'), []);
  await own.stop();
  await page.reload();
  await page.getByText('서버에 연결할 수 없습니다.').first().waitFor();
  await axe(page, 'offline');
});
