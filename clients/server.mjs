// The server under test: `axk1 serve` on a free port, one for each test file.
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {dirname, join} from 'node:path';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const program = process.env.AXK1 ?? join(root, 'build/release/axk1');
export const model = 'nano-v0';

// Resolves to {url, stop}. stop() asks it to drain and resolves to its exit code.
export async function start() {
  const child = spawn(program, ['serve', join(root, 'models', model), '--port', '0', '--no-history'],
                      {stdio: ['ignore', 'pipe', 'pipe']});
  let log = '';
  child.stderr.on('data', (chunk) => { log += chunk; });
  const exited = once(child, 'exit');
  const lines = createInterface({input: child.stdout});
  const first = await Promise.race([once(lines, 'line').then(([line]) => line),
                                    exited.then(() => null)]);
  const url = first?.match(/^listening on (http:\/\/127\.0\.0\.1:\d+)$/)?.[1];
  if (!url) {
    child.kill('SIGKILL');
    throw new Error(`${program} serve: expected "listening on http://127.0.0.1:PORT", found ` +
                    `${JSON.stringify(first)}\n${log}`);
  }
  return {
    url,
    async stop() {
      child.kill('SIGTERM');
      const [code] = await exited;
      return code;
    },
  };
}

// A sum of the samples of one metric.
export async function metric(url, name) {
  const text = await (await fetch(`${url}/metrics`)).text();
  const samples = text.split('\n').filter((line) => line.startsWith(name + '{') ||
                                                    line.startsWith(name + ' '));
  if (samples.length === 0) throw new Error(`/metrics has no ${name}`);
  return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

// Polls until check() holds.
export async function eventually(check, what) {
  for (let i = 0; i < 200; ++i) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`did not come true: ${what}`);
}

// A tool whose arguments are short whatever the model makes of them.
export const weather = {
  name: 'get_weather',
  description: '도시의 날씨를 알려 준다',
  schema: {
    type: 'object',
    properties: {
      city: {type: 'string', enum: ['서울', '부산', 'Seoul', 'Busan']},
      unit: {type: 'string', enum: ['celsius', 'fahrenheit']},
    },
    required: ['city', 'unit'],
    additionalProperties: false,
  },
};
export function checkWeather(assert, args) {
  assert.deepEqual(Object.keys(args).sort(), ['city', 'unit']);
  assert.ok(weather.schema.properties.city.enum.includes(args.city), args.city);
  assert.ok(weather.schema.properties.unit.enum.includes(args.unit), args.unit);
}
