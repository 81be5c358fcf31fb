// The page against the program itself: `axk1 serve` with the small model of the repository.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { axe, eventually, startProgram, test } from './harness.mjs';
import { kRich, kThought } from './scripted.mjs';
import { kPolicy } from './scripted_server.mjs';

let url = '';
let restart;

// Registers the tests; the program starts when the first of them runs.
export function programTests(program, model) {
  const folder = mkdtempSync(join(tmpdir(), 'axk1-web-'));
  const args = ['serve', model, '--port', '0', '--history', join(folder, 'history.sqlite')];
  let running;
  const start = async () => {
    running = await startProgram(program, args);
    url = running.url;
  };
  restart = async () => {
    await running.stop();
    await start();
  };
  addTests();
  return {
    start,
    stop: async () => {
      const code = await running.stop();
      rmSync(folder, { recursive: true });
      return code;
    },
  };
}

const open = async (page, path = '') => {
  await page.goto(url + path);
  await page.waitForSelector('#composer');
  await eventually(() => page.evaluate(() => document.activeElement?.id === 'composer'), 'focus');
};
const idle = (page) => eventually(async () => (await page.locator('.assistant[aria-busy="true"]').count()) === 0, 'the end');
const ask = async (page, text) => {
  const before = await page.locator('.assistant').count();
  await page.fill('#composer', text);
  await page.keyboard.press('Enter');
  await eventually(async () => (await page.locator('.assistant').count()) > before, 'an answer');
  await idle(page);
};
const button = (page, name) => page.getByRole('button', { name, exact: true });
// Long answers, always the same.
const longAnswers = (page) =>
  page.route('**/v1/chat/completions', (route) =>
    route.continue({ postData: JSON.stringify({ ...route.request().postDataJSON(), ignore_eos: true, max_tokens: 3000, seed: 1 }) }));
const answerText = async (page) => (await page.locator('.assistant > .markdown').last().textContent()).trim();

