// A server whose answers are known beforehand, to test what the page makes of streams that no small
// model would write: mathematics, code, cut answers, refusals. Serves the built page with the same
// headers as the program; `script` maps the text of the last message to what is answered.
import { readFileSync, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';

const kTypes = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8',
  '.woff2': 'font/woff2', '.svg': 'image/svg+xml', '.png': 'image/png', '.webmanifest': 'application/manifest+json',
};

// Must be what src/server/web_assets.cc sends; the suite compares the two.
export const kPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
  "font-src 'self'; manifest-src 'self'; worker-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// script: (text, body) => { reasoning?, content?, pieceMs?, pieceChars?, finish?, status?, retryAfter?, breakOff? }
// history: false answers 404 there, as a server that keeps none does. key: required when given.
export async function startScriptedServer({ dist, script, history = false, key = null }) {
  const requests = []; // bodies of completions
  let closedEarly = 0; // streams whose reader left
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, 'http://x');
    const json = (status, body, headers = {}) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(JSON.stringify(body));
    };
    const api = url.pathname.startsWith('/api/') || url.pathname.startsWith('/v1/');
    if (api && key !== null && request.headers.authorization !== `Bearer ${key}`) {
      return json(401, { error: { message: 'a key is needed' } });
    }
    if (url.pathname === '/v1/models') return json(200, { object: 'list', data: [{ id: 'scripted', object: 'model' }] });
    if (url.pathname === '/v1/chat/completions') {
      let text = '';
      for await (const chunk of request) text += chunk;
      const body = JSON.parse(text);
      requests.push(body);
      const answer = script(body.messages.at(-1).content, body);
      if (answer.status) {
        return json(answer.status, { error: { message: 'refused' } }, answer.retryAfter ? { 'retry-after': answer.retryAfter } : {});
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      let open = true;
      response.on('close', () => {
        if (!response.writableEnded) closedEarly += 1;
        open = false;
      });
      const emit = (choice, more = {}) =>
        response.write(`data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', choices: choice ? [choice] : [], ...more })}\n\n`);
      let tokens = 0;
      for (const [field, whole] of [['reasoning_content', answer.reasoning ?? ''], ['content', answer.content ?? '']]) {
        const characters = [...whole];
        const size = answer.pieceChars ?? 7;
        for (let at = 0; at < characters.length && open; at += size) {
          emit({ index: 0, delta: { [field]: characters.slice(at, at + size).join('') }, finish_reason: null });
          tokens += 1;
          await sleep(answer.pieceMs ?? 2);
        }
      }
      if (!open) return undefined;
      if (answer.breakOff) {
        await sleep(100); // so that what was written arrives
        return response.destroy();
      }
      emit({ index: 0, delta: {}, finish_reason: answer.finish ?? 'stop' });
      emit(null, { usage: { prompt_tokens: 10, completion_tokens: tokens, total_tokens: 10 + tokens, prompt_tokens_details: { cached_tokens: 4 } } });
      return response.end('data: [DONE]\n\n');
    }
    if (api) return json(history ? 500 : 404, { error: { message: 'no history' } });
    const path = normalize(url.pathname === '/' ? '/index.html' : url.pathname);
    const file = join(dist, path);
    if (path.includes('..') || !existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404);
      return response.end();
    }
    response.writeHead(200, { 'content-type': kTypes[extname(file)] ?? 'application/octet-stream', 'content-security-policy': kPolicy });
    return response.end(readFileSync(file));
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    requests,
    closedEarly: () => closedEarly,
    stop: () => new Promise((done) => {
      server.closeAllConnections();
      server.close(done);
    }),
  };
}