function addTests() {
  test('program: a chat, kept over reload and restart', {}, async (page) => {
    await open(page);
    const response = await page.request.get(url);
    assert.equal(response.headers()['content-security-policy'], kPolicy);
    assert.equal(response.headers()['x-content-type-options'], 'nosniff');
    await ask(page, '안녕하세요');
    const answer = await answerText(page);
    assert.ok(answer.length > 0);
    assert.match(await page.locator('.figures').textContent(), /토큰 \d+개/);
    const address = page.url();
    assert.match(address, /#\/c\/[0-9a-f]{32}$/);
    await page.reload();
    await eventually(async () => (await answerText(page)) === answer, 'the same answer');
    await axe(page, 'program');
    await restart();
    await open(page, address.slice(address.indexOf('#')));
    await eventually(async () => (await answerText(page)) === answer, 'the same answer after a restart');
    assert.equal(await page.locator('.current').textContent().then((text) => text.trim().startsWith('안녕하세요')), true);
  });

  test('program: thinking', {}, async (page) => {
    await open(page);
    await button(page, '생각하기').click();
    await ask(page, 'What is 12 + 30?');
    await page.getByRole('region', { name: '생각' }).waitFor();
  });

  test('program: stop, reload in the middle, continue', {}, async (page) => {
    await longAnswers(page);
    await open(page);
    await page.fill('#composer', '옛날이야기를 해 줘');
    await page.keyboard.press('Enter');
    await eventually(async () => (await answerText(page)).length > 20, 'some text');
    await button(page, '답변 멈추기').click();
    await page.getByText('여기에서 멈췄습니다.').waitFor();
    const stopped = await answerText(page);
    await eventually(async () => (await page.request.get(`${url}metrics`)).status() === 404 ||
      /num_requests_running[^\n]* 0(\.0)?\n/.test(await (await page.request.get(`${url}metrics`)).text()), 'the server to stop too');
    await page.reload();
    await eventually(async () => (await answerText(page)) === stopped, 'what was written');
    // The small model is too fast to be caught in the middle: the line to it is made slow.
    const cdp = await page.context().newCDPSession(page);
    const throttle = (downloadThroughput) => cdp.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput, uploadThroughput: -1 });
    await throttle(20_000);
    await button(page, '이어 쓰기').click();
    await eventually(async () => (await answerText(page)).length > stopped.length + 20, 'more text');
    await throttle(-1);
    assert.ok((await answerText(page)).startsWith(stopped.trimEnd()));
    // The page goes away while the answer is being written.
    await page.reload();
    await page.getByText('쓰는 도중에 끊겼습니다.').waitFor();
    assert.ok((await answerText(page)).startsWith(stopped.trimEnd()));
    assert.equal(await button(page, '이어 쓰기').count(), 1);
  });

  test('program: branches are kept', {}, async (page) => {
    await open(page);
    await ask(page, '하나');
    await button(page, '다시 쓰기').click();
    await page.getByRole('group', { name: '갈래 2/2' }).waitFor();
    await idle(page);
    await page.getByRole('button', { name: '이전 갈래' }).click();
    await page.getByRole('group', { name: '갈래 1/2' }).waitFor();
    await page.reload();
    await page.getByRole('group', { name: '갈래 1/2' }).waitFor();
    await button(page, '가르기').click();
    await page.getByText('새 대화로 갈랐습니다.').waitFor();
    await page.reload();
    await eventually(async () => (await page.locator('article').count()) === 2, 'the fork');
    assert.equal(await page.getByRole('group', { name: /갈래/ }).count(), 0);
  });

  test('program: search, rename, delete', {}, async (page) => {
    await open(page);
    await ask(page, '서울의 날씨');
    await button(page, '새 대화').click();
    await ask(page, '부산의 바다');
    await page.getByRole('searchbox').fill('날씨');
    await page.locator('.found').first().waitFor();
    assert.ok((await page.locator('.found mark').allTextContents()).every((text) => text === '날씨'));
    await page.locator('.found').first().click();
    await eventually(async () => (await page.locator('h1').textContent()) === '서울의 날씨');
    await page.getByRole('searchbox').fill('');
    await page.getByRole('button', { name: '‘서울의 날씨’ 더 보기' }).click();
    await page.getByLabel('대화 제목').fill('서울, 맑음');
    await button(page, '저장').click();
    await eventually(async () => (await page.locator('h1').textContent()) === '서울, 맑음');
    await page.getByRole('button', { name: '‘서울, 맑음’ 더 보기' }).click();
    await button(page, '대화 지우기').click();
    await button(page, '지우기').click();
    await page.getByText('대화를 지웠습니다.').waitFor();
    await page.reload();
    await page.getByText('무엇을 도와드릴까요?').waitFor();
    await page.locator('nav li').first().waitFor();
    assert.equal(await page.locator('nav li', { hasText: '서울, 맑음' }).count(), 0);
  });

  test('program: export and import', {}, async (page) => {
    await open(page);
    await ask(page, '내보낼 말');
    const before = await page.locator('nav li').count();
    await page.getByRole('button', { name: '설정' }).click();
    const saving = page.waitForEvent('download');
    await button(page, '모두 내보내기').click();
    const file = await (await saving).path();
    const { format, conversations } = JSON.parse(readFileSync(file, 'utf8'));
    assert.equal(format, 'axk1-conversations');
    assert.equal(conversations.length, before);
    const copy = `${file}.json`;
    writeFileSync(copy, JSON.stringify({ format, version: 1, conversations: conversations.slice(-1) }));
    await page.setInputFiles('[data-testid="import"]', copy);
    await page.getByText('대화 1개를 가져왔습니다.').waitFor();
    await page.keyboard.press('Escape');
    await eventually(async () => (await page.locator('nav li').count()) === before + 1, 'one more');
  });

  test('program: settings of a conversation are kept', {}, async (page) => {
    await open(page);
    await ask(page, '설정');
    await page.getByRole('button', { name: '설정', exact: true }).last().click();
    await page.getByLabel('시스템 프롬프트').fill('짧게 답해.');
    await page.getByLabel('온도').fill('0.2');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Escape');
    await page.waitForLoadState('networkidle');
    await page.reload();
    await page.locator('article').first().waitFor();
    await page.keyboard.press('Control+Comma');
    assert.equal(await page.getByLabel('시스템 프롬프트').inputValue(), '짧게 답해.');
    assert.equal(await page.getByLabel('온도').inputValue(), '0.2');
  });

  // With AXK1_WEB_SCREENSHOTS=FOLDER: the pictures of docs/web.md, with an answer that the small model
  // would not write.
  const folder = process.env.AXK1_WEB_SCREENSHOTS;
  if (!folder) return;
  const show = async (page) => {
    const event = (delta, finish_reason = null) => `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
    await page.route('**/v1/chat/completions', (route) => route.fulfill({
      contentType: 'text/event-stream',
      body: event({ reasoning_content: kThought }) + event({ content: kRich }) + event({}, 'stop') + 'data: [DONE]\n\n',
    }));
    await open(page);
    for (const title of ['제주도 사흘 여행 계획', '이메일을 영어로 옮기기', 'SQL에서 중복 행 지우기']) {
      await page.request.post(`${url}api/conversations`, { data: { title } });
    }
    await page.reload();
    await ask(page, '퀵 정렬을 설명하고 파이썬 코드를 보여 주세요.');
    await eventually(async () => (await page.locator('.katex').count()) >= 2 && (await page.locator('.hljs-keyword').count()) > 3, 'KaTeX and colours');
    await page.evaluate(() => document.fonts.ready);
    await page.evaluate(() => (document.querySelector('.log').scrollTop = 0));
    await page.waitForTimeout(400);
  };
  test('screenshots: light', {}, async (page) => {
    await show(page);
    await page.screenshot({ path: join(folder, 'chat-light.png') });
  });
  test('screenshots: phone, dark', { phone: true, dark: true }, async (page) => {
    await show(page);
    await page.screenshot({ path: join(folder, 'phone-dark.png') });
  });
}
